//! The tree and the drop box as libunftp's storage back-end.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::Instrument;
use unftp_core::storage::{Error, ErrorKind, FEATURE_RESTART, Fileinfo, Metadata, Permissions, Result, StorageBackend};

use super::guest::Guest;
use super::session::Session;
use super::transfer;
use crate::dropbox::UploadError;
use crate::ftp::path::VirtualPath;
use crate::ftp::tree::{Entry, Kind, TreeError};

#[derive(Debug)]
pub(super) struct Storage {
    session: Arc<Session>,
}

impl Storage {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Storage { session }
    }

    pub(super) fn session(&self) -> &Session {
        &self.session
    }
}

#[async_trait]
impl StorageBackend<Guest> for Storage {
    type Metadata = Node;

    fn supported_features(&self) -> u32 {
        FEATURE_RESTART
    }

    async fn metadata<P: AsRef<Path> + Send + Debug>(&self, guest: &Guest, path: P) -> Result<Node> {
        let path = plain(path.as_ref())?;
        Ok(Node(guest.tree.entry(&path).map_err(storage_error)?))
    }

    async fn list<P: AsRef<Path> + Send + Debug>(
        &self,
        guest: &Guest,
        path: P,
    ) -> Result<Vec<Fileinfo<PathBuf, Node>>> {
        let path = plain(path.as_ref())?;
        let entries = guest.tree.list(&path).map_err(storage_error)?;
        let info = |entry: Entry| Fileinfo {
            path: PathBuf::from(&entry.name),
            metadata: Node(entry),
        };
        Ok(entries.into_iter().map(info).collect())
    }

    async fn get_into<'a, P, W: ?Sized>(&self, guest: &Guest, path: P, start: u64, output: &'a mut W) -> Result<u64>
    where
        W: AsyncWrite + Unpin + Sync + Send,
        P: AsRef<Path> + Send + Debug,
    {
        let path = plain(path.as_ref())?;
        let download = transfer::download(&self.session, &guest.tree, &path, start, output);
        download.instrument(self.session.span.clone()).await
    }

    /// Only `get_into` reads, and SITE MD5 is off.
    async fn get<P: AsRef<Path> + Send + Debug>(
        &self,
        _guest: &Guest,
        _path: P,
        _start: u64,
    ) -> Result<Box<dyn AsyncRead + Send + Sync + Unpin>> {
        Err(ErrorKind::CommandNotImplemented.into())
    }

    async fn put<P, R>(&self, guest: &Guest, input: R, path: P, start: u64) -> Result<u64>
    where
        P: AsRef<Path> + Send + Debug,
        R: AsyncRead + Send + Sync + Unpin + 'static,
    {
        let path = plain(path.as_ref())?;
        if start > 0 {
            // Half an upload is never kept, so there is none to go on with.
            return Err(Error::new(ErrorKind::PermissionDenied, "an upload cannot be resumed"));
        }
        let upload = transfer::upload(&self.session, &guest.tree, &path, input);
        upload.instrument(self.session.span.clone()).await
    }

    async fn mkd<P: AsRef<Path> + Send + Debug>(&self, guest: &Guest, path: P) -> Result<()> {
        let path = plain(path.as_ref())?;
        guest.tree.make_directory(&path).map_err(storage_error)
    }

    async fn cwd<P: AsRef<Path> + Send + Debug>(&self, guest: &Guest, path: P) -> Result<()> {
        let path = plain(path.as_ref())?;
        guest.tree.enter(&path).map_err(storage_error)
    }

    async fn del<P: AsRef<Path> + Send + Debug>(&self, _guest: &Guest, _path: P) -> Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }

    async fn rename<P: AsRef<Path> + Send + Debug>(&self, _guest: &Guest, _from: P, _to: P) -> Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }

    async fn rmd<P: AsRef<Path> + Send + Debug>(&self, _guest: &Guest, _path: P) -> Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }
}

/// A file or directory, for LIST, MLSD, SIZE and MDTM.
#[derive(Debug)]
pub(super) struct Node(Entry);

impl Metadata for Node {
    fn len(&self) -> u64 {
        self.0.size
    }

    fn is_dir(&self) -> bool {
        self.0.kind != Kind::File
    }

    fn is_file(&self) -> bool {
        self.0.kind == Kind::File
    }

    fn is_symlink(&self) -> bool {
        false
    }

    fn modified(&self) -> Result<SystemTime> {
        Ok(self.0.modified)
    }

    fn gid(&self) -> u32 {
        0
    }

    fn uid(&self) -> u32 {
        0
    }

    fn permissions(&self) -> Permissions {
        Permissions(match self.0.kind {
            Kind::File => 0o444,
            Kind::Directory => 0o555,
            Kind::DropBox => 0o333,
        })
    }
}

/// libunftp joins what the client says to the current directory and leaves it at that.
fn plain(path: &Path) -> Result<VirtualPath> {
    let bad = |error| Error::new(ErrorKind::FileNameNotAllowedError, error);
    VirtualPath::root().join(&path.to_string_lossy()).map_err(bad)
}

/// The kind decides the reply: see [`ErrorKind`].
pub(super) fn storage_error(error: TreeError) -> Error {
    let kind = match &error {
        TreeError::NotFound | TreeError::IsADirectory | TreeError::Unservable(_) => {
            ErrorKind::PermanentFileNotAvailable
        }
        TreeError::NotADirectory => ErrorKind::PermanentDirectoryNotAvailable,
        TreeError::ReadOnly | TreeError::WriteOnly | TreeError::NotEmpty => ErrorKind::PermissionDenied,
        TreeError::List(_) => ErrorKind::LocalError,
        TreeError::Upload(upload) => match upload {
            UploadError::Name(_) => ErrorKind::FileNameNotAllowedError,
            UploadError::Exists => ErrorKind::PermanentDirectoryNotAvailable,
            UploadError::FileTooLarge(_)
            | UploadError::Quota(_)
            | UploadError::TooManyFiles(_)
            | UploadError::TooManyClients(_) => ErrorKind::ExceededStorageAllocationError,
            UploadError::DiskFull(_) => ErrorKind::InsufficientStorageSpaceError,
            UploadError::Io(_) => ErrorKind::LocalError,
        },
    };
    Error::new(kind, error)
}
