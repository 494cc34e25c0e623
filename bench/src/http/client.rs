//! As little of an HTTP client as can tell a right answer from a wrong one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// How much is read at once.
const PIECE: usize = 256 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);

/// A kept-alive connection on which one path is asked for, again and again.
pub(super) struct Client {
    stream: TcpStream,
    request: String,
    buffer: Vec<u8>,
}

impl Client {
    pub(super) fn connect(address: SocketAddr, path: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).context("failed to connect")?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client {
            stream,
            request: format!("GET /{path} HTTP/1.1\r\nHost: {address}\r\n\r\n"),
            buffer: vec![0; PIECE],
        })
    }

    pub(super) fn ask(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(self.request.as_bytes()).context("failed to ask")
    }

    /// Receives an answer, which must be a 200 with so many bytes; returns how many came.
    pub(super) fn receive(&mut self, size: u64) -> anyhow::Result<u64> {
        let (head, mut read) = self.head()?;
        let text = String::from_utf8_lossy(&self.buffer[..head]);
        ensure!(is_whole(&text, size), "not the answer that was expected: {text}");
        let mut come = (read - head) as u64;
        while come < size {
            read = self.read(0)?;
            come += read as u64;
        }
        Ok(come)
    }

    /// Reads until the head is whole; returns its length, and that of what has come.
    fn head(&mut self) -> anyhow::Result<(usize, usize)> {
        let mut read = 0;
        loop {
            read += self.read(read)?;
            let end = self.buffer[..read].windows(4).position(|bytes| bytes == b"\r\n\r\n");
            if let Some(end) = end {
                return Ok((end + 4, read));
            }
            ensure!(read < PIECE / 2, "the head does not end");
        }
    }

    fn read(&mut self, at: usize) -> anyhow::Result<usize> {
        match self.stream.read(&mut self.buffer[at..]).context("failed to receive")? {
            0 => bail!("the server closed the connection"),
            read => Ok(read),
        }
    }
}

fn is_whole(head: &str, size: u64) -> bool {
    let mut lines = head.split("\r\n");
    let length = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse() == Ok(size))
    };
    lines.next().is_some_and(|status| status.starts_with("HTTP/1.1 200")) && lines.find_map(length) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_200_of_the_right_length_is_whole() {
        assert!(is_whole("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\r\n", 5));
        assert!(is_whole("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", 5));
        assert!(!is_whole(
            "HTTP/1.1 206 Partial Content\r\ncontent-length: 5\r\n\r\n",
            5
        ));
        assert!(!is_whole("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", 5));
        assert!(!is_whole("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", 5));
    }
}
