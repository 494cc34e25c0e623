use std::error::Error;
use std::io;
use std::net::SocketAddr;

use http::{Method, StatusCode};

use super::recorded::FirstBytes;
use crate::connection::{ConnectionError, first_text};
use crate::tls::TlsError;

/// Why there is no (whole) response.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The connection could not be made, or was lost. A body that ends before its length is
    /// [`ConnectionError::Closed`].
    #[error("HTTP connection to {peer} failed while {during}")]
    Connection {
        /// The server's end.
        peer: SocketAddr,
        /// `connecting`, `receiving /x after 512 of 1024 bytes`...
        during: String,
        /// What became of the connection.
        #[source]
        source: ConnectionError,
    },
    /// There is no TLS, or not with the server that is meant.
    #[error("no HTTPS with {peer}")]
    Tls {
        /// The server's end.
        peer: SocketAddr,
        /// Why.
        #[source]
        source: Box<TlsError>,
    },
    /// What came is no HTTP response.
    #[error("{peer} does not speak HTTP: it says {first:?}")]
    NotHttp {
        /// The server's end.
        peer: SocketAddr,
        /// The first bytes as text, at most 80.
        first: String,
    },
    /// It speaks HTTP, but not well enough (head too large, broken chunks...).
    #[error("malformed HTTP from {peer} while {during}")]
    Malformed {
        /// The server's end.
        peer: SocketAddr,
        /// As in [`HttpError::Connection`].
        during: String,
        /// What the codec says.
        #[source]
        source: hyper::Error,
    },
    /// A status that does not allow to go on; made by who asked ([`super::Response::unexpected`]).
    #[error("{peer} answers {method} {path} with {status}")]
    Status {
        /// The server's end.
        peer: SocketAddr,
        /// `GET`, `POST`.
        method: Method,
        /// The path.
        path: String,
        /// The status.
        status: StatusCode,
    },
    /// The body is longer than the caller wants.
    #[error("the body of {path} is longer than {limit} bytes")]
    TooLong {
        /// The path.
        path: String,
        /// The caller's limit.
        limit: usize,
    },
    /// The path or a header cannot be sent.
    #[error("invalid HTTP request for {path:?}")]
    Request {
        /// The path.
        path: String,
        /// Why.
        #[source]
        source: http::Error,
    },
}

impl HttpError {
    /// What became of the connection, where that is what failed.
    pub fn connection(&self) -> Option<&ConnectionError> {
        match self {
            HttpError::Connection { source, .. } => Some(source),
            _ => None,
        }
    }
}

pub(super) fn classify(error: hyper::Error, peer: SocketAddr, during: String, first: &FirstBytes) -> HttpError {
    let seen = first.get();
    let prefix = &b"HTTP/"[..seen.len().min(5)];
    if !seen.starts_with(prefix) {
        return HttpError::NotHttp {
            peer,
            first: first_text(&seen),
        };
    }
    let source = match io_error(&error) {
        Some(io) => io.into(),
        None if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => ConnectionError::Closed,
        None => {
            return HttpError::Malformed {
                peer,
                during,
                source: error,
            };
        }
    };
    HttpError::Connection { peer, during, source }
}

/// The error of the socket, if that is what it was: remade, because hyper only lends it. The codec's own complaints are
/// `io::Error`s as well, but without an errno.
fn io_error(error: &hyper::Error) -> Option<io::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let end = io.kind() == io::ErrorKind::UnexpectedEof;
            return io
                .raw_os_error()
                .map(io::Error::from_raw_os_error)
                .or(end.then(|| io.kind().into()));
        }
        cause = error.source();
    }
    None
}
