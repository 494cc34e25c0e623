use std::net::{IpAddr, SocketAddr};

use fwdrill_protocol::update_set::{Manifest, VersionAnswer};
use http::StatusCode;

use super::progress::Progress;
use super::retry::Patience;
use super::{SyncError, UpdateCycle};
use crate::http::{HttpError, Request, get};

const PATH: &str = "/version";

/// No version answer is longer.
const LONGEST_ANSWER: usize = 16 * 1024;

/// What the version service says.
#[derive(Debug)]
pub(super) enum Answer {
    /// The set that was asked about is still the newest.
    NothingNew,
    /// The newest set is this one.
    Newest(VersionAnswer),
}

/// Asks whether there is anything newer than `known`, and finds out which of the server's addresses answers.
pub(super) async fn ask(
    cycle: &UpdateCycle,
    known: Option<&Manifest>,
    progress: &dyn Progress,
) -> Result<(IpAddr, Answer), SyncError> {
    let mut request = cycle.request(cycle.server.version, PATH);
    if let Some(known) = known {
        request = request.header("if-none-match", VersionAnswer::of(known).etag());
    }
    let mut patience = Patience::new(cycle.retry, progress);
    let (address, answer) = loop {
        let error = match try_each(cycle, &request, known.is_some()).await? {
            Ok((address, answer)) => break (address, answer),
            Err(error) => error,
        };
        let worth_it = error.connection().is_some_and(|source| !source.never_stood());
        patience
            .after(PATH, error, worth_it)
            .await
            .map_err(SyncError::Version)?;
    };
    tracing::debug!(%address, ?answer, "the version service answered");
    Ok((address, answer))
}

/// A name often has an IPv6 and an IPv4 address of which only one is served. The inner error may be worth another try.
async fn try_each(
    cycle: &UpdateCycle,
    request: &Request,
    conditional: bool,
) -> Result<Result<(IpAddr, Answer), HttpError>, SyncError> {
    let mut failure = None;
    for address in &cycle.server.addresses {
        let socket = SocketAddr::new(*address, cycle.server.version);
        match read(cycle, socket, request, conditional).await {
            Ok(body) => return Ok(Ok((*address, understand(body)?))),
            Err(error) if error.connection().is_some() => {
                tracing::debug!(%socket, %error, "the version service does not answer here");
                // The first is the one the system prefers, so its failure is the one to tell.
                failure.get_or_insert(error);
            }
            Err(error) => return Err(SyncError::Version(error)),
        }
    }
    match failure {
        Some(error) => Ok(Err(error)),
        None => Err(SyncError::Name {
            host: cycle.server.host.clone(),
            source: std::io::ErrorKind::NotFound.into(),
        }),
    }
}

/// The body of the answer; `None` if it is "not modified".
async fn read(
    cycle: &UpdateCycle,
    socket: SocketAddr,
    request: &Request,
    conditional: bool,
) -> Result<Option<Vec<u8>>, HttpError> {
    let response = get(socket, request, &cycle.limits).await?;
    match response.status() {
        // Nobody may say so who was not asked.
        StatusCode::NOT_MODIFIED if conditional => Ok(None),
        StatusCode::OK => response.bytes(LONGEST_ANSWER).await.map(Some),
        _ => Err(response.unexpected()),
    }
}

fn understand(body: Option<Vec<u8>>) -> Result<Answer, SyncError> {
    match body {
        None => Ok(Answer::NothingNew),
        Some(body) => {
            let answer = VersionAnswer::parse(&body).map_err(SyncError::VersionAnswer)?;
            Ok(Answer::Newest(answer))
        }
    }
}
