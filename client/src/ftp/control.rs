use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use fwdrill_protocol::ftp_reply::Reply;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::privacy::{Privacy, Stream};
use super::{Data, Exchange, FtpError};
use crate::connection::{ConnectionError, connect, first_text};
use crate::limits::Limits;

/// The control connection of one FTP session.
///
/// One command at a time: it is sent in one write, then its reply is awaited. Nothing is sent that was not asked for.
/// After an error of the connection the session is of no further use; after [`FtpError::Unexpected`] it goes on.
#[derive(Debug)]
pub struct Control {
    pub(super) stream: Stream,
    pub(super) limits: Limits,
    pub(super) privacy: Privacy,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) received: BytesMut,
    pub(super) transcript: Vec<Exchange>,
}

impl Control {
    /// Connects and reads the greeting.
    pub async fn connect(address: SocketAddr, limits: &Limits) -> Result<Self, FtpError> {
        let failed = |source| FtpError::Control {
            peer: address,
            during: "connecting".to_owned(),
            source,
        };
        let stream = connect(address, limits.connect).await.map_err(failed)?;
        Control::over(stream, limits).await
    }

    /// Reads the greeting of a server that somebody else connected to. A 120 is followed by the real one (RFC 959 5.4).
    pub async fn over(stream: TcpStream, limits: &Limits) -> Result<Self, FtpError> {
        let unconnected = |error: std::io::Error| FtpError::Control {
            peer: SocketAddr::from(([0, 0, 0, 0], 0)),
            during: "connecting".to_owned(),
            source: error.into(),
        };
        let peer = stream.peer_addr().map_err(unconnected)?;
        let local = stream.local_addr().map_err(unconnected)?;
        stream.set_nodelay(true).map_err(unconnected)?;
        let mut control = Control {
            stream: Stream::Left(stream),
            limits: *limits,
            privacy: Privacy::default(),
            peer,
            local,
            received: BytesMut::new(),
            transcript: Vec::new(),
        };
        let greeting = match control.reply("").await? {
            delay if delay.code == 120 => control.reply("").await?,
            greeting => greeting,
        };
        if greeting.code == 220 {
            Ok(control)
        } else {
            Err(unexpected("the greeting", greeting))
        }
    }

    /// The server's end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// This end.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The limits that this session keeps.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Everything that was said, oldest first: the greeting with nothing sent before it, then every command with its
    /// reply. The final reply of a transfer stands alone, like the greeting.
    pub fn transcript(&self) -> &[Exchange] {
        &self.transcript
    }

    /// Sends one command, without its line end, and reads its reply, whatever that is.
    pub async fn command(&mut self, line: &str) -> Result<Reply, FtpError> {
        self.say(line, line, self.limits.reply).await
    }

    /// USER, and PASS if it is asked for. The password shows nowhere.
    pub async fn login(&mut self, user: &str, password: &str) -> Result<Reply, FtpError> {
        let command = format!("USER {user}");
        let reply = self.command(&command).await?;
        match reply.code {
            230 => Ok(reply),
            331 => {
                let limit = self.limits.login;
                let reply = self.say(&format!("PASS {password}"), "PASS ****", limit).await?;
                expect(matches!(reply.code, 230 | 202), "PASS ****", reply)
            }
            _ => Err(unexpected(&command, reply)),
        }
    }

    /// TYPE I: bytes as they are.
    pub async fn binary(&mut self) -> Result<Reply, FtpError> {
        let reply = self.command("TYPE I").await?;
        expect(reply.is_positive(), "TYPE I", reply)
    }

    /// PASV: the address is what the reply says, not what would work.
    pub async fn pasv(&mut self) -> Result<(Reply, SocketAddrV4), FtpError> {
        let reply = self.command("PASV").await?;
        match reply.passive_address() {
            Some(address) => Ok((reply, address)),
            None => Err(unexpected("PASV", reply)),
        }
    }

    /// EPSV (RFC 2428): a port at the address of the control connection's other end.
    pub async fn epsv(&mut self) -> Result<(Reply, u16), FtpError> {
        let reply = self.command("EPSV").await?;
        match reply.extended_passive_port() {
            Some(port) => Ok((reply, port)),
            None => Err(unexpected("EPSV", reply)),
        }
    }

