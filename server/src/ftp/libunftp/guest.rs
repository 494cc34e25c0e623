//! Logins for libunftp.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tracing::Instrument;
use unftp_core::auth::{
    AuthenticationError, Authenticator, Credentials, Principal, UserDetail, UserDetailError, UserDetailProvider,
};

use super::session::Session;
use crate::ftp::access::Visitor;
use crate::ftp::tree::Tree;

/// Somebody who has logged in, with the tree as it was then.
pub(super) struct Guest {
    visitor: Visitor,
    pub(super) tree: Tree,
}

impl UserDetail for Guest {}

impl fmt::Display for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.fmt(f)
    }
}

impl fmt::Debug for Guest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.visitor, f)
    }
}

/// Lets people into one session. libunftp asks twice, for a principal and then for the user's details, and passes on a
/// name only in between.
#[derive(Debug)]
pub(super) struct Doorkeeper {
    session: Arc<Session>,
    admitted: Mutex<Option<Guest>>,
}

impl Doorkeeper {
    pub(super) fn new(session: Arc<Session>) -> Self {
        Doorkeeper {
            session,
            admitted: Mutex::new(None),
        }
    }
}

#[async_trait]
impl Authenticator for Doorkeeper {
    async fn authenticate(&self, name: &str, credentials: &Credentials) -> Result<Principal, AuthenticationError> {
        let Session {
            site, witness, span, ..
        } = &*self.session;
        let password = credentials.password.as_deref().unwrap_or_default();
        let admitted = site.admit(name, password, witness).instrument(span.clone()).await;
        let (visitor, tree) = admitted.ok_or(AuthenticationError::BadPassword)?;
        let username = visitor.name().to_owned();
        *self.admitted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Guest { visitor, tree });
        Ok(Principal { username })
    }
}

#[async_trait]
impl UserDetailProvider for Doorkeeper {
    type User = Guest;

    async fn provide_user_detail(&self, principal: &Principal) -> Result<Guest, UserDetailError> {
        let admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner).take();
        admitted.ok_or_else(|| UserDetailError::UserNotFound {
            username: principal.username.clone(),
        })
    }
}
