//! From a representation to a response: conditions, ranges, validators and caching.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    LAST_MODIFIED, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use jiff::Timestamp;

use super::Problem;
use super::body::Body;
use super::preconditions::{self, Validators, Verdict};
use super::range::{self, Selection};
use super::transfer::Transfer;

/// What a path stands for at the moment.
#[derive(Debug)]
pub(crate) struct Representation {
    content: Content,
    content_type: &'static str,
    content_encoding: Option<&'static str>,
    /// Whether another encoding of it would be sent to who accepts it.
    varies: bool,
    validators: Option<Validators>,
    caching: Caching,
}

#[derive(Debug)]
pub(crate) enum Content {
    Memory(Bytes),
    File { file: Arc<File>, length: u64 },
}

/// What a cache may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caching {
    /// The name stands for something else tomorrow: ask again each time.
    Revalidate,
    /// The name stands for this for ever.
    Forever,
    /// Nobody else's business.
    Never,
}

impl Representation {
    /// JSON about this very moment, for one asker.
    pub(crate) fn json(value: &impl serde::Serialize) -> Result<Self, Problem> {
        match serde_json::to_vec(value) {
            Ok(json) => Ok(Self::new(
                Content::Memory(json.into()),
                "application/json",
                Caching::Never,
            )),
            Err(_) => Err(Problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the answer cannot be written as JSON",
            )),
        }
    }

    pub(crate) fn new(content: Content, content_type: &'static str, caching: Caching) -> Self {
        Representation {
            content,
            content_type,
            content_encoding: None,
            varies: false,
            validators: None,
            caching,
        }
    }

    /// `etag` is strong and has its quotes. The time is dropped while it lies in the future (RFC 9110 section 8.8.2.1).
    pub(crate) fn validated(mut self, etag: String, published: Option<Timestamp>) -> Self {
        let seconds = published.and_then(|time| u64::try_from(time.as_second()).ok());
        let last_modified = seconds.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        self.validators = Some(Validators {
            etag,
            last_modified: last_modified.filter(|time| *time <= SystemTime::now()),
            immutable: self.caching == Caching::Forever,
        });
        self
    }

    /// `encoding` is what it is encoded in; there are others to choose from.
    pub(crate) fn one_of_several(mut self, encoding: Option<&'static str>) -> Self {
        self.content_encoding = encoding;
        self.varies = true;
        self
    }

    /// How many bytes there are.
    pub(crate) fn length(&self) -> u64 {
        match &self.content {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::File { length, .. } => *length,
        }
    }

    /// The response to a GET or HEAD (hyper leaves out the body of the latter). `transfer` makes the record of a transfer of so many bytes, if one is wanted.
    pub(super) fn respond(
        self,
        method: &Method,
        headers: &HeaderMap,
        transfer: impl FnOnce(u64) -> Option<Transfer>,
    ) -> Response<Body> {
        let verdict = self.validators.as_ref().map_or(Verdict::Proceed, |validators| {
            preconditions::evaluate(headers, validators)
        });
        let mut response = match verdict {
            Verdict::NotModified => status(StatusCode::NOT_MODIFIED, Body::default()),
            Verdict::Failed => {
                return super::problem(StatusCode::PRECONDITION_FAILED, "a condition of the request failed");
            }
            // Range is for GET alone (RFC 9110 section 14.2).
            Verdict::Proceed if method == Method::GET => match range::select(headers, self.length()) {
                Selection::Whole => self.whole(transfer),
                Selection::Unsatisfiable => self.unsatisfiable(),
                Selection::Parts(parts) => self.parts(&parts, transfer),
            },
            Verdict::Proceed | Verdict::ProceedWhole if method == Method::GET => self.whole(transfer),
            Verdict::Proceed | Verdict::ProceedWhole => self.whole(|_| None),
        };
        self.describe(&mut response);
        response
    }

    fn whole(&self, transfer: impl FnOnce(u64) -> Option<Transfer>) -> Response<Body> {
        let length = self.length();
        let mut body = Body::counted(transfer(length));
        self.push(&mut body, 0..length);
        status(StatusCode::OK, body)
    }

    fn unsatisfiable(&self) -> Response<Body> {
        let mut response = super::problem(StatusCode::RANGE_NOT_SATISFIABLE, "there are no such bytes");
        put(&mut response, CONTENT_RANGE, format!("bytes */{}", self.length()));
        response
    }

    fn parts(&self, parts: &[Range<u64>], transfer: impl FnOnce(u64) -> Option<Transfer>) -> Response<Body> {
        let length = self.length();
        let content_range = |part: &Range<u64>| format!("bytes {}-{}/{length}", part.start, part.end - 1);
        let mut body = Body::counted(transfer(parts.iter().map(|part| part.end - part.start).sum()));
        if let [part] = parts {
            self.push(&mut body, part.clone());
            let mut response = status(StatusCode::PARTIAL_CONTENT, body);
            put(&mut response, CONTENT_RANGE, content_range(part));
            return response;
        }
        // Random, so that no file can contain it (RFC 2046 section 5.1.1).
        let boundary = format!("{:032x}", rand::random::<u128>());
        for part in parts {
            body.push_frame(format!(
                "\r\n--{boundary}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n",
                self.content_type,
                content_range(part)
            ));
            self.push(&mut body, part.clone());
        }
        body.push_frame(format!("\r\n--{boundary}--\r\n"));
        let mut response = status(StatusCode::PARTIAL_CONTENT, body);
        put(
            &mut response,
            CONTENT_TYPE,
            format!("multipart/byteranges; boundary={boundary}"),
        );
        response
    }

    fn push(&self, body: &mut Body, range: Range<u64>) {
        match &self.content {
            Content::File { file, .. } => body.push_file(file.clone(), range),
            Content::Memory(bytes) => body.push_memory(bytes.slice(range.start as usize..range.end as usize)),
        }
    }

    /// What every answer about a representation says of it; a 304 and a 416 say nothing about a body they do not have.
    fn describe(&self, response: &mut Response<Body>) {
        let sent = response.status().is_success();
        if sent {
            let length = response.body().len();
            put(response, CONTENT_LENGTH, length.to_string());
            put(response, ACCEPT_RANGES, "bytes");
            put(response, X_CONTENT_TYPE_OPTIONS, "nosniff");
            if !response.headers().contains_key(CONTENT_TYPE) {
                put(response, CONTENT_TYPE, self.content_type);
            }
            if let Some(encoding) = self.content_encoding {
                put(response, CONTENT_ENCODING, encoding);
            }
        }
        if let Some(validators) = &self.validators {
            put(response, ETAG, validators.etag.clone());
            if let Some(time) = validators.last_modified {
                put(response, LAST_MODIFIED, httpdate::fmt_http_date(time));
            }
        }
        if self.varies {
            put(response, VARY, "accept-encoding");
        }
        let caching = match self.caching {
            Caching::Revalidate => "no-cache",
            Caching::Forever => "public, max-age=31536000, immutable",
            Caching::Never => "no-store",
        };
        put(response, CACHE_CONTROL, caching);
    }
}

pub(super) fn status(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// Sets a field. Values are our own texts; what is no field value is left out.
pub(super) fn put<V>(response: &mut Response<Body>, name: HeaderName, value: V)
where
    HeaderValue: TryFrom<V>,
{
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}
