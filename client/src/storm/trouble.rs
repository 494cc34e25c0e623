//! What went wrong with a step, told apart as a limit has to be.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use fwdrill_protocol::storm::{Cause, Step};
use fwdrill_protocol::update_set::{ManifestError, SignatureError, VersionAnswerError};
use rustix::io::Errno;

use crate::connection::ConnectionError;
use crate::error_chain;
use crate::events::PostError;
use crate::ftp::FtpError;
use crate::http::HttpError;

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    /// As the client says it.
    pub(super) words: String,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) step: Step,
    pub(super) cause: Cause,
    /// When the step began, since the storm did.
    pub(super) began: Duration,
    /// How many agents were at work when it failed.
    pub(super) agents: u64,
    pub(super) words: String,
}

impl Failure {
    pub(super) fn new(cause: Cause, words: impl Into<String>) -> Self {
        Failure {
            cause,
            words: words.into(),
        }
    }

    fn of(cause: Cause, error: &(dyn Error + 'static)) -> Self {
        Failure::new(cause, error_chain(error))
    }

    /// A connection that did not stand.
    pub(super) fn of_dialling(to: SocketAddr, error: &ConnectionError) -> Self {
        Failure::new(of_connection(error), format!("{to}: {error}"))
    }

    /// An FTP error means different things at different steps.
    pub(super) fn of_ftp(step: Step, error: &FtpError) -> Self {
        let cause = match (error, error.reply().map(|reply| reply.code)) {
            (_, Some(code)) if step == Step::Passive && code / 100 == 4 => Cause::NoPassivePort,
            (_, Some(421)) if matches!(step, Step::Control | Step::Login) => Cause::TurnedAway,
            (_, Some(_)) => Cause::RefusedByServer,
            (FtpError::NotFtp { .. } | FtpError::Tls { .. }, _) => Cause::NotUnderstood,
            _ => error
                .connection()
                .map_or(Cause::OwnOther, |(_, source)| of_connection(source)),
        };
        Failure::of(cause, error)
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        let cause = match &error {
            HttpError::Connection { source, .. } => of_connection(source),
            HttpError::Status { .. } => Cause::RefusedByServer,
            HttpError::Request { .. } => Cause::OwnOther,
            HttpError::Tls { .. }
            | HttpError::NotHttp { .. }
            | HttpError::Malformed { .. }
            | HttpError::TooLong { .. } => Cause::NotUnderstood,
        };
        Failure::of(cause, &error)
    }
}

impl From<PostError> for Failure {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Http(error) => error.into(),
            PostError::Refused { .. } => Failure::of(Cause::RefusedByServer, &error),
            PostError::NoReceipt(_) => Failure::of(Cause::NotUnderstood, &error),
            PostError::Nowhere => Failure::of(Cause::OwnOther, &error),
        }
    }
}

impl From<VersionAnswerError> for Failure {
    fn from(error: VersionAnswerError) -> Self {
        Failure::of(Cause::NotUnderstood, &error)
    }
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        Failure::of(Cause::WrongContent, &error)
    }
}

impl From<SignatureError> for Failure {
    fn from(error: SignatureError) -> Self {
        Failure::of(Cause::WrongContent, &error)
    }
}

fn of_connection(error: &ConnectionError) -> Cause {
    match error {
        ConnectionError::Refused(_) => Cause::Refused,
        ConnectionError::TimedOut(_) => Cause::Timeout,
        ConnectionError::Unreachable(_) => Cause::Unreachable,
        ConnectionError::Closed | ConnectionError::Reset(_) => Cause::Reset,
        ConnectionError::Silent(_) | ConnectionError::Stalled(_) => Cause::Silent,
        ConnectionError::Io(error) => match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE) => Cause::OwnFiles,
            // connect(2): all local ports to that destination are in use.
            Some(Errno::ADDRNOTAVAIL) => Cause::OwnPorts,
            Some(Errno::NOMEM | Errno::NOBUFS) => Cause::OwnMemory,
            // The kernel gave up on a connection that stood.
            _ if error.kind() == std::io::ErrorKind::TimedOut => Cause::Silent,
            _ => Cause::OwnOther,
        },
    }
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::ftp_reply::Reply;

    use super::*;

    fn of(errno: Errno) -> Cause {
        of_connection(&std::io::Error::from(errno).into())
    }

    #[test]
    fn what_this_machine_lacks_is_never_the_paths_fault() {
        assert_eq!(of(Errno::MFILE), Cause::OwnFiles);
        assert_eq!(of(Errno::ADDRNOTAVAIL), Cause::OwnPorts);
        assert_eq!(of(Errno::NOBUFS), Cause::OwnMemory);
        assert!(of(Errno::PERM).is_own());
        for errno in [
            Errno::CONNREFUSED,
            Errno::CONNRESET,
            Errno::HOSTUNREACH,
            Errno::TIMEDOUT,
        ] {
            assert!(!of(errno).is_own(), "{errno:?}");
        }
    }

    #[test]
    fn the_same_reply_means_another_thing_at_another_step() {
        let says = |code| FtpError::Unexpected {
            command: "EPSV".to_owned(),
            reply: Reply::new(code, "no"),
        };
        let cause = |step, code| Failure::of_ftp(step, &says(code)).cause;
        assert_eq!(cause(Step::Passive, 425), Cause::NoPassivePort);
        assert_eq!(cause(Step::Passive, 421), Cause::NoPassivePort);
        assert_eq!(cause(Step::Passive, 500), Cause::RefusedByServer);
        assert_eq!(cause(Step::Control, 421), Cause::TurnedAway);
        assert_eq!(cause(Step::Login, 530), Cause::RefusedByServer);
        assert_eq!(cause(Step::Download, 421), Cause::RefusedByServer);
    }
}
