//! The tree that one session sees: the update set that was in force at login, and the drop box.
//!
//! ```text
//! /minisign.pub  /manifest.json  /manifest.json.minisig      read only
//! /signatures/...  /policies/...  /extras/...                read only: the files of the manifest, no others
//! /upload/<client>/<file>                                    write only
//! ```
//! A set never changes, so what is listed is what its manifest says, whatever happens in the directory meanwhile.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use fwdrill_protocol::update_set::{FileEntry, MANIFEST_FILE, SIGNATURE_FILE};
use thiserror::Error;

use super::path::VirtualPath;
use crate::dropbox::{self, DropBox, Placement, Upload, UploadError};
use crate::shelf::{Set, Unservable};

/// Where the depot keeps the key that sets are checked with, and where clients find it.
const PUBLIC_KEY_FILE: &str = "minisign.pub";
/// The drop box.
const UPLOAD: &str = "upload";

/// What a session sees. Its methods block for as long as the file system does.
#[derive(Debug)]
pub struct Tree {
    set: Option<Arc<Set>>,
    public_key: Option<Bytes>,
    dropbox: Arc<DropBox>,
    /// The time of what has none of its own.
    since: SystemTime,
    /// Whether what was dropped can be renamed and removed.
    may_change: bool,
}

/// A file or directory, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Without the path before it; empty for the root.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// In bytes; 0 for directories.
    pub size: u64,
    /// For files of the set, when the set was published.
    pub modified: SystemTime,
}

/// What an [`Entry`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file that may be read.
    File,
    /// A directory of the set, or the root.
    Directory,
    /// `/upload` or a client's directory in it: to be written into, not read.
    DropBox,
}

/// The contents of a file.
#[derive(Debug)]
pub struct Content {
    /// Where the bytes are.
    pub body: Body,
    /// How many there are.
    pub size: u64,
}

/// Where the bytes of a file are.
#[derive(Debug)]
pub enum Body {
    /// In memory: manifest, signature, key.
    Memory(Bytes),
    /// On the disk: a regular file, at its start.
    File(File),
}

