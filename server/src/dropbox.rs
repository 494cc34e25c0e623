//! The drop box: where clients leave system information and logs, `<client>/<file>`; nobody reads it over the network.
//!
//! An upload is written under `.incoming/` and gets its name when the last byte is on the disk: it appears whole or not
//! at all. What a killed server left there is removed at start.

mod account;
mod upload;

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use fwdrill_protocol::estate::limits::DropBoxLimits;
use thiserror::Error;

use account::Account;
pub use upload::{Placement, Upload};

/// Unfinished uploads; no client can have a name with a dot in front.
const INCOMING: &str = ".incoming";
/// The longest name of a client or file, in bytes.
const MOST_NAME_BYTES: usize = 128;

/// A directory that clients drop files into. Its methods block for as long as the file system does.
#[derive(Debug)]
pub struct DropBox {
    directory: Dir,
    limits: DropBoxLimits,
    /// Clients with an upload under way.
    accounts: Mutex<HashMap<String, Account>>,
}

/// The drop box cannot be used at all.
#[derive(Debug, Error)]
#[error("failed to open drop box {}", path.display())]
pub struct DropBoxError {
    /// Its directory.
    pub path: PathBuf,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

/// Why something cannot be dropped.
#[derive(Debug, Error)]
pub enum UploadError {
    /// Not 1 to 128 ASCII letters, digits and `._+-` without a dot in front.
    #[error("{0:?} is not a name for a client or a file: use ASCII letters, digits and ._+-")]
    Name(String),
    /// The directory is there already.
    #[error("the directory is there already")]
    Exists,
    /// Beyond [`DropBoxLimits::file_bytes`].
    #[error("the file is larger than {0} bytes")]
    FileTooLarge(u64),
    /// Beyond [`DropBoxLimits::client_bytes`].
    #[error("the client's files would be larger than {0} bytes")]
    Quota(u64),
    /// Beyond [`DropBoxLimits::client_files`].
    #[error("the client has {0} files already")]
    TooManyFiles(usize),
    /// Beyond [`DropBoxLimits::clients`].
    #[error("there are {0} clients already")]
    TooManyClients(usize),
    /// The disk, or the server's share of it, is full.
    #[error("the disk is full")]
    DiskFull(#[source] io::Error),
    /// Anything else the system says.
    #[error("failed to write to the drop box")]
    Io(#[source] io::Error),
}

impl From<io::Error> for UploadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => UploadError::DiskFull(error),
            _ => UploadError::Io(error),
        }
    }
}

impl DropBox {
    /// Opens the drop box in `directory`, making it if need be, and removes what an earlier server left unfinished.
    pub fn open(directory: &Path, limits: DropBoxLimits) -> Result<Arc<Self>, DropBoxError> {
        let failed = |source| DropBoxError {
            path: directory.to_owned(),
            source,
        };
        let mut builder = std::fs::DirBuilder::new();
        // What clients send about themselves is the operator's business only.
        builder.recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let directory = Dir::open_ambient_dir(directory, ambient_authority()).map_err(failed)?;
        clear_incoming(&directory).map_err(failed)?;
        Ok(Arc::new(DropBox {
            directory,
            limits,
            accounts: Mutex::default(),
        }))
    }

    /// The clients that have a directory, by name, with the time of the last change in it.
    pub fn clients(&self) -> io::Result<Vec<(String, SystemTime)>> {
        let mut clients = Vec::new();
        for entry in self.directory.entries()? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            // One that is removed meanwhile is no client any more.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() && is_name(&name) {
                clients.push((name, metadata.modified()?.into_std()));
            }
        }
        clients.sort();
        Ok(clients)
    }

    /// Makes the directory of a client.
    pub fn make_client(&self, client: &str) -> Result<(), UploadError> {
        check_name(client)?;
        if self.directory.is_dir(client) {
            return Err(UploadError::Exists);
        }
        if self.count()? >= self.limits.clients {
            return Err(UploadError::TooManyClients(self.limits.clients));
        }
        match self.directory.create_dir(client) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(UploadError::Exists),
            made => Ok(made?),
        }
    }

    /// How many clients have a directory, without a look into any of them: a thousand first uploads at once would make a
    /// million looks.
    fn count(&self) -> io::Result<usize> {
        let mut clients = 0;
        for entry in self.directory.entries()? {
            let entry = entry?;
            let is_client = entry.file_name().to_str().is_some_and(is_name) && entry.file_type()?.is_dir();
            clients += usize::from(is_client);
        }
        Ok(clients)
    }

    /// Whether a client has a file of this name.
    pub fn has(&self, client: &str, file: &str) -> bool {
        self.size_of(client, file).is_ok()
    }

    /// Removes a file of a client.
    pub fn remove(&self, client: &str, file: &str) -> io::Result<()> {
        let size = self.size_of(client, file)?;
        self.directory.open_dir(client)?.remove_file(file)?;
        self.release(client, size);
        Ok(())
    }

    /// Renames a file of a client; what has the name already is replaced.
    pub fn rename(&self, client: &str, file: &str, to: &str) -> Result<(), UploadError> {
        check_name(to)?;
        self.size_of(client, file)?;
        let directory = self.directory.open_dir(client)?;
        let replaced = match self.size_of(client, to) {
            Ok(size) if file != to => size,
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
        directory.rename(file, &directory, to)?;
        self.release(client, replaced);
        Ok(())
    }

    /// Removes the directory of a client, if it is empty.
    pub fn remove_client(&self, client: &str) -> io::Result<()> {
        if !is_name(client) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.directory.remove_dir(client)
    }

    /// Not found: also what is no regular file, or cannot be a file of a client.
    fn size_of(&self, client: &str, file: &str) -> io::Result<u64> {
        if !is_name(client) || !is_name(file) {
            return Err(io::ErrorKind::NotFound.into());
        }
        match self.directory.open_dir(client)?.symlink_metadata(file)? {
            metadata if metadata.is_file() => Ok(metadata.len()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Begins an upload; the client's directory is made if need be. Nothing is seen of it until [`Upload::finish`].
    pub fn upload(self: &Arc<Self>, client: &str, file: &str, placement: Placement) -> Result<Upload, UploadError> {
        check_name(file)?;
        match self.make_client(client) {
            Ok(()) | Err(UploadError::Exists) => {}
            Err(error) => return Err(error),
        }
        Upload::begin(self.clone(), client, file, placement)
    }
}

/// Whether a client or a file may be called so.
pub fn is_name(name: &str) -> bool {
    (1..=MOST_NAME_BYTES).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte))
}

fn check_name(name: &str) -> Result<(), UploadError> {
    if is_name(name) {
        Ok(())
    } else {
        Err(UploadError::Name(name.chars().take(MOST_NAME_BYTES).collect()))
    }
}

fn clear_incoming(directory: &Dir) -> io::Result<()> {
    match directory.remove_dir_all(INCOMING) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    directory.create_dir(INCOMING)
}

#[cfg(test)]
#[path = "dropbox/dropbox_tests.rs"]
mod tests;
