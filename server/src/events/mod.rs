//! 2225: clients tell what happened to them (docs/PROTOCOL.md), HTTP/1.1 and JSON.
//!
//! The port speaks two protocols, told apart by the first byte: a drill's first line is answered as on every port that is
//! to prove that it is this server's; anything else is HTTP.

mod desk;
mod rate;
mod token;

use std::sync::Arc;

use fwdrill_protocol::flow::Flow;
use tokio::time::{Duration, timeout};
use tokio_util::sync::CancellationToken;

use crate::connection::Accepted;
use crate::http::{self, Site};
use crate::sentinel;

pub(crate) use desk::{EventDesk, Refusal};
pub use token::{EnrolmentToken, TOKEN_FILE, TokenError};

/// No HTTP method that is served here begins with it.
const FIRST_OF_A_DRILL: u8 = b'F';

/// How long a client may say nothing at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lives one connection.
pub(crate) async fn live(site: Arc<Site>, accepted: Accepted, stopping: CancellationToken) {
    let mut first = [0];
    let peeked = stopping.run_until_cancelled(timeout(PATIENCE, accepted.stream.peek(&mut first)));
    match peeked.await {
        Some(Ok(Ok(1))) if first != [FIRST_OF_A_DRILL] => http::live(site, accepted, stopping).await,
        _ => sentinel::live(Flow::Events, site.journal.clone(), accepted, stopping).await,
    }
}
