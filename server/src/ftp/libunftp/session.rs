//! What one session of libunftp has in common: libunftp itself keeps its parts apart.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Span;

use super::control::Control;
use crate::ftp::passive::{Claim, LendError};
use crate::ftp::site::Site;
use crate::ftp::witness::Witness;

pub(super) struct Session {
    pub(super) site: Arc<Site>,
    pub(super) witness: Arc<Witness>,
    pub(super) control: Control,
    /// libunftp's tasks lose theirs.
    pub(super) span: Span,
    cutting: CancellationToken,
    transfers: TaskTracker,
    passive: Mutex<Passive>,
}

#[derive(Default)]
struct Passive {
    claim: Option<Claim>,
    /// The latest listener.
    listener: Option<SocketAddr>,
}

impl Session {
    pub(super) fn new(site: Arc<Site>, witness: Arc<Witness>, stream: &TcpStream) -> io::Result<Self> {
        let transfers = TaskTracker::new();
        // Only a closed tracker can be waited for; it goes on counting.
        transfers.close();
        Ok(Session {
            site,
            witness,
            control: Control::of(stream)?,
            span: Span::current(),
            cutting: CancellationToken::new(),
            transfers,
            passive: Mutex::default(),
        })
    }

    /// A passive port for the next transfer. The one before is given up: libunftp keeps its listener for up to 15 s,
    /// which the pool notices.
    pub(super) fn lend(&self) -> Result<TcpListener, LendError> {
        self.passive().claim = None;
        let lease = self.site.lend(&self.witness)?;
        let address = lease.address();
        let (listener, claim) = lease.split();
        *self.passive() = Passive {
            claim: Some(claim),
            listener: Some(address),
        };
        Ok(listener)
    }

    /// Where the latest data connection arrived, as far as can be known.
    pub(super) fn data_address(&self) -> SocketAddr {
        self.passive().listener.unwrap_or_else(|| self.witness.local())
    }

    /// Counts as a transfer until it is dropped.
    pub(super) fn transfer(&self) -> TaskTrackerToken {
        self.transfers.token()
    }

    /// Waits until no transfer is under way.
    pub(super) async fn transfers_done(&self) {
        self.transfers.wait().await;
    }

    /// What becomes of `work`, unless the session is cut.
    pub(super) async fn unless_cut<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.cutting.run_until_cancelled(work).await
    }

    /// Ends whatever is left of the session.
    pub(super) fn cut(&self) {
        self.cutting.cancel();
        self.control.hang_up();
        self.passive().claim = None;
    }

    fn passive(&self) -> MutexGuard<'_, Passive> {
        // Assignments only.
        self.passive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Next to nothing: libunftp formats all it has into its tracing spans.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("peer", &self.witness.peer())
            .finish_non_exhaustive()
    }
}
