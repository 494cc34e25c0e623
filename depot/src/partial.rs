use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use fwdrill_protocol::update_set::FileEntry;
use thiserror::Error;

use crate::depot::Depot;
use crate::error::{FileError, OrFailed};
use crate::files::{ensure_directory, is_still_at};
use crate::layout::Layout;

/// A download in progress. It is named after the digest of the whole file, so a process that was killed, or that starts
/// over with a newer set, goes on where the last one stopped.
///
/// [`Write`] appends and refuses anything past the expected size. What is in it is not trusted:
/// [`Staging::place_partial`](crate::Staging::place_partial) checks it.
#[derive(Debug)]
pub struct Partial {
    /// With an exclusive lock on it.
    file: File,
    path: PathBuf,
    length: u64,
    size: u64,
}

impl Partial {
    /// Opens (or starts) the download of this file. Another process that downloads the same one is an error.
    pub fn open(depot: &Depot, entry: &FileEntry) -> Result<Self, PartialError> {
        ensure_directory(&depot.layout().partials())?;
        let path = depot.layout().partial(&entry.sha256);
        loop {
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .open(&path)
                .or_failed("open", &path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(PartialError::Busy { path }),
                Err(TryLockError::Error(error)) => return Err(error).or_failed("lock", &path)?,
            }
            // Its last owner may have put it into a set, or deleted it, after we opened it.
            if !is_still_at(&file, &path)? {
                continue;
            }
            let length = file.metadata().or_failed("inspect", &path)?.len();
            if length <= entry.size {
                return Ok(Self {
                    file,
                    path,
                    length,
                    size: entry.size,
                });
            }
            remove(&path)?;
        }
    }

    /// How much is here already: where to resume.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether nothing is left to download.
    pub fn is_complete(&self) -> bool {
        self.length == self.size
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Forgets what is here, for a server that cannot resume.
    pub fn restart(&mut self) -> Result<(), PartialError> {
        // Never cut in place: a finished download may have a second name in a set by now.
        remove(&self.path)?;
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&self.path)
            .or_failed("create", &self.path)?;
        file.lock().or_failed("lock", &self.path)?;
        (self.file, self.length) = (file, 0);
        Ok(())
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.size - self.length;
        if bytes.len() as u64 > room {
            let text = format!("more bytes than the {} announced", self.size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let written = self.file.write(bytes)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a download cannot be kept.
#[derive(Debug, Error)]
pub enum PartialError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// Someone else is at it.
    #[error("{} is being downloaded by another process", path.display())]
    Busy {
        /// The download.
        path: PathBuf,
    },
}

/// Deletes the downloads nobody is at. Best effort: they would be in the way of nothing.
pub(crate) fn clear(layout: &Layout) {
    let Ok(entries) = fs::read_dir(layout.partials()) else {
        return;
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        // The lock is held until the name is gone, so that nobody takes up what is being deleted.
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok()
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::debug!(path = %path.display(), %error, "left a download behind");
        }
    }
}

pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.or_failed("delete", path),
    }
}

#[cfg(test)]
#[path = "partial_tests.rs"]
mod tests;
