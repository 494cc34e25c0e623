use http::Method;
use http_body_util::Full;
use hyper::body::Bytes;

use super::HttpError;
use crate::tls::Trust;

/// What to ask for: a GET of one path or a POST to it, with as many headers as needed.
#[derive(Debug, Clone)]
pub struct Request {
    method: Method,
    host: String,
    path: String,
    body: Bytes,
    headers: Vec<(String, String)>,
    trust: Option<Trust>,
}

impl Request {
    /// `host` is what the Host header says (`update.example.net:2221`), `path` starts with a slash.
    pub fn new(host: impl Into<String>, path: impl Into<String>) -> Self {
        Request {
            method: Method::GET,
            host: host.into(),
            path: path.into(),
            body: Bytes::new(),
            headers: Vec::new(),
            trust: None,
        }
    }

    /// Makes it a POST of `body`.
    pub fn post(mut self, body: impl Into<Bytes>) -> Self {
        (self.method, self.body) = (Method::POST, body.into());
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Makes it HTTPS, if there is a certificate to trust.
    pub fn secured(mut self, trust: Option<Trust>) -> Self {
        self.trust = trust;
        self
    }

    pub(super) fn trust(&self) -> Option<Trust> {
        self.trust
    }

    /// The host without its port.
    pub(super) fn host(&self) -> &str {
        match self.host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => self.host.split_once(':').map_or(self.host.as_str(), |(host, _)| host),
        }
    }

    /// `GET`, `POST`.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn build(&self) -> Result<http::Request<Full<Bytes>>, HttpError> {
        let mut builder = http::Request::builder()
            .method(&self.method)
            .uri(&self.path)
            .header(http::header::HOST, &self.host)
            .header(http::header::USER_AGENT, concat!("fwdrill/", env!("CARGO_PKG_VERSION")))
            .header(http::header::CONNECTION, "close");
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        builder
            .body(Full::new(self.body.clone()))
            .map_err(|source| HttpError::Request {
                path: self.path.clone(),
                source,
            })
    }
}
