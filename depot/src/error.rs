use std::io;
use std::path::{Path, PathBuf};

use fwdrill_protocol::update_set::{SetPath, Sha256};
use thiserror::Error;

/// An operation on a file or directory that the system refused.
#[derive(Debug, Error)]
#[error("failed to {operation} {}", path.display())]
pub struct FileError {
    /// What was tried, as in "failed to *lock* DIR".
    pub operation: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The system's answer.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// Whether there is no such file (any more).
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether the disk, or the user's share of it, is full.
    pub fn is_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

/// A file that is not what the manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ContentError {
    /// Not there at all.
    #[error("{path} is missing")]
    Missing {
        /// The file.
        path: SetPath,
    },
    /// Longer or shorter.
    #[error("{path} has {found} bytes, the manifest says {expected}")]
    Size {
        /// The file.
        path: SetPath,
        /// The size in the manifest.
        expected: u64,
        /// The size found; at least this, if reading stopped when there was more than expected.
        found: u64,
    },
    /// As long, but something else.
    #[error("{path} has SHA-256 {found}, the manifest says {expected}")]
    Digest {
        /// The file.
        path: SetPath,
        /// The digest in the manifest.
        expected: Sha256,
        /// The digest found.
        found: Sha256,
    },
}

/// Names the operation and its path when it fails.
pub(crate) trait OrFailed<T> {
    fn or_failed(self, operation: &'static str, path: &Path) -> Result<T, FileError>;
}

impl<T> OrFailed<T> for io::Result<T> {
    fn or_failed(self, operation: &'static str, path: &Path) -> Result<T, FileError> {
        self.map_err(|source| FileError {
            operation,
            path: path.to_owned(),
            source,
        })
    }
}
