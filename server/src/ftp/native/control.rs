//! The control connection: lines in, replies out.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fwdrill_protocol::estate::limits::FtpLimits;
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tracing::debug;

use super::codec::{Line, Lines};
use super::command::loggable;
use super::reply::Reply;
use crate::connection::{close_gently, is_hung_up};
use crate::stream::{Stream, in_time};

/// How much is read at once.
const PIECE: usize = 2048;

#[derive(Debug)]
pub(super) struct Control {
    /// `None` only after a handshake that failed.
    stream: Option<Stream>,
    lines: Lines,
    /// The client has said all it will say.
    ended: bool,
    /// How long a reply may take to leave.
    patience: Duration,
}

/// What a client says while a transfer is under way.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Urgent {
    Abort,
    Status,
    /// It closed the control connection.
    End,
}

impl Control {
    pub(super) fn new(stream: TcpStream, limits: &FtpLimits) -> Self {
        // Telnet's Synch is urgent data (RFC 854): its last byte is to stay in its place.
        if let Err(error) = SockRef::from(&stream).set_out_of_band_inline(true) {
            debug!(%error, "cannot have urgent data in line");
        }
        Control {
            stream: Some(Stream::Plain(stream)),
            lines: Lines::new(limits.line_bytes),
            ended: false,
            patience: limits.stall,
        }
    }

    /// The next line; `None` when there will be no more. Nothing is lost if the future is dropped.
    pub(super) async fn line(&mut self) -> io::Result<Option<Line>> {
        poll_fn(|cx| {
            loop {
                if let Some(line) = self.lines.next() {
                    return Poll::Ready(Ok(Some(line)));
                }
                if self.ended {
                    return Poll::Ready(Ok(None));
                }
                ready!(self.poll_more(cx))?;
            }
        })
        .await
    }

    /// Waits for ABOR or STAT, or for the end. Any other command is left for later, and whatever is behind it. After
    /// [`Urgent::End`] nothing comes any more.
    pub(super) async fn urgent(&mut self) -> Urgent {
        poll_fn(|cx| {
            loop {
                if let Some(line) = self.lines.peek() {
                    let urgent = match line.trim_end() {
                        line if line.eq_ignore_ascii_case("ABOR") => Some(Urgent::Abort),
                        line if line.eq_ignore_ascii_case("STAT") => Some(Urgent::Status),
                        _ => None,
                    };
                    if let Some(urgent) = urgent {
                        self.lines.next();
                        return Poll::Ready(urgent);
                    }
                }
                if self.ended || self.lines.is_full() {
                    return Poll::Pending;
                }
                if ready!(self.poll_more(cx)).is_err() || self.ended {
                    self.ended = true;
                    return Poll::Ready(Urgent::End);
                }
            }
        })
        .await
    }

    /// Whether the client has closed its side or reset it.
    pub(super) fn client_is_gone(&self) -> bool {
        match self.stream.as_ref().filter(|_| !self.ended) {
            Some(stream) => is_hung_up(SockRef::from(stream.tcp())),
            None => true,
        }
    }

    /// Sends a reply, in one write.
    pub(super) async fn reply(&mut self, reply: &Reply) -> io::Result<()> {
        debug!(%reply, "say");
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let written = async {
            stream.write_all(reply.bytes()).await?;
            stream.flush().await
        };
        in_time(self.patience, written).await
    }

    /// Puts the connection under TLS. What was sent in clear and not heard yet is forgotten.
    pub(super) async fn secure(&mut self, config: Arc<ServerConfig>, limit: Duration) -> io::Result<()> {
        self.lines.clear();
        let stream = self.stream.take().ok_or(io::ErrorKind::NotConnected)?;
        self.stream = Some(Stream::secure(stream.into_tcp(), config, limit).await?);
        Ok(())
    }

    /// Ends the connection so that the last reply arrives.
    pub(super) async fn close(self) {
        let Some(mut stream) = self.stream else { return };
        if let Stream::Tls(stream) = &mut stream {
            // close_notify. A client that is gone needs none.
            let _ = in_time(self.patience, stream.shutdown()).await;
        }
        // Boxed: its buffer is no part of a session that goes on.
        Box::pin(close_gently(&mut stream.into_tcp())).await;
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        // On the stack and not in the session, of which there may be thousands that wait here.
        let mut buffer = [0; PIECE];
        let read = match stream {
            Stream::Plain(stream) => ready!(poll_plain(stream, cx, &mut buffer))?,
            Stream::Tls(stream) => {
                let mut buffer = ReadBuf::new(&mut buffer);
                ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
                buffer.filled().len()
            }
        };
        self.ended = read == 0;
        self.lines.push(buffer.get(..read).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

/// Reads until the kernel says that there is no more. A read ends short before an urgent byte though more is there; tokio's
/// own takes that for the end of what is there, and would wait for a packet that never comes.
fn poll_plain(stream: &TcpStream, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    loop {
        ready!(stream.poll_read_ready(cx))?;
        let read = || rustix::io::read(stream, &mut *buffer).map_err(io::Error::from);
        match stream.try_io(Interest::READABLE, read) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            read => return Poll::Ready(read),
        }
    }
}

/// A line as the log may have it.
pub(super) fn log_line(line: &Line) {
    match line {
        Line::Text(text) => debug!(line = loggable(text), "hear"),
        Line::TooLong => debug!("hear a line without an end"),
    }
}
