use std::io;
use std::net::SocketAddr;

use fwdrill_protocol::ftp_reply::Reply;

use crate::connection::ConnectionError;
use crate::tls::TlsError;

/// Why an FTP conversation did not go as it should.
#[derive(Debug, thiserror::Error)]
pub enum FtpError {
    /// The control connection could not be made, or was lost.
    #[error("FTP control connection to {peer} failed while {during}")]
    Control {
        /// The server's end.
        peer: SocketAddr,
        /// `connecting`, `waiting for the greeting`, `waiting for the reply to RETR /x`...
        during: String,
        /// What became of the connection.
        #[source]
        source: ConnectionError,
    },
    /// A data connection could not be made, or was lost.
    #[error("FTP data connection to {peer} failed while {during}")]
    Data {
        /// The address that was dialled.
        peer: SocketAddr,
        /// `connecting`, `receiving /x after 512 bytes`...
        during: String,
        /// What became of the connection.
        #[source]
        source: ConnectionError,
    },
    /// What came on the control connection is no FTP reply.
    #[error("{peer} does not speak FTP: it says {first:?}")]
    NotFtp {
        /// The server's end.
        peer: SocketAddr,
        /// The first bytes as text, at most 80.
        first: String,
    },
    /// A reply that does not allow to go on, or lacks what it must carry.
    #[error("unexpected reply to {command}: {} {}", .reply.code, .reply.text())]
    Unexpected {
        /// What was sent, a password as `****`; `the greeting` where nothing was.
        command: String,
        /// What came back.
        reply: Reply,
    },
    /// The connection stands, but there is no TLS on it.
    #[error("no TLS with {peer}")]
    Tls {
        /// The server's end.
        peer: SocketAddr,
        /// Why.
        #[source]
        source: Box<TlsError>,
    },
    /// A command would not be one line.
    #[error("FTP command {0:?} has a line break or NUL in it")]
    NotALine(String),
    /// What is sent to the server could not be read on this side.
    #[error("failed to read what is to be stored as {path}")]
    Source {
        /// The path on the server.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl FtpError {
    /// What became of the connection, where that is what failed.
    pub fn connection(&self) -> Option<(Channel, &ConnectionError)> {
        match self {
            FtpError::Control { source, .. } => Some((Channel::Control, source)),
            FtpError::Data { source, .. } => Some((Channel::Data, source)),
            _ => None,
        }
    }

    /// Whether the same may go better another time: a connection that failed, or a 4yz reply (RFC 959 section 4.2).
    pub fn is_transient(&self) -> bool {
        self.connection().is_some() || self.reply().is_some_and(|reply| reply.code / 100 == 4)
    }

    /// The reply that was not expected, where that is what failed.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            FtpError::Unexpected { reply, .. } => Some(reply),
            _ => None,
        }
    }
}

/// One of the two kinds of connection that FTP uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Commands and replies.
    Control,
    /// Files and listings.
    Data,
}