    /// Makes a data connection to `address`.
    pub async fn open_data(&self, address: SocketAddr) -> Result<Data, FtpError> {
        Data::connect(address, &self.limits).await
    }

    /// SIZE (RFC 3659 section 4), in bytes; the session should be in [`Control::binary`].
    pub async fn size(&mut self, path: &str) -> Result<u64, FtpError> {
        let command = format!("SIZE {path}");
        let reply = self.command(&command).await?;
        let size = reply.lines.last().and_then(|text| text.trim().parse().ok());
        match size {
            Some(size) if reply.code == 213 => Ok(size),
            _ => Err(unexpected(&command, reply)),
        }
    }

    /// A reply that nobody asked for and that comes within `patience`, if there is one.
    pub async fn unasked(&mut self, patience: Duration) -> Option<Reply> {
        self.reply_within("", patience).await.ok()
    }

    /// QUIT; the connection is closed whatever the answer.
    pub async fn quit(mut self) -> Result<Reply, FtpError> {
        self.command("QUIT").await
    }

    /// Sends `line` and enters it as `shown` wherever it can be seen; the reply has to come within `limit`.
    async fn say(&mut self, line: &str, shown: &str, limit: Duration) -> Result<Reply, FtpError> {
        if line.contains(['\r', '\n', '\0']) {
            return Err(FtpError::NotALine(shown.to_owned()));
        }
        tracing::debug!(peer = %self.peer, "> {shown}");
        let bytes = format!("{line}\r\n");
        let sent = tokio::time::timeout(self.limits.stall, self.stream.write_all(bytes.as_bytes())).await;
        let failure = match sent {
            Ok(Ok(())) => return self.reply_within(shown, limit).await,
            // Who refuses and closes often says why first (421); that is the better answer.
            Ok(Err(error)) => match self.reply_within(shown, limit).await {
                Ok(reply) => return Ok(reply),
                Err(_) => error.into(),
            },
            Err(_) => ConnectionError::Stalled(self.limits.stall),
        };
        Err(self.lost(format!("sending {shown}"), failure))
    }

    /// The next reply; `command` is what was sent for it, if anything.
    pub(super) async fn reply(&mut self, command: &str) -> Result<Reply, FtpError> {
        self.reply_within(command, self.limits.reply).await
    }

    pub(super) async fn reply_within(&mut self, command: &str, limit: Duration) -> Result<Reply, FtpError> {
        let deadline = Instant::now() + limit;
        let failure = loop {
            match Reply::parse(&self.received) {
                Ok(Some((reply, length))) => {
                    self.received.advance(length);
                    tracing::debug!(peer = %self.peer, "< {} {}", reply.code, reply.text());
                    self.transcript.push(Exchange {
                        sent: command.to_owned(),
                        reply: reply.clone(),
                    });
                    return Ok(reply);
                }
                Ok(None) => {}
                Err(_) => return Err(self.not_ftp()),
            }
            match timeout_at(deadline, self.stream.read_buf(&mut self.received)).await {
                Ok(Ok(0)) => break ConnectionError::Closed,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => break error.into(),
                Err(_) if self.received.is_empty() => break ConnectionError::Silent(limit),
                Err(_) => break ConnectionError::Stalled(limit),
            }
        };
        // Something that is no reply and has no line end either, such as a TLS alert.
        if !self.received.iter().take(3).all(u8::is_ascii_digit) {
            return Err(self.not_ftp());
        }
        let during = match command {
            "" if self.transcript.is_empty() => "waiting for the greeting".to_owned(),
            "" => "waiting for the final reply".to_owned(),
            command => format!("waiting for the reply to {command}"),
        };
        Err(self.lost(during, failure))
    }

    fn not_ftp(&self) -> FtpError {
        FtpError::NotFtp {
            peer: self.peer,
            first: first_text(&self.received),
        }
    }

    pub(super) fn lost(&self, during: String, source: ConnectionError) -> FtpError {
        FtpError::Control {
            peer: self.peer,
            during,
            source,
        }
    }
}

pub(super) fn expect(holds: bool, command: &str, reply: Reply) -> Result<Reply, FtpError> {
    if holds {
        Ok(reply)
    } else {
        Err(unexpected(command, reply))
    }
}

pub(super) fn unexpected(command: &str, reply: Reply) -> FtpError {
    FtpError::Unexpected {
        command: command.to_owned(),
        reply,
    }
}
