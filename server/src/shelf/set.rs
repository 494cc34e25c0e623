//! One update set, ready to be served.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use fwdrill_depot::SetHandle;
use fwdrill_protocol::update_set::{FileEntry, Manifest, Sha256};
use rustix::fs::OFlags;
use sha2::Digest;
use thiserror::Error;

use super::hot::Hot;

/// Files up to this size are read at once: the cheapest way for them.
const SMALL: u64 = 64 * 1024;

/// A verified set with its directory held open. While it is held nobody prunes the set.
#[derive(Debug)]
pub struct Set {
    handle: SetHandle,
    directory: Dir,
    manifest: (Bytes, Sha256),
    signature: (Bytes, Sha256),
    hot: Hot,
}

/// The content of one file.
#[derive(Debug)]
pub enum Content {
    /// All of it.
    Memory(Bytes),
    /// Where it can be read, from the start.
    File(File),
}

/// A file of a set that cannot be served.
#[derive(Debug, Error)]
pub enum Unservable {
    /// It cannot be opened, or lies outside the set by way of a symbolic link.
    #[error("failed to open {}", path.display())]
    Open {
        /// The file, or the set's directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A directory, FIFO, socket or device.
    #[error("{} is not a regular file", .0.display())]
    NotRegular(PathBuf),
    /// Longer or shorter than the manifest says.
    #[error("{} has {found} bytes, the manifest says {expected}", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// The size in the manifest.
        expected: u64,
        /// The size found.
        found: u64,
    },
}

impl Set {
    pub(super) fn open(handle: SetHandle, hot: Hot) -> Result<Self, Unservable> {
        let directory =
            Dir::open_ambient_dir(handle.path(), ambient_authority()).map_err(|source| Unservable::Open {
                path: handle.path().to_owned(),
                source,
            })?;
        let manifest = with_digest(handle.manifest_bytes());
        let signature = with_digest(handle.signature().as_bytes());
        Ok(Set {
            handle,
            directory,
            manifest,
            signature,
            hot,
        })
    }

    /// The set's serial.
    pub fn serial(&self) -> u64 {
        self.handle.serial()
    }

    /// What the set contains.
    pub fn manifest(&self) -> &Manifest {
        self.handle.manifest()
    }

    /// The manifest as it was signed, and its digest.
    pub fn manifest_bytes(&self) -> (Bytes, Sha256) {
        self.manifest.clone()
    }

    /// The manifest's signature, the text of a `.minisig` file, and its digest.
    pub fn signature_bytes(&self) -> (Bytes, Sha256) {
        self.signature.clone()
    }

    /// The depot's handle on the set.
    pub fn handle(&self) -> &SetHandle {
        &self.handle
    }

    /// Opens one of the set's files for reading, from the start: a regular file of the size in the manifest that does
    /// not lie outside the set. Never waits for anybody (a FIFO is refused, not read).
    pub fn file(&self, entry: &FileEntry) -> Result<File, Unservable> {
        let path = || self.handle.file(entry);
        let failed = |source| Unservable::Open { path: path(), source };
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(flags.bits() as i32);
        let file = self
            .directory
            .open_with(entry.path.as_str(), &options)
            .map_err(failed)?
            .into_std();
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(Unservable::NotRegular(path()));
        }
        if metadata.len() != entry.size {
            return Err(Unservable::Size {
                path: path(),
                expected: entry.size,
                found: metadata.len(),
            });
        }
        Ok(file)
    }

    /// One of the set's files, in the way that costs the least: what is asked for often from memory, of which all sets
    /// together have 64 MiB for files of up to 16 MiB; other small ones by reading them; large ones as [`Set::file`].
    pub async fn content(self: &Arc<Self>, entry: &FileEntry) -> Result<Content, Unservable> {
        if let Some(bytes) = self.hot.get(&entry.sha256) {
            return Ok(Content::Memory(bytes));
        }
        if let Some(room) = self.hot.room(entry.sha256, entry.size) {
            let bytes = self.clone().read_aside(entry.clone()).await?;
            return Ok(Content::Memory(room.fill(bytes)));
        }
        if entry.size <= SMALL {
            return self.read(entry).map(Content::Memory);
        }
        self.file(entry).map(Content::File)
    }

    /// Reads a file on a thread that may wait, unless it is so small that another thread costs more.
    async fn read_aside(self: Arc<Self>, entry: FileEntry) -> Result<Vec<u8>, Unservable> {
        if entry.size <= SMALL {
            return self.read_all(&entry);
        }
        let path = self.handle.file(&entry);
        let read = tokio::task::spawn_blocking(move || self.read_all(&entry));
        read.await.unwrap_or_else(|error| {
            let source = io::Error::other(error);
            Err(Unservable::Open { path, source })
        })
    }

    /// The whole of a small file.
    pub fn read(&self, entry: &FileEntry) -> Result<Bytes, Unservable> {
        self.read_all(entry).map(Bytes::from)
    }

    fn read_all(&self, entry: &FileEntry) -> Result<Vec<u8>, Unservable> {
        let file = self.file(entry)?;
        let mut bytes = vec![0; usize::try_from(entry.size).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, 0).map_err(|source| Unservable::Open {
            path: self.handle.file(entry),
            source,
        })?;
        Ok(bytes)
    }
}

fn with_digest(bytes: &[u8]) -> (Bytes, Sha256) {
    let digest = Sha256::from_bytes(sha2::Sha256::digest(bytes).into());
    (Bytes::copy_from_slice(bytes), digest)
}
