//! As little of an FTP client as can tell a right transfer from a wrong one. It costs little: who is measured is the server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use fwdrill_protocol::ftp_reply::Reply;
use rustix::net::sockopt::set_tcp_quickack;
use rustix::net::{RecvFlags, recv};

const PIECE: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// Somebody who has logged in as `anonymous` and set TYPE I.
pub(super) struct Session {
    control: TcpStream,
    unread: Vec<u8>,
}

impl Session {
    pub(super) fn login(server: SocketAddr) -> anyhow::Result<Self> {
        let mut session = Session {
            control: connect(server)?,
            unread: Vec::new(),
        };
        session.expect(220)?;
        session.say("USER anonymous", 331)?;
        session.say("PASS bench@example.net", 230)?;
        session.say("TYPE I", 200)?;
        Ok(session)
    }

    /// Fetches a file of so many bytes in passive mode.
    pub(super) fn fetch(&mut self, path: &str, size: u64, buffer: &mut [u8]) -> anyhow::Result<()> {
        let data = self.passive()?;
        self.say(&format!("RETR {path}"), 150)?;
        let mut come = 0;
        loop {
            // MSG_TRUNC: the kernel throws the bytes away and says how many they were (tcp(7)).
            let (_, received) = recv(&data, &mut *buffer, RecvFlags::TRUNC).context("failed to receive")?;
            if received == 0 {
                break;
            }
            come += received as u64;
        }
        // As every client does at the end of the data. vsftpd says 226 only when its FIN is acknowledged, and the kernel
        // keeps that acknowledgement back for 40 ms unless the connection is closed.
        drop(data);
        self.expect(226)?;
        ensure!(come == size, "{come} bytes of {size} came");
        Ok(())
    }

    /// Stores so many bytes in passive mode.
    pub(super) fn store(&mut self, path: &str, size: u64, buffer: &[u8]) -> anyhow::Result<()> {
        let mut data = self.passive()?;
        self.say(&format!("STOR {path}"), 150)?;
        let mut left = size;
        while left > 0 {
            let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            data.write_all(&buffer[..length]).context("failed to send")?;
            left -= length as u64;
        }
        drop(data);
        self.expect(226).map(drop)
    }

    pub(super) fn quit(mut self) -> anyhow::Result<()> {
        self.say("QUIT", 221).map(drop)
    }

    fn passive(&mut self) -> anyhow::Result<TcpStream> {
        let reply = self.say("PASV", 227)?;
        connect(reply.passive_address().context("no address in the 227")?.into())
    }

    fn say(&mut self, command: &str, code: u16) -> anyhow::Result<Reply> {
        self.control
            .write_all(format!("{command}\r\n").as_bytes())
            .context("failed to say something")?;
        self.expect(code).with_context(|| command.to_owned())
    }

    fn expect(&mut self, code: u16) -> anyhow::Result<Reply> {
        let mut piece = [0; 1024];
        loop {
            if let Some((reply, taken)) = Reply::parse(&self.unread)? {
                self.unread.drain(..taken);
                ensure!(reply.code == code, "{} {} instead of {code}", reply.code, reply.text());
                return Ok(reply);
            }
            match self.control.read(&mut piece).context("failed to read a reply")? {
                0 => bail!("the server closed the control connection"),
                read => self.unread.extend_from_slice(&piece[..read]),
            }
            // A server that leaves Nagle's algorithm on holds its 226 back until the 150 is acknowledged, which takes 40 ms
            // where acknowledgements are delayed. That is not what is to be measured. The option is for the acknowledgement
            // that is due now; the kernel forgets it (tcp(7)).
            set_tcp_quickack(&self.control, true)?;
        }
    }
}

/// What [`Session::fetch`] and [`Session::store`] move bytes through.
pub(super) fn buffer() -> Vec<u8> {
    vec![0x5a; PIECE]
}

fn connect(to: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(to).with_context(|| format!("failed to connect to {to}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}
