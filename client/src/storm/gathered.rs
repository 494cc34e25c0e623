//! Storms of more machines than one: what each told the server of itself.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::storm::{STORMS_PATH, StormReport};

use crate::connection::ConnectionError;
use crate::http::{HttpError, Request, get};
use crate::limits::Limits;
use crate::sync::Server;

/// A thousand reports are less.
const LONGEST: usize = 64 << 20;

/// The storms are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    /// Only who has the enrolment token is told.
    #[error("the server shows storms to who has the enrolment token: give it as agent.token (FWDRILL_AGENT_TOKEN)")]
    NoToken,
    /// The events port does not tell.
    #[error("failed to read the storms that the server was told of")]
    Http(#[source] HttpError),
    /// What it says is something else.
    #[error("what came are no reports of storms")]
    NotReports(#[source] serde_json::Error),
}

/// The last storm of each client name that the server was told of, by name.
pub async fn gathered(server: &Server, estate: &Estate, limits: &Limits) -> Result<Vec<StormReport>, GatherError> {
    let token = estate.agent.token.as_ref().ok_or(GatherError::NoToken)?;
    let port = estate.ports.events;
    let request = Request::new(server.authority(port), STORMS_PATH);
    let request = request.header("authorization", format!("Bearer {token}"));
    let mut read = Err(HttpError::Connection {
        peer: SocketAddr::from(([0, 0, 0, 0], port)),
        during: "connecting".to_owned(),
        source: ConnectionError::Closed,
    });
    for address in &server.addresses {
        read = match get(SocketAddr::new(*address, port), &request, limits).await {
            Ok(response) if response.status().is_success() => response.bytes(LONGEST).await,
            Ok(response) => Err(response.unexpected()),
            Err(error) => Err(error),
        };
        if read.is_ok() {
            break;
        }
    }
    let bytes = read.map_err(GatherError::Http)?;
    let newest_first: Vec<StormReport> = serde_json::from_slice(&bytes).map_err(GatherError::NotReports)?;
    Ok(last_of_each(newest_first))
}

fn last_of_each(newest_first: Vec<StormReport>) -> Vec<StormReport> {
    let mut seen = BTreeSet::new();
    let mut last: Vec<StormReport> = newest_first
        .into_iter()
        .filter(|report| seen.insert(report.client.clone()))
        .collect();
    last.sort_by(|one, other| one.client.cmp(&other.client));
    last
}
