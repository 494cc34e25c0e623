use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use fwdrill_protocol::update_set::SetPath;

use crate::error::{FileError, OrFailed};
use crate::files::{ensure_directory, lock_directory};
use crate::layout::Layout;

/// A directory under `staging/` that is ours until it is dropped or becomes a set.
#[derive(Debug)]
pub(crate) struct Workspace {
    path: PathBuf,
    /// The directory, with an exclusive lock: nobody clears it away while this process lives.
    lock: File,
    abandoned: bool,
}

impl Workspace {
    /// Makes one, after clearing away what dead processes left.
    pub(crate) fn create(layout: &Layout) -> Result<Self, FileError> {
        let staging = layout.staging();
        ensure_directory(&staging)?;
        ensure_directory(&layout.sets())?;
        // Held from making the directory to locking it: in between it would look like a leftover.
        let _guard = lock_directory(&staging)?;
        clear(&staging)?;
        let path = staging.join(format!("{:016x}", rand::random::<u64>()));
        fs::create_dir(&path).or_failed("create directory", &path)?;
        let lock = lock_directory(&path)?;
        Ok(Self {
            path,
            lock,
            abandoned: true,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file of the set goes; its directories are made.
    pub(crate) fn file(&self, path: &SetPath) -> Result<PathBuf, FileError> {
        let path = path.below(&self.path);
        if let Some(parent) = path.parent() {
            ensure_directory(parent)?;
        }
        Ok(path)
    }

    /// Lets others in who want to read, and keeps those out who want to delete. To be done before the directory gets its
    /// name under `sets/`.
    pub(crate) fn share(&self, layout: &Layout) -> Result<(), FileError> {
        // Changing a lock's kind may let it go for a moment, so those who clear away are kept out by theirs.
        let _guard = lock_directory(&layout.staging())?;
        self.lock.lock_shared().or_failed("lock", &self.path)
    }

    /// The directory has another name now; leave it alone.
    pub(crate) fn moved(&mut self) {
        self.abandoned = false;
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if self.abandoned
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            // The next one clears it away.
            tracing::debug!(path = %self.path.display(), %error, "left a staging directory behind");
        }
    }
}

/// Moves a set out of the way and deletes it. The caller holds an exclusive lock on it, and a set that is half deleted
/// is never seen under `sets/`.
pub(crate) fn discard(layout: &Layout, set: &Path) -> Result<(), FileError> {
    let trash = layout.staging().join(format!("{:016x}.old", rand::random::<u64>()));
    fs::rename(set, &trash).or_failed("move away", set)?;
    fs::remove_dir_all(&trash).or_failed("delete", &trash)
}

/// The exclusive lock on a directory, if nobody holds any.
pub(crate) fn try_lock(path: &Path) -> Result<Option<File>, FileError> {
    let directory = match File::open(path) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).or_failed("open", path),
    };
    match directory.try_lock() {
        Ok(()) => Ok(Some(directory)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).or_failed("lock", path),
    }
}

fn clear(staging: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(staging).or_failed("list", staging)? {
        let entry = entry.or_failed("list", staging)?;
        let path = entry.path();
        let is_directory = entry.file_type().or_failed("inspect", &path)?.is_dir();
        let removed = if !is_directory {
            fs::remove_file(&path)
        } else if let Some(_lock) = try_lock(&path)? {
            tracing::debug!(path = %path.display(), "clearing away what a dead process left");
            fs::remove_dir_all(&path)
        } else {
            Ok(())
        };
        match removed {
            // Its owner was deleting it too.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.or_failed("delete", &path)?,
        }
    }
    Ok(())
}
