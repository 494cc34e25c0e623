//! How an HTTP connection goes under TLS, and how that ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::stream::{Stream, in_time};

/// How long a client may take over our close_notify, a few bytes.
const FAREWELL: Duration = Duration::from_secs(2);

/// Shakes hands if there is a TLS configuration: within the time, and not if the server stops meanwhile.
pub(super) async fn open(
    stream: TcpStream,
    config: Option<Arc<ServerConfig>>,
    limit: Duration,
    stopping: &CancellationToken,
) -> io::Result<Stream> {
    let Some(config) = config else {
        return Ok(Stream::Plain(stream));
    };
    let shaken = stopping.run_until_cancelled(Stream::secure(stream, config, limit));
    shaken.await.unwrap_or_else(|| Err(io::ErrorKind::Interrupted.into()))
}

/// The TCP connection beneath. TLS ends with close_notify if `in_order`: without one the client takes what it got for
/// cut short, and it should where it was.
pub(super) async fn into_tcp_after_close_notify(mut stream: Stream, in_order: bool) -> TcpStream {
    if in_order && let Stream::Tls(tls) = &mut stream {
        // Also shuts down TCP's sending half. Who takes nothing more is beyond help.
        let _ = in_time(FAREWELL, tls.shutdown()).await;
    }
    stream.into_tcp()
}
