use std::net::SocketAddr;
use std::time::Duration;

use fwdrill_protocol::update_set::Sha256;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use tokio_util::task::AbortOnDropHandle;

use super::error::{self, HttpError};
use super::recorded::FirstBytes;
use super::request::Request;
use crate::connection::ConnectionError;

/// The head of a response, and its body as it comes. Dropping it closes the connection.
#[derive(Debug)]
pub struct Response {
    /// Status and headers.
    head: http::response::Parts,
    body: Incoming,
    method: Method,
    path: String,
    peer: SocketAddr,
    certificate: Option<Sha256>,
    stall: Duration,
    first: FirstBytes,
    received: u64,
    _driver: AbortOnDropHandle<()>,
}

impl Response {
    pub(super) fn new(
        response: http::Response<Incoming>,
        request: &Request,
        peer: SocketAddr,
        certificate: Option<Sha256>,
        stall: Duration,
        first: FirstBytes,
        driver: AbortOnDropHandle<()>,
    ) -> Self {
        let (head, body) = response.into_parts();
        Response {
            head,
            body,
            method: request.method().clone(),
            path: request.path().to_owned(),
            peer,
            certificate,
            stall,
            first,
            received: 0,
            _driver: driver,
        }
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The SHA-256 of the server's certificate, where it came over TLS.
    pub fn certificate(&self) -> Option<Sha256> {
        self.certificate
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// A header's value as text, if it is there once and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.head.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }

    /// How long the body says it is.
    pub fn content_length(&self) -> Option<u64> {
        self.header(CONTENT_LENGTH.as_str())?.parse().ok()
    }

    /// How many bytes of the body have come.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The next bytes of the body; `None` when all of it has come. A body shorter than it says is an error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            match tokio::time::timeout(self.stall, self.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    // Trailers carry nothing for us.
                    if let Ok(data) = frame.into_data() {
                        self.received += data.len() as u64;
                        return Ok(Some(data));
                    }
                }
                Ok(Some(Err(error))) => return Err(error::classify(error, self.peer, self.during(), &self.first)),
                Err(_) => {
                    return Err(HttpError::Connection {
                        peer: self.peer,
                        during: self.during(),
                        source: ConnectionError::Stalled(self.stall),
                    });
                }
            }
        }
    }

    /// The whole body, which must not be longer than `limit` bytes.
    pub async fn bytes(mut self, limit: usize) -> Result<Vec<u8>, HttpError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if bytes.len() + chunk.len() > limit {
                return Err(HttpError::TooLong { path: self.path, limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// An error that names this response's status, for who did not expect it.
    pub fn unexpected(&self) -> HttpError {
        HttpError::Status {
            peer: self.peer,
            method: self.method.clone(),
            path: self.path.clone(),
            status: self.status(),
        }
    }

    fn during(&self) -> String {
        match self.content_length() {
            Some(length) => format!("receiving {} after {} of {length} bytes", self.path, self.received),
            None => format!("receiving {} after {} bytes", self.path, self.received),
        }
    }
}
