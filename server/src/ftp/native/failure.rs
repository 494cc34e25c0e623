//! Why something cannot be had, or did not move, and what the client is told.

use std::io;

use thiserror::Error;

use super::reply::Reply;
use crate::dropbox::UploadError;
use crate::ftp::tree::TreeError;

/// Why something did not move, or not all of it.
#[derive(Debug, Error)]
pub(super) enum Failure {
    /// ABOR, or the control connection is gone.
    #[error("aborted")]
    Aborted,
    /// Not a byte for too long.
    #[error("the data connection stalled")]
    Stalled,
    /// It ended before its time.
    #[error("the data connection broke")]
    Data(#[source] io::Error),
    /// No TLS on it.
    #[error("the TLS handshake on the data connection failed")]
    Handshake(#[source] io::Error),
    /// A file of ours.
    #[error("a local error")]
    Local(#[source] io::Error),
    /// The drop box does not take it.
    #[error(transparent)]
    Upload(UploadError),
}

impl Failure {
    /// From an error of the data connection.
    pub(super) fn of_data(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Failure::Stalled,
            _ => Failure::Data(error),
        }
    }

    pub(super) fn reply(&self) -> Reply {
        let code = match self {
            Failure::Aborted | Failure::Stalled | Failure::Data(_) => 426,
            Failure::Handshake(_) => 425,
            Failure::Local(_) => 451,
            Failure::Upload(error) => upload_code(error),
        };
        Reply::new(code, format!("Transfer broken off: {self}"))
    }
}

/// What is said instead of a preliminary reply.
pub(super) fn refusal(error: TreeError) -> Reply {
    let code = match &error {
        TreeError::Upload(error) => upload_code(error),
        TreeError::List(_) => 451,
        _ => 550,
    };
    Reply::new(code, error)
}

/// The reply code for what the drop box does not take.
fn upload_code(error: &UploadError) -> u16 {
    match error {
        UploadError::Name(_) => 553,
        UploadError::Exists => 550,
        UploadError::FileTooLarge(_)
        | UploadError::Quota(_)
        | UploadError::TooManyFiles(_)
        | UploadError::TooManyClients(_) => 552,
        UploadError::DiskFull(_) => 452,
        UploadError::Io(_) => 451,
    }
}
