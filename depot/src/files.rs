//! Small steps on files that every room of this crate takes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use fwdrill_protocol::update_set::{FileEntry, Sha256};
use sha2::Digest;

use crate::error::{ContentError, FileError, OrFailed};

/// Writes on to `inner`, counting and hashing what passes.
pub(crate) struct Hashing<W> {
    inner: W,
    hash: sha2::Sha256,
    length: u64,
}

impl<W> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self {
            inner,
            hash: sha2::Sha256::new(),
            length: 0,
        }
    }

    /// The length and digest of what has passed so far.
    pub(crate) fn so_far(&self) -> (u64, Sha256) {
        (self.length, Sha256::from_bytes(self.hash.clone().finalize().into()))
    }

    /// Fails unless what has passed is the file that `entry` describes.
    pub(crate) fn check(&self, entry: &FileEntry) -> Result<(), ContentError> {
        let (found, digest) = self.so_far();
        let path = entry.path.clone();
        if found != entry.size {
            return Err(ContentError::Size {
                path,
                expected: entry.size,
                found,
            });
        }
        if digest != entry.sha256 {
            return Err(ContentError::Digest {
                path,
                expected: entry.sha256,
                found: digest,
            });
        }
        Ok(())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Copies until the end of `source`, in pieces large enough that hashing dominates.
pub(crate) fn copy(source: &mut impl Read, sink: &mut impl Write) -> io::Result<u64> {
    let mut buffer = vec![0; 128 * 1024];
    let mut total = 0;
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => {
                sink.write_all(&buffer[..count])?;
                total += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether the open file is what `entry` describes. Reads no further than one byte past the expected size.
pub(crate) fn check_content(
    file: &File,
    path: &Path,
    entry: &FileEntry,
) -> Result<Result<(), ContentError>, FileError> {
    let found = file.metadata().or_failed("inspect", path)?.len();
    if found != entry.size {
        return Ok(Err(ContentError::Size {
            path: entry.path.clone(),
            expected: entry.size,
            found,
        }));
    }
    let mut sink = Hashing::new(io::sink());
    copy(&mut file.take(entry.size.saturating_add(1)), &mut sink).or_failed("read", path)?;
    Ok(sink.check(entry))
}

/// The bytes of a file that cannot be longer than `limit`; one more byte tells that it is.
pub(crate) fn read_at_most(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let file = File::open(path).or_failed("open", path)?;
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .or_failed("read", path)?;
    Ok(bytes)
}

/// A new file for writing; it must not exist.
pub(crate) fn create_new(path: &Path) -> Result<File, FileError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .or_failed("create", path)
}

/// A directory that may exist already; its parents too.
pub(crate) fn ensure_directory(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).or_failed("create directory", path)
}

/// Makes names in a directory last through a power cut.
pub(crate) fn sync_directory(path: &Path) -> Result<(), FileError> {
    let directory = File::open(path).or_failed("open", path)?;
    directory.sync_all().or_failed("flush", path)
}

/// Waits for an exclusive lock on a directory; it ends when the returned file is dropped.
pub(crate) fn lock_directory(path: &Path) -> Result<File, FileError> {
    let directory = File::open(path).or_failed("open", path)?;
    directory.lock().or_failed("lock", path)?;
    Ok(directory)
}

/// Whether `path` still names what `open` is.
pub(crate) fn is_still_at(open: &File, path: &Path) -> Result<bool, FileError> {
    let ours = open.metadata().or_failed("inspect", path)?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).or_failed("inspect", path),
    }
}

/// Writes a whole small file so that `path` never names half of it. Returns whether it did; it does not if `path` exists.
pub fn write_if_absent(path: &Path, bytes: &[u8], mode: u32) -> Result<bool, FileError> {
    // Looked at first, so that a process killed further down leaves a nameless piece at most once in a depot's life.
    if path.try_exists().or_failed("inspect", path)? {
        return Ok(false);
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(parent).or_failed("create a file in", parent)?;
    file.write_all(bytes).or_failed("write", path)?;
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(mode))
        .or_failed("set the mode of", path)?;
    file.as_file().sync_all().or_failed("flush", path)?;
    match file.persist_noclobber(path) {
        Ok(_) => sync_directory(parent).map(|()| true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error).or_failed("create", path),
    }
}
