//! What every FTP session shares, whichever engine lives it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fwdrill_protocol::estate::limits::FtpLimits;
use fwdrill_protocol::estate::{Estate, Tls};
use rustls::ServerConfig;
use thiserror::Error;
use tracing::{debug, info, warn};

use super::access::{Access, Visitor};
use super::advertised::{Advertised, AdvertisedError};
use super::lockout::Lockout;
use super::passive::{Lease, LendError, PassivePool};
use super::tree::Tree;
use super::witness::Witness;
use crate::dropbox::{DropBox, DropBoxError};
use crate::journal::Journal;
use crate::shelf::Shelf;
use crate::tls::{self, TlsError};

/// What every FTP session shares.
#[derive(Debug)]
pub struct Site {
    /// Which passive ports may be handed out.
    pub passive: Arc<PassivePool>,
    /// What a 227 says.
    pub advertised: Advertised,
    /// Who may log in.
    pub access: Access,
    /// Who has guessed too often.
    pub lockout: Lockout,
    /// The update sets.
    pub shelf: Shelf,
    /// Where uploads go.
    pub dropbox: Arc<DropBox>,
    /// What was seen.
    pub journal: Journal,
    /// Whether clients may or must use TLS.
    pub tls: Tls,
    /// The TLS configuration; `None` if and only if `tls` is off.
    pub tls_config: Option<Arc<ServerConfig>>,
    /// The same for data connections: without session tickets (TLS 1.3). A client that closes an upload reads nothing
    /// any more, and a ticket unread at that moment resets the connection under the last bytes of the file. Those of
    /// the control connection are good for data connections too.
    pub data_tls_config: Option<Arc<ServerConfig>>,
    /// How long and how many.
    pub limits: FtpLimits,
    /// Whether active mode is on.
    pub active: bool,
}

/// Why there is no FTP service.
#[derive(Debug, Error)]
pub enum SiteError {
    /// The advertised address is of no use.
    #[error(transparent)]
    Advertised(#[from] AdvertisedError),
    /// The drop box cannot be used.
    #[error(transparent)]
    DropBox(#[from] DropBoxError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What was to be done on a thread of its own was not.
    #[error("failed to prepare the FTP service")]
    CutShort(#[source] io::Error),
}

impl Site {
    /// Prepares the FTP service of `estate`, whose ports are those that were really bound: a passive port must not be
    /// one of them. Keeps certificate and drop box in `state`.
    pub async fn open(estate: &Estate, state: &Path, shelf: Shelf, journal: Journal) -> Result<Self, SiteError> {
        let limits = estate.ftp.limits;
        let advertised = Advertised::new(&estate.ftp).await?;
        let (dropbox, tls_config) = open_state(estate, state).await?;
        let stolen = estate.stolen_ports();
        if !stolen.is_empty() {
            info!(ports = %stolen, "ports of the passive range belong to other listeners and are never handed out");
        }
        Ok(Site {
            passive: PassivePool::of(estate),
            advertised,
            access: Access::new(&estate.ftp),
            lockout: Lockout::default(),
            shelf,
            dropbox,
            journal,
            tls: estate.ftp.tls,
            data_tls_config: tls_config.as_deref().map(|config| {
                let mut config = config.clone();
                config.send_tls13_tickets = 0;
                Arc::new(config)
            }),
            tls_config,
            active: estate.ftp.active,
            limits: FtpLimits {
                sessions: limits.sessions.min(affordable_sessions()),
                ..limits
            },
        })
    }

    /// Lets somebody in who knows the password: who it is, and the tree as it is now. `None` otherwise, and not at once.
    ///
    /// An address that has guessed too often is told that the right password is wrong. Those who need none are let in.
    pub async fn admit(&self, name: &str, password: &str, witness: &Witness) -> Option<(Visitor, Tree)> {
        let guesser = witness.peer().ip();
        let visitor = self.access.admit(name, password).filter(|visitor| {
            !matches!(visitor, Visitor::User(_)) || !self.lockout.is_locked_out(guesser, &self.limits)
        });
        let Some(visitor) = visitor else {
            info!(user = name.escape_debug().to_string(), "login refused");
            self.lockout.failed(guesser, &self.limits);
            tokio::time::sleep(self.limits.failure_delay).await;
            return None;
        };
        if let Some(drill) = visitor.drill() {
            debug!(%drill, "the session belongs to a drill");
            witness.belongs_to(drill);
        }
        info!(user = %visitor, "logged in");
        let tree = self.tree().await;
        let tree = match visitor {
            Visitor::User(_) => tree.with_changes(),
            Visitor::Anonymous | Visitor::Drill(_) => tree,
        };
        Some((visitor, tree))
    }

    /// The tree as it is now; who holds it keeps that update set.
    pub async fn tree(&self) -> Tree {
        let key = self.shelf.public_key().map(|key| Bytes::from(key.render()));
        Tree::new(self.shelf.current().await, key, self.dropbox.clone())
    }

    /// A passive port for this session, on the address where its control connection arrived. What comes of it is noted.
    pub fn lend(&self, witness: &Witness) -> Result<Lease, LendError> {
        let lent = self.passive.lend(witness.local().ip());
        match &lent {
            Ok(lease) => {
                debug!(listener = %lease.address(), "handing out a passive port");
                witness.passive_port(lease.address());
            }
            Err(error @ LendError::Exhausted(_)) => {
                warn!(%error, "a client gets no data connection");
                witness.passive_range_exhausted();
            }
            Err(error) => warn!(
                error = error as &dyn std::error::Error,
                "a client gets no data connection"
            ),
        }
        lent
    }
}

async fn open_state(estate: &Estate, state: &Path) -> Result<(Arc<DropBox>, Option<Arc<ServerConfig>>), SiteError> {
    let (estate, state) = (estate.clone(), state.to_owned());
    let wanted = estate.ftp.tls != Tls::Off;
    let opened = tokio::task::spawn_blocking(move || {
        let dropbox = DropBox::open(&state.join("dropbox"), estate.dropbox)?;
        let tls_config = wanted.then(|| tls::server_config(&estate, &state)).transpose()?;
        Ok((dropbox, tls_config.map(Arc::new)))
    });
    opened
        .await
        .map_err(|error| SiteError::CutShort(io::Error::other(error)))?
}

/// A session has one file open while it waits, which most of many sessions do, and three in a transfer: control connection,
/// data connection, and what is sent. Where all are in use, whoever accepts connections waits for one.
fn affordable_sessions() -> usize {
    const FILES_EACH: u64 = 2;
    match rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        Some(files) => usize::try_from(files / FILES_EACH).unwrap_or(usize::MAX).max(1),
        None => usize::MAX,
    }
}
