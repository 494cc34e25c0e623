//! 2222 of an update agent: it accepts, notes who came, and closes. What 2226 and 2227 have of it is in `exposure`.
//!
//! It also stands in front of the console (10443), and beside tasks and events (2222, 2225), whose own protocols begin
//! otherwise.
//!
//! 2222, 2225 and 10443 prove to a drill that it reached this server: to the line `FWDRILL <drill id>` they answer
//! `FWDRILL <flow> <server's port> <client's address as seen>`. To everybody else they say nothing.

use std::sync::Arc;
use std::time::Duration;

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::flow::Flow;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::connection::{Accepted, close_gently};
use crate::http::{self, Site};
use crate::journal::Journal;

/// How long a client may take over its first line.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// How long a client may say nothing at all where it may speak HTTP.
const SILENCE: Duration = Duration::from_secs(10);
/// What the line begins with, whatever the drill; no HTTP method that is served here begins with its first byte.
const LABEL: &[u8] = b"FWDRILL ";
/// The line: the label, 32 digits, CRLF.
const LINE: usize = LABEL.len() + 32 + 2;

/// Lives one connection to the sentinel of `flow`.
pub(crate) async fn live(flow: Flow, journal: Journal, accepted: Accepted, stopping: CancellationToken) {
    let mut accepted = accepted;
    let drill = tokio::select! {
        drill = timeout(PATIENCE, first_line(&mut accepted.stream)) => drill.unwrap_or_default(),
        () = stopping.cancelled() => None,
    };
    answer(flow, &journal, accepted, drill, &stopping).await;
}

/// Lives one connection to a port that speaks two protocols, told apart by the first byte: a drill's first line is for the
/// sentinel, anything else is HTTP.
pub(crate) async fn or_http(site: Arc<Site>, accepted: Accepted, stopping: CancellationToken) {
    let mut first = [0];
    let peeked = stopping.run_until_cancelled(timeout(SILENCE, accepted.stream.peek(&mut first)));
    match peeked.await {
        Some(Ok(Ok(1))) if first != LABEL[..1] => http::live(site, accepted, stopping).await,
        _ => live(site.flow, site.journal.clone(), accepted, stopping).await,
    }
}

/// Notes who came, answers a drill, and closes.
pub(crate) async fn answer(
    flow: Flow,
    journal: &Journal,
    accepted: Accepted,
    drill: Option<DrillId>,
    stopping: &CancellationToken,
) {
    let Accepted {
        mut stream,
        local,
        peer,
        syn,
    } = accepted;
    journal.accepted(drill, flow, local, peer, syn);
    debug!(%flow, %peer, known = drill.is_some(), "somebody knocked");
    if drill.is_some() && answers(flow) {
        let answer = format!("FWDRILL {flow} {} {peer}\r\n", local.port());
        // A client that is gone already needs no answer.
        let _ = stream.write_all(answer.as_bytes()).await;
    }
    if !stopping.is_cancelled() {
        close_gently(&mut stream).await;
    }
}

fn answers(flow: Flow) -> bool {
    matches!(flow, Flow::Agent | Flow::Events | Flow::Console)
}

/// The drill in the first line, as soon as it is complete; `None` as soon as it can be none.
pub(crate) async fn first_line(stream: &mut TcpStream) -> Option<DrillId> {
    let mut buffer = [0; LINE];
    let mut length = 0;
    loop {
        let read = stream.read(buffer.get_mut(length..)?).await.ok()?;
        length += read;
        let line = buffer.get(..length)?;
        let beginning = LABEL.len().min(length);
        if line.get(..beginning) != LABEL.get(..beginning) {
            return None;
        }
        if line.contains(&b'\n') {
            return DrillId::from_first_line(std::str::from_utf8(line).ok()?);
        }
        if read == 0 || length == LINE {
            return None;
        }
    }
}
