//! One connection to the console's port.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use fwdrill_protocol::flow::Flow;
use hyper::service::service_fn;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::debug;

use super::Console;
use crate::connection::Accepted;
use crate::http::{self, Ends};
use crate::sentinel::{self, PATIENCE};
use crate::stream::Stream;

/// The first byte of a TLS handshake (RFC 8446 section 5.1: content type 22).
const HANDSHAKE: u8 = 22;

/// Lives one connection. Who begins a TLS handshake gets the console; a drill that only wants to know whether it reached this
/// server, and whoever else does not, meet the sentinel.
pub(crate) async fn live_connection(console: Arc<Console>, accepted: Accepted, stopping: CancellationToken) {
    let first = tokio::select! {
        first = tokio::time::timeout(PATIENCE, first_byte(&accepted.stream)) => first.unwrap_or_default(),
        () = stopping.cancelled() => None,
    };
    let journal = console.journal.clone();
    match first {
        Some(HANDSHAKE) => {}
        Some(_) => return sentinel::live(Flow::Console, journal, accepted, stopping).await,
        None => return sentinel::answer(Flow::Console, &journal, accepted, None, &stopping).await,
    }
    let ends = Ends::of(&accepted);
    journal.accepted(None, Flow::Console, ends.local, ends.peer, ends.syn);
    let shaken = stopping.run_until_cancelled(Stream::secure(
        accepted.stream,
        console.tls.clone(),
        console.http.handshake,
    ));
    let stream = match shaken.await {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => return debug!(peer = %ends.peer, %error, "no TLS handshake"),
        None => return,
    };
    let (router, stop): (Router, _) = (console.router(), stopping.clone());
    let service = service_fn(move |mut request: ::http::Request<hyper::body::Incoming>| {
        let router = router.clone();
        request.extensions_mut().insert(ends);
        // Who looks on live is to end with the server.
        request.extensions_mut().insert(stop.clone());
        Box::pin(async move {
            let Ok(response) = router.oneshot(request.map(axum::body::Body::new)).await;
            Ok::<_, Infallible>(response)
        })
    });
    let spoken = http::speak(stream, &console.http, service, &stopping).await;
    if let Err(error) = &spoken.ended {
        debug!(peer = %ends.peer, error = %crate::chain(error), "connection ended early");
    }
    spoken.close().await;
}

/// The first byte, which stays to be read; `None` at an end without one.
async fn first_byte(stream: &TcpStream) -> Option<u8> {
    let mut byte = [0];
    let read = stream.peek(&mut byte).await.ok()?;
    (read > 0).then_some(byte[0])
}
