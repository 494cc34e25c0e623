//! Where an update set comes from: FTP or HTTP.

mod ftp;
mod http;

use bytes::Bytes;
use fwdrill_protocol::update_set::FileEntry;

use crate::connection::ConnectionError;
use crate::ftp::FtpError;
use crate::http::HttpError;

use super::SyncError;

pub(super) use ftp::FtpSource;
pub(super) use http::HttpSource;

/// A manifest and its signature, as they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signed {
    pub(super) manifest: Vec<u8>,
    pub(super) signature: String,
}

/// Where the files of one set come from.
pub(super) enum Source<'a> {
    Ftp(FtpSource<'a>),
    Http(HttpSource<'a>),
}

/// The bytes of one file on their way.
pub(super) enum Body<'a> {
    Ftp(ftp::Body<'a>),
    Http(http::Body),
}

/// Why bytes do not come.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Ftp(#[from] FtpError),
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server has another set now than the one that is being downloaded.
    #[error("the update set changed while it was being downloaded")]
    Changed,
    /// The server has a file of another size.
    #[error("the file has {0} bytes")]
    Length(u64),
    /// The server ended the file early, as if that were all of it.
    #[error("the file ended after {0} bytes")]
    Short(u64),
}

impl<'a> Source<'a> {
    /// The manifest and its signature.
    pub(super) async fn signed_manifest(&mut self) -> Result<Signed, (String, FetchError)> {
        match self {
            Source::Ftp(ftp) => ftp.signed_manifest().await,
            Source::Http(http) => http.signed_manifest().await,
        }
    }

    /// The FTP session, if it is one.
    pub(super) fn into_ftp(self) -> Option<FtpSource<'a>> {
        match self {
            Source::Ftp(ftp) => Some(ftp),
            Source::Http(_) => None,
        }
    }

    /// Begins to receive a file from byte `offset` on. The server may decide to send all of it instead: see
    /// [`Body::offset`].
    pub(super) async fn open(&mut self, entry: &FileEntry, offset: u64) -> Result<Body<'_>, FetchError> {
        match self {
            Source::Ftp(ftp) => ftp.open(entry, offset).await.map(Body::Ftp),
            Source::Http(http) => http.open(entry, offset).await.map(Body::Http),
        }
    }
}

impl Body<'_> {
    /// Where in the file the bytes start.
    pub(super) fn offset(&self) -> u64 {
        match self {
            Body::Ftp(ftp) => ftp.offset(),
            Body::Http(http) => http.offset(),
        }
    }

    /// The next bytes.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        match self {
            Body::Ftp(ftp) => Ok(ftp.chunk().await?),
            Body::Http(http) => Ok(http.chunk().await?),
        }
    }

    /// What the server says at the end.
    pub(super) async fn finish(self) -> Result<(), FetchError> {
        match self {
            Body::Ftp(ftp) => Ok(ftp.finish().await?),
            Body::Http(_) => Ok(()),
        }
    }
}

impl FetchError {
    /// As the user is told, with what did not come.
    pub(super) fn of(self, what: &str) -> SyncError {
        let what = what.to_owned();
        match self {
            FetchError::Ftp(source) => SyncError::Ftp { what, source },
            FetchError::Http(source) => SyncError::Http { what, source },
            FetchError::Changed => SyncError::Changed,
            FetchError::Length(length) | FetchError::Short(length) => SyncError::TooLong { what, length },
        }
    }

    /// Whether it may go better next time.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            FetchError::Ftp(error) => error.is_transient(),
            FetchError::Http(HttpError::Status { status, .. }) => {
                status.is_server_error() || matches!(status.as_u16(), 408 | 429)
            }
            FetchError::Http(error) => error.connection().is_some(),
            FetchError::Short(_) => true,
            FetchError::Changed | FetchError::Length(_) => false,
        }
    }

    /// Whether a newer set in place of this one would explain it.
    pub(super) fn may_mean_another_set(&self) -> bool {
        match self {
            FetchError::Ftp(error) => error.reply().is_some_and(|reply| reply.code == 550),
            FetchError::Http(HttpError::Status { status, .. }) => matches!(status.as_u16(), 404 | 410 | 416),
            FetchError::Http(_) => false,
            FetchError::Changed | FetchError::Length(_) | FetchError::Short(_) => true,
        }
    }

    /// Whether the connection never stood. Before anything has worked, trying again only delays the bad news.
    pub(super) fn never_connected(&self) -> bool {
        let connection = match self {
            FetchError::Ftp(error) => error.connection().map(|(_, source)| source),
            FetchError::Http(error) => error.connection(),
            _ => None,
        };
        connection.is_some_and(ConnectionError::never_stood)
    }
}
