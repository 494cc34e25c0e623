use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fwdrill_protocol::update_set::{
    FileEntry, MANIFEST_FILE, MAX_SIGNATURE_BYTES, Manifest, PublicKey, SIGNATURE_FILE, verify,
};

use crate::depot::DepotError;
use crate::error::{ContentError, FileError, OrFailed};
use crate::files::{check_content, is_still_at, read_at_most};
use crate::layout::Layout;

/// A set of a depot whose manifest has been verified. While it (or a clone) is held, nobody prunes the set.
#[derive(Debug, Clone)]
pub struct SetHandle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    manifest: Manifest,
    manifest_bytes: Vec<u8>,
    signature: String,
    /// The directory, with a shared lock on it.
    _lock: File,
}

impl SetHandle {
    pub(crate) fn load(layout: &Layout, serial: u64, key: &PublicKey) -> Result<Self, DepotError> {
        let path = layout.set(serial);
        let lock = lock_shared(&path)?;
        let manifest_path = path.join(MANIFEST_FILE);
        let signature_path = path.join(SIGNATURE_FILE);
        let manifest_bytes = read_at_most(&manifest_path, Manifest::MAX_BYTES)?;
        let signature = read_at_most(&signature_path, MAX_SIGNATURE_BYTES)?;
        let signature = String::from_utf8_lossy(&signature).into_owned();
        verify(&manifest_bytes, &signature, key).map_err(|source| DepotError::Signature {
            path: signature_path,
            source,
        })?;
        let manifest = Manifest::parse(&manifest_bytes).map_err(|source| DepotError::Manifest {
            path: manifest_path.clone(),
            source,
        })?;
        if manifest.serial() != serial {
            return Err(DepotError::Serial {
                path: manifest_path,
                found: manifest.serial(),
            });
        }
        Ok(Self {
            inner: Arc::new(Inner {
                path,
                manifest,
                manifest_bytes,
                signature,
                _lock: lock,
            }),
        })
    }

    /// The set's serial.
    pub fn serial(&self) -> u64 {
        self.inner.manifest.serial()
    }

    /// The set's directory.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// What the set contains.
    pub fn manifest(&self) -> &Manifest {
        &self.inner.manifest
    }

    /// The manifest as it was signed.
    pub fn manifest_bytes(&self) -> &[u8] {
        &self.inner.manifest_bytes
    }

    /// The manifest's signature, the text of a `.minisig` file.
    pub fn signature(&self) -> &str {
        &self.inner.signature
    }

    /// Where one of the set's files is.
    pub fn file(&self, entry: &FileEntry) -> PathBuf {
        entry.path.below(self.path())
    }

    /// Reads every file and compares it with the manifest; returns those that are damaged or missing.
    pub fn verify_files(&self) -> Result<Vec<ContentError>, FileError> {
        let mut damaged = Vec::new();
        for entry in self.manifest().files() {
            damaged.extend(self.verify_file(entry)?.err());
        }
        Ok(damaged)
    }

    pub(crate) fn verify_file(&self, entry: &FileEntry) -> Result<Result<(), ContentError>, FileError> {
        let path = self.file(entry);
        match File::open(&path) {
            Ok(file) => check_content(&file, &path, entry),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err(ContentError::Missing {
                path: entry.path.clone(),
            })),
            Err(error) => Err(error).or_failed("open", &path),
        }
    }
}

fn lock_shared(path: &Path) -> Result<File, FileError> {
    let directory = File::open(path).or_failed("open", path)?;
    // Waits only while someone prunes this very set, and then it is gone.
    directory.lock_shared().or_failed("lock", path)?;
    if is_still_at(&directory, path)? {
        Ok(directory)
    } else {
        Err(io::Error::from(io::ErrorKind::NotFound)).or_failed("open", path)
    }
}
