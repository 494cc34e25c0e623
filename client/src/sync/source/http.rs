use std::collections::HashMap;
use std::net::SocketAddr;

use bytes::Bytes;
use fwdrill_protocol::update_set::{FileEntry, MAX_SIGNATURE_BYTES, Manifest, SetPath, VersionAnswer};
use http::StatusCode;

use super::{FetchError, Signed};
use crate::http::{HttpError, Request, Response, get};
use crate::sync::UpdateCycle;

/// The set that a version answer names: its paths have the serial in them, so they lead to the same set for as long as
/// the server has it.
pub(in crate::sync) struct HttpSource<'a> {
    cycle: &'a UpdateCycle,
    address: SocketAddr,
    answer: VersionAnswer,
    /// The entity tags under which files came, for If-Range (RFC 9110 section 13.1.5).
    tags: HashMap<SetPath, String>,
}

/// A file on its way.
pub(in crate::sync) struct Body {
    response: Response,
    offset: u64,
}

impl<'a> HttpSource<'a> {
    pub(in crate::sync) fn new(cycle: &'a UpdateCycle, address: SocketAddr, answer: VersionAnswer) -> Self {
        HttpSource {
            cycle,
            address,
            answer,
            tags: HashMap::new(),
        }
    }

    pub(super) async fn signed_manifest(&mut self) -> Result<Signed, (String, FetchError)> {
        let manifest = self.read(self.answer.manifest.clone(), Manifest::MAX_BYTES).await?;
        let signature = self.read(self.answer.signature(), MAX_SIGNATURE_BYTES).await?;
        Ok(Signed {
            manifest,
            signature: String::from_utf8_lossy(&signature).into_owned(),
        })
    }

    pub(super) async fn open(&mut self, entry: &FileEntry, offset: u64) -> Result<Body, FetchError> {
        let mut request = self.request(self.answer.file(&entry.path));
        if offset > 0 {
            request = request.header("range", format!("bytes={offset}-"));
            // A weak tag says nothing about bytes, and must not be sent here.
            if let Some(tag) = self.tags.get(&entry.path).filter(|tag| tag.starts_with('"')) {
                request = request.header("if-range", tag);
            }
        }
        let response = get(self.address, &request, &self.cycle.limits).await?;
        let offset = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if offset > 0 && starts_at(&response, offset) => offset,
            _ => return Err(response.unexpected().into()),
        };
        if let Some(length) = response.content_length()
            && offset.saturating_add(length) != entry.size
        {
            return Err(FetchError::Length(offset.saturating_add(length)));
        }
        if let Some(tag) = response.header("etag") {
            self.tags.insert(entry.path.clone(), tag.to_owned());
        }
        Ok(Body { response, offset })
    }

    fn request(&self, path: impl Into<String>) -> Request {
        let request = self.cycle.request(self.address.port(), path);
        request.secured(self.cycle.server.https)
    }

    /// The whole of a small file.
    async fn read(&self, path: String, limit: usize) -> Result<Vec<u8>, (String, FetchError)> {
        let request = self.request(&path);
        let read = async {
            let response = get(self.address, &request, &self.cycle.limits).await?;
            match response.status() {
                StatusCode::OK => response.bytes(limit).await,
                _ => Err(response.unexpected()),
            }
        };
        read.await.map_err(|error| (path, error.into()))
    }
}

impl Body {
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        self.response.chunk().await
    }
}

fn starts_at(response: &Response, offset: u64) -> bool {
    let start = response
        .header("content-range")
        .and_then(|range| range.strip_prefix("bytes "))
        .and_then(|range| range.split('-').next());
    start.and_then(|start| start.trim().parse().ok()) == Some(offset)
}
