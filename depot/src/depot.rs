use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fwdrill_protocol::update_set::{KeyError, ManifestError, PublicKey, SignatureError};
use thiserror::Error;

use crate::error::{FileError, OrFailed};
use crate::files::{self, ensure_directory, write_if_absent};
use crate::layout::{Layout, serial_of_name};
use crate::set_handle::SetHandle;

/// No public key file is longer than this.
const MAX_KEY_BYTES: usize = 4096;

/// A directory of update sets and the key they are checked with.
#[derive(Debug, Clone)]
pub struct Depot {
    layout: Layout,
    key: PublicKey,
}

impl Depot {
    /// Opens the depot at `dir`: its `minisign.pub` must be there. No set is looked at yet.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, DepotError> {
        let layout = Layout::new(dir);
        let path = layout.public_key();
        let text = files::read_at_most(&path, MAX_KEY_BYTES)?;
        let key = PublicKey::parse(&String::from_utf8_lossy(&text))
            .map_err(|source| DepotError::PublicKey { path, source })?;
        Ok(Self { layout, key })
    }

    /// Opens the depot at `dir`, making it if it is not there. A depot whose sets another key signed is an error.
    pub fn create(dir: impl Into<PathBuf>, key: &PublicKey) -> Result<Self, DepotError> {
        let layout = Layout::new(dir);
        for directory in [layout.sets(), layout.staging(), layout.partials()] {
            ensure_directory(&directory)?;
        }
        write_if_absent(&layout.public_key(), key.render().as_bytes(), 0o644)?;
        let depot = Self::open(layout.root())?;
        if depot.key != *key {
            let path = depot.layout.public_key();
            return Err(DepotError::OtherKey {
                path,
                found: depot.key.id(),
                given: key.id(),
            });
        }
        Ok(depot)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.layout.root()
    }

    /// The names in the directory.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The key that sets are checked with.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// The set in force, verified; `None` when there was never one.
    pub fn current(&self) -> Result<Option<SetHandle>, DepotError> {
        let mut serial = self.current_serial()?;
        while let Some(found) = serial {
            let error = match self.set(found) {
                Ok(set) => return Ok(Some(set)),
                Err(error) => error,
            };
            // Between reading the link and opening the set a publisher may have switched and pruned: then look again.
            serial = self.current_serial()?;
            if serial == Some(found) {
                return Err(error);
            }
        }
        Ok(None)
    }

    /// The serial of the set in force, by the name of its directory alone: cheap enough to ask again and again.
    pub fn current_serial(&self) -> Result<Option<u64>, DepotError> {
        let path = self.layout.current();
        let target = match fs::read_link(&path) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).or_failed("read the link", &path)?,
        };
        match Layout::serial_of_target(&target) {
            Some(serial) => Ok(Some(serial)),
            None => Err(DepotError::CurrentLink { path, target }),
        }
    }

    /// One of the sets, verified.
    pub fn set(&self, serial: u64) -> Result<SetHandle, DepotError> {
        SetHandle::load(&self.layout, serial, &self.key)
    }

    /// The serials of all sets on disk, in rising order. One may be newer than the set in force: a leftover of a process
    /// that was killed just before the switch.
    pub fn serials(&self) -> Result<Vec<u64>, DepotError> {
        let path = self.layout.sets();
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).or_failed("list", &path)?,
        };
        let mut serials = Vec::new();
        for entry in entries {
            let name = entry.or_failed("list", &path)?.file_name();
            serials.extend(name.to_str().and_then(serial_of_name));
        }
        serials.sort_unstable();
        Ok(serials)
    }
}

/// Why a depot or one of its sets cannot be used.
#[derive(Debug, Error)]
pub enum DepotError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// `minisign.pub` is no key.
    #[error("failed to read the public key {}", path.display())]
    PublicKey {
        /// The key file.
        path: PathBuf,
        /// What it is instead.
        #[source]
        source: KeyError,
    },
    /// The depot belongs to another publisher.
    #[error("{} is key {found}, not {given}: this depot belongs to another publisher", path.display())]
    OtherKey {
        /// The key file.
        path: PathBuf,
        /// The id of the key in it.
        found: String,
        /// The id of the key that was given.
        given: String,
    },
    /// `current` does not point to a set of this depot.
    #[error("{} points to {}, not to sets/<serial>", path.display(), target.display())]
    CurrentLink {
        /// The link.
        path: PathBuf,
        /// What it points to.
        target: PathBuf,
    },
    /// A set's signature does not vouch for its manifest.
    #[error("failed to verify {}", path.display())]
    Signature {
        /// The signature file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: SignatureError,
    },
    /// A set's manifest, though signed, is none.
    #[error("failed to read {}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ManifestError,
    },
    /// A set stands under another serial's name.
    #[error("{} is the manifest of update set {found}", path.display())]
    Serial {
        /// The manifest.
        path: PathBuf,
        /// The serial in it.
        found: u64,
    },
}

impl DepotError {
    /// Whether something just is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::File(error) if error.is_not_found())
    }
}

#[cfg(test)]
#[path = "depot_tests.rs"]
mod tests;
