use std::io;
use std::path::PathBuf;

use fwdrill_depot::{DepotError, FileError, PartialError, StagingError};
use fwdrill_protocol::update_set::{ManifestError, Refusal, SetPath, SignatureError, VersionAnswerError};

use super::Outcome;
use crate::ftp::FtpError;
use crate::http::HttpError;

/// Why a cycle did not end as it should. The set that was in force before still is, but for [`SyncError::Upload`].
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The server's name has no address.
    #[error("failed to resolve {host}")]
    Name {
        /// The name.
        host: String,
        /// What the resolver says.
        #[source]
        source: io::Error,
    },
    /// There is nothing to check signatures with.
    #[error("no public key is given and {} has none: a first sync needs the key that update sets are signed with", .0.display())]
    NoKey(PathBuf),
    /// There is no update set to tell of.
    #[error("there is no update set in {} yet", .0.display())]
    NoSet(PathBuf),
    /// Downloads are to go over FTP, which the estate does not have.
    #[error("the estate has no FTP, so nothing can be downloaded over it")]
    NoFtp,
    /// Another process updates the same directory.
    #[error("another sync into {} is running", .0.display())]
    Busy(PathBuf),
    /// The directory cannot be used.
    #[error(transparent)]
    Depot(#[from] DepotError),

    /// The version service could not be asked.
    #[error("failed to ask for the version")]
    Version(#[source] HttpError),
    /// A transfer over FTP failed.
    #[error("failed to download {what} over FTP")]
    Ftp {
        /// The path on the server.
        what: String,
        /// Why.
        #[source]
        source: FtpError,
    },
    /// A transfer over HTTP failed.
    #[error("failed to download {what} over HTTP")]
    Http {
        /// The path on the server.
        what: String,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// The server ends the file early, again and again.
    #[error("failed to download {what}: the server sends {received} of {size} bytes")]
    Short {
        /// The file.
        what: SetPath,
        /// How much there is.
        received: u64,
        /// How much there should be.
        size: u64,
    },

    /// The version service answers with something else.
    #[error("refused the answer to GET /version")]
    VersionAnswer(#[source] VersionAnswerError),
    /// The signature does not vouch for the manifest.
    #[error("refused the manifest: its signature is not good")]
    Signature(#[source] SignatureError),
    /// What is signed is no manifest.
    #[error("refused the manifest")]
    Manifest(#[source] ManifestError),
    /// Expired, from the future, or older than what is here.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Two different sets have one serial.
    #[error("refused the manifest: update set {serial} is here already, and it is another one")]
    SerialTaken {
        /// The serial.
        serial: u64,
    },
    /// The version service knows a newer set than the download service has.
    #[error("update set {announced} is announced, but {offered} is what can be downloaded")]
    Stale {
        /// The serial in the version answer.
        announced: u64,
        /// The serial of the manifest.
        offered: u64,
    },
    /// The server sends another number of bytes than the manifest says.
    #[error("refused {path}: the server has {offered} bytes, the manifest says {expected}")]
    WrongLength {
        /// The file.
        path: SetPath,
        /// What the server has; at least this.
        offered: u64,
        /// The size in the manifest.
        expected: u64,
    },
    /// The manifest or its signature is longer than any.
    #[error("refused {what}: {length} bytes are more than it can have")]
    TooLong {
        /// The path on the server.
        what: String,
        /// How long it is; at least this.
        length: u64,
    },
    /// The set changed while it was being downloaded.
    #[error("the update set changed while it was being downloaded")]
    Changed,

    /// A file is not what the manifest says, or does not get into the directory.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// The disk is full or refuses otherwise.
    #[error(transparent)]
    Disk(#[from] FileError),
    /// Another process downloads the same file.
    #[error(transparent)]
    Partial(#[from] PartialError),

    /// The set is in force, but something could not be uploaded.
    #[error("failed to upload {what}")]
    Upload {
        /// The path on the server.
        what: String,
        /// Why.
        #[source]
        source: FtpError,
        /// What was achieved nevertheless.
        outcome: Box<Outcome>,
    },
}

/// What an error is about: who can do something, and what a caller's exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concern {
    /// The command line, the estate, or the directory belongs to another purpose.
    Configuration,
    /// The path to the server, or the server.
    Network,
    /// What the server has is not to be trusted.
    Content,
    /// This host's disk.
    Disk,
    /// Only the uploads: the set is in force.
    Upload,
}

impl Concern {
    /// The word for it in events.
    pub fn name(self) -> &'static str {
        match self {
            Concern::Configuration => "configuration",
            Concern::Network => "network",
            Concern::Content => "content",
            Concern::Disk => "disk",
            Concern::Upload => "upload",
        }
    }
}

impl SyncError {
    /// What it is about.
    pub fn concern(&self) -> Concern {
        match self {
            SyncError::Name { .. }
            | SyncError::NoKey(_)
            | SyncError::NoSet(_)
            | SyncError::NoFtp
            | SyncError::Busy(_) => Concern::Configuration,
            SyncError::Depot(error) => of_depot(error),
            SyncError::Version(_) | SyncError::Ftp { .. } | SyncError::Http { .. } | SyncError::Short { .. } => {
                Concern::Network
            }
            SyncError::VersionAnswer(_)
            | SyncError::Signature(_)
            | SyncError::Manifest(_)
            | SyncError::Refused(_)
            | SyncError::SerialTaken { .. }
            | SyncError::Stale { .. }
            | SyncError::WrongLength { .. }
            | SyncError::TooLong { .. }
            | SyncError::Changed => Concern::Content,
            SyncError::Staging(StagingError::File(_)) | SyncError::Disk(_) => Concern::Disk,
            SyncError::Staging(StagingError::Depot(error)) => of_depot(error),
            SyncError::Staging(_) => Concern::Content,
            SyncError::Partial(PartialError::File(_)) => Concern::Disk,
            SyncError::Partial(PartialError::Busy { .. }) => Concern::Configuration,
            SyncError::Upload { .. } => Concern::Upload,
        }
    }
}

fn of_depot(error: &DepotError) -> Concern {
    match error {
        DepotError::File(_) => Concern::Disk,
        _ => Concern::Configuration,
    }
}
