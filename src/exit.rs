//! Exit codes (CONTRACT section 1) and how a failure is told: once, with its causes.

use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything expected holds.
    Pass = 0,
    /// A finding of severity error, or an expectation that failed.
    Fail = 1,
    /// Usage or configuration.
    Usage = 2,
    /// A check could not be carried out: neither blocked nor open.
    Inconclusive = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// A command that ended without a report.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) error: anyhow::Error,
}

/// Unless it says otherwise, what stops a command is how it was called or configured.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure {
            exit: Exit::Usage,
            error,
        }
    }
}

/// Errors that say by themselves how the program ends.
pub(crate) trait EndsAs<T> {
    /// The same result, with this exit code.
    fn ends_as(self, exit: Exit) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> EndsAs<T> for Result<T, E> {
    fn ends_as(self, exit: Exit) -> Result<T, Failure> {
        self.map_err(|error| Failure {
            exit,
            error: error.into(),
        })
    }
}

/// Prints the error and its causes, once.
pub(crate) fn report(failure: &Failure) -> Exit {
    crate::output::complain(&format!("{:#}", failure.error));
    failure.exit
}
