//! An HTTP connection, in clear or under TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How long a client may take over our close_notify, a few bytes.
const FAREWELL: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    // Boxed, so that a connection in clear does not pay for it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Shakes hands if there is a TLS configuration: within the time, and not if the server stops meanwhile.
    pub(super) async fn open(
        stream: TcpStream,
        config: Option<Arc<ServerConfig>>,
        limit: Duration,
        stopping: &CancellationToken,
    ) -> io::Result<Self> {
        let Some(config) = config else {
            return Ok(Stream::Plain(stream));
        };
        let handshake = Box::pin(TlsAcceptor::from(config).accept(stream));
        match stopping
            .run_until_cancelled(tokio::time::timeout(limit, handshake))
            .await
        {
            Some(Ok(shaken)) => Ok(Stream::Tls(Box::new(shaken?))),
            Some(Err(_)) => Err(io::ErrorKind::TimedOut.into()),
            None => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    /// The TCP connection beneath. TLS ends with close_notify if `in_order`: without one the client takes what it got for
    /// cut short, and it should where it was.
    pub(super) async fn into_tcp_after_close_notify(self, in_order: bool) -> TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(mut stream) => {
                if in_order {
                    // Also shuts down TCP's sending half. Who takes nothing more is beyond help.
                    let _ = tokio::time::timeout(FAREWELL, stream.shutdown()).await;
                }
                stream.into_inner().0
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
