//! Who is signed in: tokens in memory, gone with the server.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use crate::secret_file::random;

/// How many may be signed in at once; the next one ends the oldest session.
const MOST: usize = 64;
/// How long a session lasts, whatever happens in it.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// Every session of the console.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    // By the digest of its token: neither the time of a lookup nor a dump of the memory tells a token.
    open: Mutex<HashMap<[u8; 32], Session>>,
}

#[derive(Debug, Clone)]
struct Session {
    csrf: String,
    begun: Instant,
}

/// A session that is open, as a request showed by its cookie.
#[derive(Debug, Clone)]
pub(super) struct SignedIn {
    token: [u8; 32],
    csrf: String,
}

impl SignedIn {
    /// What every form of this session has to carry: another site cannot know it.
    pub(super) fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Whether a form carried it.
    pub(super) fn is_own_form(&self, csrf: &str) -> bool {
        self.csrf.as_bytes().ct_eq(csrf.as_bytes()).into()
    }
}

impl Sessions {
    /// Opens a session; the token is for the cookie and nowhere else.
    pub(super) fn open(&self) -> String {
        let (token, csrf) = (random(), random());
        let mut open = self.lock();
        open.retain(|_, session| session.begun.elapsed() < LIFETIME);
        if open.len() >= MOST {
            let oldest = open.iter().min_by_key(|(_, session)| session.begun);
            if let Some(oldest) = oldest.map(|(token, _)| *token) {
                open.remove(&oldest);
            }
        }
        let begun = Instant::now();
        open.insert(digest(&token), Session { csrf, begun });
        token
    }

    /// The session of a token.
    pub(super) fn of(&self, token: &str) -> Option<SignedIn> {
        let token = digest(token);
        let session = self.lock().get(&token).cloned()?;
        (session.begun.elapsed() < LIFETIME).then_some(SignedIn {
            token,
            csrf: session.csrf,
        })
    }

    /// Whether it has not ended meanwhile.
    pub(super) fn is_open(&self, session: &SignedIn) -> bool {
        let open = self.lock();
        open.get(&session.token)
            .is_some_and(|session| session.begun.elapsed() < LIFETIME)
    }

    /// Ends a session.
    pub(super) fn close(&self, session: &SignedIn) {
        self.lock().remove(&session.token);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        // Every change under this lock is one insertion or removal.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_is_open_until_it_is_closed_or_old() {
        let sessions = Sessions::default();
        let (one, other) = (sessions.open(), sessions.open());
        let session = sessions.of(&one).unwrap();
        assert!(session.is_own_form(session.csrf()) && !session.is_own_form(sessions.of(&other).unwrap().csrf()));
        sessions.close(&session);
        assert!(sessions.of(&one).is_none() && !sessions.is_open(&session));
        let session = sessions.of(&other).unwrap();
        tokio::time::advance(LIFETIME).await;
        assert!(sessions.of(&other).is_none() && !sessions.is_open(&session));
        assert!(sessions.of("").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_of_too_many_sessions_ends() {
        let sessions = Sessions::default();
        let first = sessions.open();
        tokio::time::advance(Duration::from_secs(1)).await;
        let others: Vec<String> = (0..MOST).map(|_| sessions.open()).collect();
        assert!(sessions.of(&first).is_none());
        assert!(others.iter().all(|token| sessions.of(token).is_some()));
    }
}
