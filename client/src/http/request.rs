use http_body_util::Empty;
use hyper::body::Bytes;

use super::HttpError;
use crate::tls::Trust;

/// What to ask for: a GET of one path, with as many headers as needed.
#[derive(Debug, Clone)]
pub struct Request {
    host: String,
    path: String,
    headers: Vec<(String, String)>,
    trust: Option<Trust>,
}

impl Request {
    /// `host` is what the Host header says (`update.example.net:2221`), `path` starts with a slash.
    pub fn new(host: impl Into<String>, path: impl Into<String>) -> Self {
        Request {
            host: host.into(),
            path: path.into(),
            headers: Vec::new(),
            trust: None,
        }
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

    /// The path.
    pub fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn build(&self) -> Result<http::Request<Empty<Bytes>>, HttpError> {
        let mut builder = http::Request::get(&self.path)
            .header(http::header::HOST, &self.host)
            .header(http::header::USER_AGENT, concat!("fwdrill/", env!("CARGO_PKG_VERSION")))
            .header(http::header::CONNECTION, "close");
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        builder.body(Empty::new()).map_err(|source| HttpError::Request {
            path: self.path.clone(),
            source,
        })
    }
}
