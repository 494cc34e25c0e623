//! One HTTP/1.1 GET or POST at a time over a connection of our own (hyper's codec; no pool, no redirects, no retries): what the
//! probes and [`crate::sync`] speak.
//!
//! ```no_run
//! # async fn example() -> Result<(), fwdrill_client::http::HttpError> {
//! use fwdrill_client::http::{Request, get};
//! let request = Request::new("update.example.net:2221", "/manifest.json").header("range", "bytes=512-");
//! let mut response = get(([127, 0, 0, 1], 2221).into(), &request, &Default::default()).await?;
//! while let Some(bytes) = response.chunk().await? {
//!     // ...
//! }
//! # Ok(())
//! # }
//! ```

mod error;
mod recorded;
mod request;
mod response;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use fwdrill_protocol::update_set::Sha256;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tokio_util::task::AbortOnDropHandle;

use crate::connection::{ConnectionError, connect};
use crate::limits::Limits;
use crate::tls;
use recorded::Recorded;

pub use error::HttpError;
pub use request::Request;
pub use response::Response;

/// Connects to `address`, sends `request` and reads the head of the response, whatever its status.
pub async fn get(address: SocketAddr, request: &Request, limits: &Limits) -> Result<Response, HttpError> {
    let failed = |source| HttpError::Connection {
        peer: address,
        during: "connecting".to_owned(),
        source,
    };
    let stream = connect(address, limits.connect).await.map_err(failed)?;
    get_over(stream, address, request, limits).await
}

/// [`get`] over a connection that somebody else made.
pub async fn get_over(
    stream: TcpStream,
    peer: SocketAddr,
    request: &Request,
    limits: &Limits,
) -> Result<Response, HttpError> {
    let built = request.build()?;
    let (stream, certificate) = secured(stream, peer, request, limits).await?;
    let (stream, first) = Recorded::new(stream);
    let during = format!("waiting for the response to {} {}", request.method(), request.path());
    let failed = |error: hyper::Error| error::classify(error, peer, during.clone(), &first);
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    // What ends the connection comes to light in the response and its body.
    let driver = AbortOnDropHandle::new(tokio::spawn(async move { drop(connection.await) }));
    tracing::debug!(%peer, "> {} {}", request.method(), request.path());
    let response = match tokio::time::timeout(limits.reply, sender.send_request(built)).await {
        Ok(response) => response.map_err(failed)?,
        Err(_) => {
            return Err(HttpError::Connection {
                peer,
                source: if first.get().is_empty() {
                    ConnectionError::Silent(limits.reply)
                } else {
                    ConnectionError::Stalled(limits.reply)
                },
                during,
            });
        }
    };
    tracing::debug!(%peer, "< {}", response.status());
    Ok(Response::new(
        response,
        request,
        peer,
        certificate,
        limits.stall,
        first,
        driver,
    ))
}

/// The connection as the request wants it, and under TLS the SHA-256 of the server's certificate.
async fn secured(
    stream: TcpStream,
    peer: SocketAddr,
    request: &Request,
    limits: &Limits,
) -> Result<(Either<TcpStream, TlsStream<TcpStream>>, Option<Sha256>), HttpError> {
    let Some(trust) = request.trust() else {
        return Ok((Either::Left(stream), None));
    };
    let failed = |source| HttpError::Connection {
        peer,
        during: "shaking hands for TLS".to_owned(),
        source,
    };
    let shaken = tls::secure(stream, request.host(), trust, limits.reply).await;
    let (stream, certificate) = shaken.map_err(failed)?.map_err(|error| HttpError::Tls {
        peer,
        source: Box::new(error),
    })?;
    tracing::debug!(%peer, %certificate, "TLS");
    Ok((Either::Right(stream), Some(certificate)))
}
