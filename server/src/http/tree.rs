//! The download tree of port 2221: the set in force under `/`, and every set that is still there under `/sets/<serial>/`.
//!
//! What the manifest does not name does not exist: no directories, no listings, no hidden files.

use std::sync::Arc;

use fwdrill_protocol::update_set::{FileEntry, MANIFEST_FILE, SIGNATURE_FILE, SetPath, Sha256};
use http::{HeaderMap, StatusCode};
use sha2::Digest;
use tracing::error;

use super::encoding::{self, CODINGS};
use super::representation::{Caching, Content, Representation};
use super::{NO_SET, Problem};
use crate::shelf::{self, Set, Shelf};

const NOT_FOUND: Problem = Problem(StatusCode::NOT_FOUND, "there is no such file");

/// Finds what an absolute path (percent-encoded, without a query) stands for.
pub(super) async fn find(shelf: &Shelf, path: &str, headers: &HeaderMap) -> Result<Representation, Problem> {
    let path = decoded(path).ok_or(NOT_FOUND)?;
    if path == "minisign.pub" {
        return public_key(shelf);
    }
    match path.strip_prefix("sets/") {
        None => {
            let set = shelf.current().await.ok_or(NO_SET)?;
            in_set(set, &path, headers, Caching::Revalidate).await
        }
        Some(pinned) => {
            let (serial, path) = pinned.split_once('/').ok_or(NOT_FOUND)?;
            let serial = serial_of(serial).ok_or(NOT_FOUND)?;
            let set = shelf.set(serial).await.ok_or(NOT_FOUND)?;
            in_set(set, path, headers, Caching::Forever).await
        }
    }
}

async fn in_set(set: Arc<Set>, path: &str, headers: &HeaderMap, caching: Caching) -> Result<Representation, Problem> {
    let published = Some(set.manifest().published());
    let (content, content_type) = match path {
        MANIFEST_FILE => (set.manifest_bytes(), "application/json"),
        SIGNATURE_FILE => (set.signature_bytes(), "text/plain; charset=utf-8"),
        _ => return file(set, path, headers, caching).await,
    };
    let (bytes, digest) = content;
    Ok(Representation::new(Content::Memory(bytes), content_type, caching).validated(etag(&digest), published))
}

async fn file(set: Arc<Set>, path: &str, headers: &HeaderMap, caching: Caching) -> Result<Representation, Problem> {
    let asked: SetPath = path.parse().map_err(|_| NOT_FOUND)?;
    let itself = set.manifest().file(&asked).ok_or(NOT_FOUND)?;
    let variants: Vec<(&'static str, &FileEntry)> = variants(&set, &asked).collect();
    let chosen = variants.iter().find(|(coding, _)| encoding::accepts(headers, coding));
    let (coding, entry) = match chosen {
        Some((coding, entry)) => (Some(*coding), *entry),
        None => (None, itself),
    };
    let content = open(&set, entry).await?;
    let published = Some(set.manifest().published());
    let found = Representation::new(content, content_type(&asked), caching).validated(etag(&entry.sha256), published);
    Ok(if variants.is_empty() {
        found
    } else {
        found.one_of_several(coding)
    })
}

fn variants<'a>(set: &'a Set, path: &SetPath) -> impl Iterator<Item = (&'static str, &'a FileEntry)> {
    CODINGS.into_iter().filter_map(move |(coding, ending)| {
        let variant: SetPath = format!("{}{ending}", path.as_str()).parse().ok()?;
        Some((coding, set.manifest().file(&variant)?))
    })
}

async fn open(set: &Arc<Set>, entry: &FileEntry) -> Result<Content, Problem> {
    let opened = set.content(entry).await.map(|content| match content {
        shelf::Content::Memory(bytes) => Content::Memory(bytes),
        shelf::Content::File(file) => Content::File {
            file: Arc::new(file),
            length: entry.size,
        },
    });
    opened.map_err(|error| {
        error!(serial = set.serial(), path = entry.path.as_str(), error = %crate::chain(&error), "a file of the set in service cannot be served");
        Problem(StatusCode::INTERNAL_SERVER_ERROR, "the file is damaged on the server")
    })
}

fn public_key(shelf: &Shelf) -> Result<Representation, Problem> {
    let text = shelf.public_key().ok_or(NO_SET)?.render();
    let digest = Sha256::from_bytes(sha2::Sha256::digest(&text).into());
    let content = Content::Memory(text.into());
    let found = Representation::new(content, "text/plain; charset=utf-8", Caching::Revalidate);
    Ok(found.validated(etag(&digest), None))
}

fn etag(digest: &Sha256) -> String {
    format!("\"{digest}\"")
}

fn content_type(path: &SetPath) -> &'static str {
    let ending = path.file_name().rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending.to_ascii_lowercase().as_str() {
        "json" => "application/json",
        "xml" => "application/xml",
        "txt" | "log" | "ini" | "pub" | "minisig" => "text/plain; charset=utf-8",
        "gz" => "application/gzip",
        "zst" => "application/zstd",
        _ => "application/octet-stream",
    }
}

/// The names of a set's files need no encoding, but may come encoded all the same. An encoded `/` is not one.
fn decoded(path: &str) -> Option<String> {
    let path = path.strip_prefix('/')?;
    let mut bytes = path.bytes();
    let mut text = String::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let byte = u8::try_from(digit()? * 16 + digit()?).ok()?;
                if byte == b'/' {
                    return None;
                }
                byte
            }
            byte => byte,
        };
        // Nothing in the tree has a name beyond ASCII.
        if !byte.is_ascii() {
            return None;
        }
        text.push(char::from(byte));
    }
    Some(text)
}

/// Decimal, without sign or leading zero: a set has one name.
fn serial_of(text: &str) -> Option<u64> {
    let serial: u64 = text.parse().ok()?;
    (serial.to_string() == text).then_some(serial)
}
