use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::FtpError;
use super::privacy::{Stream, socket};
use crate::connection::{ConnectionError, connect};
use crate::limits::Limits;

/// What one read takes at most. Large enough that a fast transfer is not made of system calls.
const CHUNK: usize = 256 * 1024;

/// One data connection.
#[derive(Debug)]
pub struct Data {
    pub(super) stream: Stream,
    pub(super) peer: SocketAddr,
    pub(super) stall: Duration,
    pub(super) buffer: BytesMut,
    pub(super) chunk: usize,
    pub(super) moved: u64,
}

impl Data {
    /// Dials `address` within the limit for data connections.
    pub async fn connect(address: SocketAddr, limits: &Limits) -> Result<Self, FtpError> {
        match connect(address, limits.data_connect).await {
            Ok(stream) => Ok(Data::over(stream, address, limits)),
            Err(source) => Err(FtpError::Data {
                peer: address,
                during: "connecting".to_owned(),
                source,
            }),
        }
    }

    /// A data connection that somebody else dialled.
    pub fn over(stream: TcpStream, peer: SocketAddr, limits: &Limits) -> Self {
        Data {
            stream: Stream::Left(stream),
            peer,
            stall: limits.stall,
            buffer: BytesMut::new(),
            chunk: CHUNK,
            moved: 0,
        }
    }

    /// Takes at most `bytes` in one read, for who has many connections.
    pub fn in_chunks_of(mut self, bytes: usize) -> Self {
        self.chunk = bytes;
        self
    }

    /// The address that was dialled.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// How many bytes have moved.
    pub fn moved(&self) -> u64 {
        self.moved
    }

    /// The next bytes; `None` when the server has closed in order.
    pub(super) async fn receive(&mut self, what: &str) -> Result<Option<Bytes>, FtpError> {
        self.buffer.reserve(self.chunk);
        match timeout(self.stall, self.stream.read_buf(&mut self.buffer)).await {
            Ok(Ok(0)) => Ok(None),
            Ok(Ok(length)) => {
                self.moved += length as u64;
                Ok(Some(self.buffer.split().freeze()))
            }
            // Many FTP servers end TLS without saying so; the final reply tells whether that was all.
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Ok(Err(error)) => Err(self.lost("receiving", what, error.into())),
            Err(_) => Err(self.lost("receiving", what, self.no_progress())),
        }
    }

    /// Sends all of `bytes`, each piece of them within the stall limit.
    pub(super) async fn send(&mut self, what: &str, mut bytes: &[u8]) -> Result<(), FtpError> {
        while !bytes.is_empty() {
            match timeout(self.stall, self.stream.write(bytes)).await {
                Ok(Ok(length)) => {
                    self.moved += length as u64;
                    bytes = &bytes[length..];
                }
                Ok(Err(error)) => return Err(self.lost("sending", what, error.into())),
                Err(_) => return Err(self.lost("sending", what, self.no_progress())),
            }
        }
        Ok(())
    }

    /// From here on until [`Data::end`], giving up resets the connection: in stream mode a close is the end of the file
    /// (RFC 959 section 3.4.1), and the server would keep half of one.
    pub(super) fn reset_unless_ended(&self, what: &str) -> Result<(), FtpError> {
        self.linger(Some(Duration::ZERO), what)
    }

    /// Gives up: the other end learns of it by a reset, even if it is in the middle of a file that does not get through.
    pub(super) fn reset(self) {
        // If that fails, it is closed in order.
        let _ = socket2::SockRef::from(socket(&self.stream)).set_linger(Some(Duration::ZERO));
    }

    /// Says that no more is to come.
    pub(super) async fn end(mut self, what: &str) -> Result<(), FtpError> {
        self.linger(None, what)?;
        match self.stream.shutdown().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.lost("sending", what, error.into())),
        }
    }

    fn linger(&self, time: Option<Duration>, what: &str) -> Result<(), FtpError> {
        socket2::SockRef::from(socket(&self.stream))
            .set_linger(time)
            .map_err(|error| self.lost("sending", what, error.into()))
    }

    fn no_progress(&self) -> ConnectionError {
        if self.moved == 0 {
            ConnectionError::Silent(self.stall)
        } else {
            ConnectionError::Stalled(self.stall)
        }
    }

    pub(super) fn lost(&self, verb: &str, what: &str, source: ConnectionError) -> FtpError {
        FtpError::Data {
            peer: self.peer,
            during: format!("{verb} {what} after {} bytes", self.moved),
            source,
        }
    }
}
