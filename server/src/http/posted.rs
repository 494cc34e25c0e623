//! Requests that bring something, and their answers.

use std::time::Duration;

use bytes::Bytes;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::body::Body;
use super::representation::put;
use super::{Problem, Representation, problem};

/// How long the body of a request may take.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Why something is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) problem: Problem,
    /// When to come again.
    pub(crate) after: Option<Duration>,
}

impl Refusal {
    pub(crate) const fn is(code: StatusCode, why: &'static str) -> Self {
        Refusal {
            problem: Problem(code, why),
            after: None,
        }
    }

    pub(crate) const fn later(code: StatusCode, why: &'static str, after: Duration) -> Self {
        Refusal {
            problem: Problem(code, why),
            after: Some(after),
        }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Refusal { problem, after: None }
    }
}

/// What all bodies that are being read at once may take of memory.
#[derive(Debug)]
pub(crate) struct Room(Semaphore);

impl Room {
    /// So much, KiB.
    pub(crate) fn kib(kib: usize) -> Self {
        Room(Semaphore::new(kib))
    }

    /// The whole body, of the length that it says, `most` bytes at most.
    pub(crate) async fn read(&self, body: Incoming, most: usize) -> Result<Bytes, Refusal> {
        let Some(length) = body.size_hint().exact() else {
            return Err(Refusal::is(
                StatusCode::LENGTH_REQUIRED,
                "the length of the body is not known",
            ));
        };
        if length > most as u64 {
            return Err(Refusal::is(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is longer than is taken here",
            ));
        }
        let kib = u32::try_from(length / 1024 + 1).unwrap_or(u32::MAX);
        let _held = self.0.try_acquire_many(kib).map_err(|_| {
            Refusal::later(
                StatusCode::SERVICE_UNAVAILABLE,
                "so much is being received that no more can",
                Duration::from_secs(1),
            )
        })?;
        match timeout(BODY_TIME, body.collect()).await {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(_)) => Err(Refusal::is(StatusCode::BAD_REQUEST, "the body ended early")),
            Err(_) => Err(Refusal::is(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not come in time",
            )),
        }
    }
}

/// The answer.
pub(super) fn respond(taken: Result<Representation, Refusal>) -> Response<Body> {
    match taken {
        Ok(answer) => answer.respond(&Method::GET, &HeaderMap::new(), |_| None),
        Err(Refusal {
            problem: Problem(code, why),
            after,
        }) => {
            let mut response = problem(code, why);
            if code == StatusCode::UNAUTHORIZED {
                put(&mut response, WWW_AUTHENTICATE, "Bearer realm=\"fwdrill\"");
            }
            if let Some(after) = after {
                put(&mut response, RETRY_AFTER, after.as_secs().max(1).to_string());
            }
            response
        }
    }
}
