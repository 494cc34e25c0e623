use std::net::SocketAddr;
use std::time::Duration;

use fwdrill_protocol::drill::{DRILL_HEADER, DrillId};
use fwdrill_protocol::event::{EVENTS_PATH, Receipt};
use http::StatusCode;

use crate::http::{HttpError, Request, get};
use crate::limits::Limits;

/// No receipt is longer.
const LONGEST_RECEIPT: usize = 256 * 1024;
/// What a server says of a request that it does not take: one line.
const LONGEST_REASON: usize = 1024;

/// Where events go, and what says whose they are. Its debug form shows no token.
#[derive(Clone)]
pub struct Destination {
    /// The server, as the user calls it.
    pub host: String,
    /// Where that is; the first that answers has them.
    pub addresses: Vec<SocketAddr>,
    /// The enrolment token...
    pub token: Option<String>,
    /// ...or a drill that the server has met.
    pub drill: Option<DrillId>,
}

/// The server did not take events.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// It cannot be reached, or not be understood.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It says no.
    #[error("the server does not take events: {status}: {why}")]
    Refused {
        /// How.
        status: StatusCode,
        /// Why, in its words.
        why: String,
        /// When to come again.
        after: Option<Duration>,
    },
    /// It says something else.
    #[error("what came for events is no receipt")]
    NoReceipt(#[source] serde_json::Error),
    /// There is no address to go to.
    #[error("the server has no address")]
    Nowhere,
}

impl Destination {
    /// A server, with nothing to show yet.
    pub fn new(host: impl Into<String>, addresses: Vec<SocketAddr>) -> Self {
        Destination {
            host: host.into(),
            addresses,
            token: None,
            drill: None,
        }
    }

    /// Posts events, each as JSON. With the receipt the server answers for them.
    pub async fn post<'a>(
        &self,
        events: impl Iterator<Item = &'a [u8]>,
        limits: &Limits,
    ) -> Result<Receipt, PostError> {
        let mut body = vec![b'['];
        for (index, event) in events.enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(event);
        }
        body.push(b']');
        let body = bytes::Bytes::from(body);
        let mut failure = PostError::Nowhere;
        for address in &self.addresses {
            match self.post_to(*address, body.clone(), limits).await {
                Err(PostError::Http(error)) if error.connection().is_some_and(|source| source.never_stood()) => {
                    failure = error.into();
                }
                answered => return answered,
            }
        }
        Err(failure)
    }

    async fn post_to(&self, address: SocketAddr, body: bytes::Bytes, limits: &Limits) -> Result<Receipt, PostError> {
        let host = if self.host.contains(':') {
            format!("[{}]:{}", self.host, address.port())
        } else {
            format!("{}:{}", self.host, address.port())
        };
        let mut request = Request::new(host, EVENTS_PATH)
            .post(body)
            .header("content-type", "application/json");
        if let Some(drill) = self.drill {
            request = request.header(DRILL_HEADER, drill.to_string());
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = get(address, &request, limits).await?;
        let status = response.status();
        if status == StatusCode::OK {
            let receipt = response.bytes(LONGEST_RECEIPT).await?;
            return serde_json::from_slice(&receipt).map_err(PostError::NoReceipt);
        }
        let after = response
            .header("retry-after")
            .and_then(|seconds| seconds.parse().ok())
            .map(Duration::from_secs);
        // That it says no is what counts; the reason is for people.
        let why = response.bytes(LONGEST_REASON).await.unwrap_or_default();
        Err(PostError::Refused {
            status,
            why: String::from_utf8_lossy(&why).trim().to_owned(),
            after,
        })
    }
}

impl PostError {
    /// The pause that the server asks for.
    pub fn after(&self) -> Option<Duration> {
        match self {
            PostError::Refused { after, .. } => *after,
            _ => None,
        }
    }

    /// Whether the same request will never be taken.
    pub(super) fn is_about_the_request(&self) -> bool {
        let hopeless = [StatusCode::BAD_REQUEST, StatusCode::PAYLOAD_TOO_LARGE];
        matches!(self, PostError::Refused { status, .. } if hopeless.contains(status))
    }
}

impl std::fmt::Debug for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Destination")
            .field("host", &self.host)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}