/// Why a session cannot have its way.
#[derive(Debug, Error)]
pub enum TreeError {
    /// There is no such file or directory.
    #[error("no such file or directory")]
    NotFound,
    /// It is a file.
    #[error("not a directory")]
    NotADirectory,
    /// It is a directory.
    #[error("is a directory")]
    IsADirectory,
    /// Nothing changes outside the drop box.
    #[error("read only; uploads go to /upload/<client>/")]
    ReadOnly,
    /// Nothing leaves the drop box.
    #[error("write only")]
    WriteOnly,
    /// The drop box does not take it.
    #[error(transparent)]
    Upload(#[from] UploadError),
    /// A file of the set is gone, or no longer what it was.
    #[error(transparent)]
    Unservable(#[from] Unservable),
    /// The drop box cannot be listed.
    #[error("failed to list the drop box")]
    List(#[source] io::Error),
    /// A directory with files in it.
    #[error("the directory is not empty")]
    NotEmpty,
}

impl TreeError {
    fn of_change(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => TreeError::NotFound,
            io::ErrorKind::DirectoryNotEmpty => TreeError::NotEmpty,
            _ => TreeError::Upload(error.into()),
        }
    }
}

/// What a path stands for.
enum Node<'a> {
    Root,
    Memory(Bytes),
    SetFile(&'a FileEntry),
    SetDirectory,
    Uploads,
    Client(&'a str),
    Dropped { client: &'a str, file: &'a str },
}

impl Tree {
    /// The tree over `set` (none: nothing has been published yet), with the key `public_key` (the text of its file).
    pub fn new(set: Option<Arc<Set>>, public_key: Option<Bytes>, dropbox: Arc<DropBox>) -> Self {
        let published = set.as_ref().and_then(|set| set.manifest().published().try_into().ok());
        let since = published.unwrap_or_else(SystemTime::now);
        Tree {
            set,
            public_key,
            dropbox,
            since,
            may_change: false,
        }
    }

    /// The file or directory at `path`. What lies in the drop box is not found, uploaded or not.
    pub fn entry(&self, path: &VirtualPath) -> Result<Entry, TreeError> {
        let name = path.names().last().map_or("", String::as_str);
        Ok(match self.node(path)? {
            Node::Root | Node::SetDirectory => self.directory(name),
            Node::Memory(bytes) => self.file(name, bytes.len() as u64),
            Node::SetFile(file) => self.file(name, file.size),
            Node::Uploads => self.drop_box(name, self.since),
            Node::Client(client) => self
                .clients()?
                .find(|entry| entry.name == client)
                .ok_or(TreeError::NotFound)?,
            Node::Dropped { .. } => return Err(TreeError::NotFound),
        })
    }

    /// What is in the directory at `path`, by name; for a file, the file alone, as ls(1) does.
    pub fn list(&self, path: &VirtualPath) -> Result<Vec<Entry>, TreeError> {
        Ok(match self.node(path)? {
            Node::Root => self.list_root(),
            Node::SetDirectory => self.list_set(&path.names().join("/")),
            Node::Uploads => self.clients()?.collect(),
            Node::Client(_) => Vec::new(),
            Node::Memory(_) | Node::SetFile(_) => vec![self.entry(path)?],
            Node::Dropped { .. } => return Err(TreeError::NotFound),
        })
    }

    /// Whether `path` can be the current directory. Any well-formed client can: its directory is made when it is needed.
    pub fn enter(&self, path: &VirtualPath) -> Result<(), TreeError> {
        match self.node(path)? {
            Node::Root | Node::SetDirectory | Node::Uploads | Node::Client(_) => Ok(()),
            Node::Memory(_) | Node::SetFile(_) => Err(TreeError::NotADirectory),
            Node::Dropped { .. } => Err(TreeError::NotFound),
        }
    }

    /// Opens the file at `path` for reading.
    pub fn open(&self, path: &VirtualPath) -> Result<Content, TreeError> {
        match (self.node(path)?, &self.set) {
            (Node::Memory(bytes), _) => Ok(Content {
                size: bytes.len() as u64,
                body: Body::Memory(bytes),
            }),
            (Node::SetFile(entry), Some(set)) => Ok(Content {
                size: entry.size,
                body: Body::File(set.file(entry)?),
            }),
            (Node::Dropped { .. }, _) => Err(TreeError::WriteOnly),
            _ => Err(TreeError::IsADirectory),
        }
    }

    /// Makes `/upload/<client>`, the only directory that can be made.
    pub fn make_directory(&self, path: &VirtualPath) -> Result<(), TreeError> {
        match self.place(path)? {
            Node::Client(client) => Ok(self.dropbox.make_client(client)?),
            Node::Uploads => Err(UploadError::Exists.into()),
            _ => Err(TreeError::ReadOnly),
        }
    }

    /// Begins the upload of `/upload/<client>/<file>`.
    pub fn upload(&self, path: &VirtualPath, placement: Placement) -> Result<Upload, TreeError> {
        match self.place(path)? {
            Node::Dropped { client, file } => Ok(self.dropbox.upload(client, file, placement)?),
            Node::Uploads | Node::Client(_) => Err(TreeError::IsADirectory),
            _ => Err(TreeError::ReadOnly),
        }
    }

    /// The same tree for somebody who may rename and remove what was dropped.
    pub fn with_changes(self) -> Self {
        Tree {
            may_change: true,
            ..self
        }
    }

    /// Whether the file at this path can be renamed and removed.
    pub fn check_changeable(&self, path: &VirtualPath) -> Result<(), TreeError> {
        match self.changeable(path)? {
            Node::Dropped { client, file } if self.dropbox.has(client, file) => Ok(()),
            Node::Dropped { .. } => Err(TreeError::NotFound),
            _ => Err(TreeError::ReadOnly),
        }
    }

    /// Removes `/upload/<client>/<file>`.
    pub fn remove(&self, path: &VirtualPath) -> Result<(), TreeError> {
        match self.changeable(path)? {
            Node::Dropped { client, file } => self.dropbox.remove(client, file).map_err(TreeError::of_change),
            _ => Err(TreeError::IsADirectory),
        }
    }

    /// Removes `/upload/<client>` if it is empty.
    pub fn remove_directory(&self, path: &VirtualPath) -> Result<(), TreeError> {
        match self.changeable(path)? {
            Node::Client(client) => self.dropbox.remove_client(client).map_err(TreeError::of_change),
            Node::Dropped { .. } => Err(TreeError::NotFound),
            _ => Err(TreeError::ReadOnly),
        }
    }

    /// Renames `/upload/<client>/<file>` in its directory.
    pub fn rename(&self, from: &VirtualPath, to: &VirtualPath) -> Result<(), TreeError> {
        match (self.changeable(from)?, self.changeable(to)?) {
            (
                Node::Dropped { client, file },
                Node::Dropped {
                    client: same,
                    file: name,
                },
            ) if client == same => match self.dropbox.rename(client, file, name) {
                Err(UploadError::Io(error)) => Err(TreeError::of_change(error)),
                renamed => Ok(renamed?),
            },
            _ => Err(TreeError::ReadOnly),
        }
    }

    fn changeable<'a>(&'a self, path: &'a VirtualPath) -> Result<Node<'a>, TreeError> {
        match self.place(path)? {
            _ if !self.may_change => Err(TreeError::ReadOnly),
            node => Ok(node),
        }
    }

    /// What a path stands for that need not be there yet.
    fn place<'a>(&'a self, path: &'a VirtualPath) -> Result<Node<'a>, TreeError> {
        match drop_box_node(path) {
            Some(node) => node,
            None => Err(TreeError::ReadOnly),
        }
    }

    fn node<'a>(&'a self, path: &'a VirtualPath) -> Result<Node<'a>, TreeError> {
        if let Some(node) = drop_box_node(path) {
            return match node? {
                Node::Client(client) if !dropbox::is_name(client) => Err(TreeError::NotFound),
                node => Ok(node),
            };
        }
        if path.names().is_empty() {
            return Ok(Node::Root);
        }
        let text = path.names().join("/");
        if let Some((_, bytes)) = self.in_memory().find(|(name, _)| **name == text) {
            return Ok(Node::Memory(bytes));
        }
        let files = self.files();
        if let Ok(at) = files.binary_search_by(|file| file.path.as_str().cmp(&text)) {
            return files.get(at).map(Node::SetFile).ok_or(TreeError::NotFound);
        }
        match below(files, &text).is_empty() {
            true => Err(TreeError::NotFound),
            false => Ok(Node::SetDirectory),
        }
    }

    fn in_memory(&self) -> impl Iterator<Item = (&'static str, Bytes)> {
        let of_set = |set: &Arc<Set>| {
            [
                (MANIFEST_FILE, set.manifest_bytes().0),
                (SIGNATURE_FILE, set.signature_bytes().0),
            ]
        };
        let key = self.public_key.clone().map(|key| (PUBLIC_KEY_FILE, key));
        self.set.as_ref().map(of_set).into_iter().flatten().chain(key)
    }

    fn files(&self) -> &[FileEntry] {
        self.set.as_ref().map_or(&[], |set| set.manifest().files())
    }

    fn list_root(&self) -> Vec<Entry> {
        let in_memory = self
            .in_memory()
            .map(|(name, bytes)| self.file(name, bytes.len() as u64));
        let mut entries: Vec<Entry> = in_memory.collect();
        // What the tree has of its own wins over a file of the set with its name, here as in `node`.
        let own = |entry: &Entry| entry.name == UPLOAD || entry.name == PUBLIC_KEY_FILE;
        entries.extend(self.list_set("").into_iter().filter(|entry| !own(entry)));
        entries.push(self.drop_box(UPLOAD, self.since));
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// The children of a directory of the set. All paths below one child stand together, for paths are in order.
    fn list_set(&self, directory: &str) -> Vec<Entry> {
        let skip = if directory.is_empty() { 0 } else { directory.len() + 1 };
        let mut entries: Vec<Entry> = Vec::new();
        for file in below(self.files(), directory) {
            let rest = file.path.as_str().get(skip..).unwrap_or_default();
            match rest.split_once('/') {
                None => entries.push(self.file(rest, file.size)),
                Some((child, _)) if entries.last().is_some_and(|last| last.name == child) => {}
                Some((child, _)) => entries.push(self.directory(child)),
            }
        }
        // Whole paths are in another order than first names: `a-b/c`, `a/b`.
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    fn clients(&self) -> Result<impl Iterator<Item = Entry> + '_, TreeError> {
        let clients = self.dropbox.clients().map_err(TreeError::List)?;
        Ok(clients
            .into_iter()
            .map(|(name, modified)| self.drop_box(&name, modified)))
    }

    fn file(&self, name: &str, size: u64) -> Entry {
        Entry {
            name: name.to_owned(),
            kind: Kind::File,
            size,
            modified: self.since,
        }
    }

    fn directory(&self, name: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            kind: Kind::Directory,
            size: 0,
            modified: self.since,
        }
    }

    fn drop_box(&self, name: &str, modified: SystemTime) -> Entry {
        Entry {
            name: name.to_owned(),
            kind: Kind::DropBox,
            size: 0,
            modified,
        }
    }
}

/// What a path in the drop box stands for, there or not; `None` for a path elsewhere.
fn drop_box_node(path: &VirtualPath) -> Option<Result<Node<'_>, TreeError>> {
    let (first, rest) = path.names().split_first()?;
    (first == UPLOAD).then(|| match rest {
        [] => Ok(Node::Uploads),
        [client] => Ok(Node::Client(client)),
        [client, file] => Ok(Node::Dropped { client, file }),
        _ => Err(TreeError::NotFound),
    })
}

/// The files below a directory of the set.
fn below<'a>(files: &'a [FileEntry], directory: &str) -> &'a [FileEntry] {
    if directory.is_empty() {
        return files;
    }
    let prefix = format!("{directory}/");
    let start = files.partition_point(|file| file.path.as_str() < prefix.as_str());
    let from = files.get(start..).unwrap_or_default();
    let length = from.partition_point(|file| file.path.as_str().starts_with(&prefix));
    from.get(..length).unwrap_or_default()
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
