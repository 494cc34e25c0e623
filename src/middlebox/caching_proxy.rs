//! A transparent HTTP cache that was filled long ago and does not ask whether its copies are fresh. What it holds comes
//! from a server that stands for its disk; only who insists (no-cache, or a query that it has not seen) gets to the
//! real one. It adds no Via and no Age, as bad ones do.

use std::net::SocketAddr;

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::proxy::{join, listen};

#[derive(Debug, Args)]
pub(crate) struct CachingProxyArgs {
    /// The port that connections are redirected to
    #[arg(long, value_name = "PORT", default_value = "3128")]
    listen: u16,
    /// The server
    #[arg(long, value_name = "ADDRESS:PORT")]
    to: SocketAddr,
    /// Who has what the cache holds
    #[arg(long, value_name = "ADDRESS:PORT")]
    copies: SocketAddr,
}

/// More head than any client sends.
const LONGEST_HEAD: usize = 64 << 10;

pub(super) async fn run(args: CachingProxyArgs) -> anyhow::Result<()> {
    let listener = listen(args.listen).await?;
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        tokio::spawn(serve(client, args.to, args.copies));
    }
}

async fn serve(mut client: TcpStream, to: SocketAddr, copies: SocketAddr) {
    let Some(request) = head(&mut client).await else { return };
    let origin = if insists(&request) { to } else { copies };
    let Ok(mut server) = TcpStream::connect(origin).await else {
        return;
    };
    // One request a connection, or the next one would not be looked at.
    let request = request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    if server.write_all(request.as_bytes()).await.is_ok() {
        join(client, server).await;
    }
}

async fn head(client: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        if read.len() > LONGEST_HEAD || client.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    String::from_utf8(read).ok()
}

fn insists(request: &str) -> bool {
    let lower = request.to_ascii_lowercase();
    let target = lower.split(' ').nth(1).unwrap_or_default();
    let asks = |name: &str| {
        lower
            .lines()
            .any(|line| line.starts_with(name) && line.contains("no-cache"))
    };
    target.contains('?') || asks("cache-control:") || asks("pragma:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_insists_gets_past_the_cache() {
        assert!(!insists("GET /manifest.json HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(insists("GET /manifest.json?x=1 HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert!(insists("GET / HTTP/1.1\r\nCache-Control: no-cache\r\n\r\n"));
        assert!(insists("GET / HTTP/1.1\r\nPragma: no-cache\r\n\r\n"));
    }
}
