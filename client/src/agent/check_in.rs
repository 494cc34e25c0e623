//! The client asks the server what there is to do, and tells what is done.

use std::net::SocketAddr;

use fwdrill_protocol::task::{CHECK_IN_PATH, CheckIn, MOST_TASK_BYTES, Orders, SIGNATURE_HEADER, Task, is_signed};
use http::StatusCode;

use crate::http::{HttpError, Request, get};
use crate::limits::Limits;
use crate::sync::Server;

/// A check-in did not come to anything.
#[derive(Debug, thiserror::Error)]
pub enum CheckInError {
    /// The server has no address.
    #[error("the server has no address")]
    Nowhere,
    /// It cannot be reached, or not be understood.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It has another enrolment token.
    #[error("the server does not know this client's enrolment token (401)")]
    Token,
    /// It says no.
    #[error("the server takes no check-in: {status}: {why}")]
    Refused {
        /// How.
        status: StatusCode,
        /// Why, in its words.
        why: String,
    },
    /// Somebody else answers, or on the way it was changed.
    #[error("what came is not signed with this client's enrolment token")]
    NotSigned,
    /// It says something else.
    #[error("what came is no list of tasks")]
    NoOrders(#[source] serde_json::Error),
}

/// What a server says of a request that it does not take: one line.
const LONGEST_REASON: usize = 1024;

/// Checks in at the first of the server's addresses that answers; returns what there is to do.
pub(super) async fn check_in(
    server: &Server,
    port: u16,
    token: &str,
    said: &CheckIn,
    limits: &Limits,
) -> Result<Vec<Task>, CheckInError> {
    let json = serde_json::to_vec(said).map_err(CheckInError::NoOrders)?;
    let request = Request::new(server.authority(port), CHECK_IN_PATH)
        .post(json)
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {token}"));
    let mut failure = CheckInError::Nowhere;
    for address in &server.addresses {
        match ask(SocketAddr::new(*address, port), &request, token, limits).await {
            Err(CheckInError::Http(error)) if error.connection().is_some_and(|source| source.never_stood()) => {
                failure = error.into();
            }
            answered => return answered,
        }
    }
    Err(failure)
}

async fn ask(address: SocketAddr, request: &Request, token: &str, limits: &Limits) -> Result<Vec<Task>, CheckInError> {
    let response = get(address, request, limits).await?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED => return Err(CheckInError::Token),
        status => {
            let why = response.bytes(LONGEST_REASON).await.unwrap_or_default();
            let why = String::from_utf8_lossy(&why).trim().to_owned();
            return Err(CheckInError::Refused { status, why });
        }
    }
    let signature = response.header(SIGNATURE_HEADER).map(str::to_owned);
    // Each task is a few hundred bytes; the server keeps 50.
    let body = response.bytes(MOST_TASK_BYTES).await?;
    if !signature.is_some_and(|signature| is_signed(token, &body, &signature)) {
        return Err(CheckInError::NotSigned);
    }
    let orders: Orders = serde_json::from_slice(&body).map_err(CheckInError::NoOrders)?;
    Ok(orders.tasks)
}
