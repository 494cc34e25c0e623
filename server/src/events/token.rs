//! The enrolment token: who has it is one of the estate's clients.

use std::io;
use std::path::{Path, PathBuf};

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::task;
use subtle::ConstantTimeEq;
use thiserror::Error;
use tracing::info;

use crate::secret_file;

/// Where a token that the server made is kept, in the state directory.
pub const TOKEN_FILE: &str = "enrolment-token";

/// The enrolment token: the estate's `agent.token`, or one that the server made. Its debug form does not show it.
#[derive(Clone)]
pub struct EnrolmentToken(String);

/// The token cannot be kept.
#[derive(Debug, Error)]
#[error("failed to {operation} the enrolment token {}", path.display())]
pub struct TokenError {
    /// `read`, `write`.
    pub operation: &'static str,
    /// The file.
    pub path: PathBuf,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

impl EnrolmentToken {
    /// The estate's token, else the one in the state directory; makes that (256 random bits, readable by its owner only) if
    /// there is none.
    pub fn open(estate: &Estate, state: &Path) -> Result<Self, TokenError> {
        if let Some(token) = &estate.agent.token {
            return Ok(EnrolmentToken(token.clone()));
        }
        let path = state.join(TOKEN_FILE);
        let failed = |operation| {
            let path = path.clone();
            move |source| TokenError {
                operation,
                path,
                source,
            }
        };
        match secret_file::load(&path).map_err(|error| failed("read")(error.source))? {
            Some(token) if !token.is_empty() => return Ok(EnrolmentToken(token)),
            // What a full disk left.
            Some(_) => std::fs::remove_file(&path).map_err(failed("write"))?,
            None => {}
        }
        let token = secret_file::random();
        secret_file::make(&path, &token).map_err(|error| failed("write")(error.source))?;
        info!(file = %path.display(), "made an enrolment token; clients get it as agent.token or FWDRILL_AGENT_TOKEN");
        Ok(EnrolmentToken(token))
    }

    /// The token, for who has to show it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The signature of what this server says.
    pub(crate) fn sign(&self, body: &[u8]) -> String {
        task::sign(&self.0, body)
    }

    /// Whether somebody has it: `authorization` is the header of that name (RFC 6750 section 2.1). How long the answer takes
    /// tells nothing.
    pub fn is_shown_by(&self, authorization: &str) -> bool {
        let shown = authorization
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        shown.is_some_and(|(_, token)| self.0.as_bytes().ct_eq(token.trim().as_bytes()).into())
    }
}

impl std::fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EnrolmentToken")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_is_made_once_kept_and_nobody_elses_to_read() {
        let state = tempfile::tempdir().unwrap();
        let estate = Estate::default();
        let made = EnrolmentToken::open(&estate, state.path()).unwrap();
        assert_eq!(made.reveal().len(), 64);
        assert_eq!(
            EnrolmentToken::open(&estate, state.path()).unwrap().reveal(),
            made.reveal()
        );
        let file = state.path().join(TOKEN_FILE);
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        // What a full disk may leave is no token.
        std::fs::write(&file, "\n").unwrap();
        assert_ne!(
            EnrolmentToken::open(&estate, state.path()).unwrap().reveal(),
            made.reveal()
        );
    }

    #[test]
    fn the_estates_token_comes_first_and_only_the_whole_of_it_counts() {
        let state = tempfile::tempdir().unwrap();
        let mut estate = Estate::default();
        estate.agent.token = Some("0123456789abcdef".to_owned());
        let token = EnrolmentToken::open(&estate, state.path()).unwrap();
        assert!(!state.path().join(TOKEN_FILE).exists());
        assert!(token.is_shown_by("Bearer 0123456789abcdef") && token.is_shown_by("bearer 0123456789abcdef"));
        for other in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcde",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
        ] {
            assert!(!token.is_shown_by(other), "{other:?}");
        }
        assert!(!format!("{token:?} {estate:?}").contains("0123"));
    }
}
