//! What a sync tells the server of itself (port 2225). Nothing here fails a sync.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fwdrill_client::Limits;
use fwdrill_client::events::{Destination, Outbox};
use fwdrill_client::sync::{ClientName, Event, Outcome, Progress, Server, SyncError};
use fwdrill_depot::Layout;
use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::event::What;

use super::bars::Bars;
use super::error_chain;

/// How long the server may take over each step.
const STEP: Duration = Duration::from_secs(3);

/// Events of one run of `sync`, kept in `events` of its directory until the server has them.
pub(super) struct Telling {
    directory: PathBuf,
    into: PathBuf,
    client: ClientName,
    estate: Estate,
    /// For who has no enrolment token: the server takes events of drills that it has met.
    drill: DrillId,
    outbox: Option<Outbox>,
    /// Of the last cycle: whether something was wrong with it.
    failed: Option<bool>,
}

impl Telling {
    pub(super) fn new(into: &Path, client: ClientName, estate: &Estate) -> Self {
        Telling {
            directory: into.join("events"),
            into: into.to_owned(),
            client,
            estate: estate.clone(),
            drill: DrillId::random(),
            outbox: None,
            failed: None,
        }
    }

    /// The id that a cycle's requests have to carry, so that the server meets it.
    pub(super) fn drill(&self) -> Option<DrillId> {
        self.estate.agent.token.is_none().then_some(self.drill)
    }

    /// Keeps what came of a cycle.
    pub(super) async fn note(&mut self, watched: Watched, ended: &Result<Outcome, SyncError>) {
        // A directory that is no depot is somebody else's.
        if self.outbox.is_none() && Layout::new(&self.into).public_key().exists() {
            self.open().await;
        }
        let Some(outbox) = &self.outbox else { return };
        if let Some((version, serial)) = watched.offered.into_inner().unwrap_or_else(PoisonError::into_inner) {
            outbox.note(What::VersionSeen { version, serial }).await;
        }
        let elapsed_ms = u64::try_from(watched.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match ended {
            // That nothing is new is news after a failure and at the beginning only.
            Ok(outcome) if outcome.installed.is_none() && self.failed == Some(false) => {}
            Ok(outcome) => {
                let done = What::SyncDone {
                    version: outcome.version.clone(),
                    serial: outcome.serial,
                    before: outcome.before,
                    mode: self.estate.mode,
                    received: outcome.installed.map_or(0, |tally| tally.received),
                    elapsed_ms,
                };
                outbox.note(done).await;
            }
            Err(error) => {
                let failed = What::SyncFailed {
                    concern: error.concern().name().to_owned(),
                    error: error_chain(error),
                    elapsed_ms,
                };
                outbox.note(failed).await;
            }
        }
        self.failed = Some(ended.is_err());
    }

    /// Sends what waits, if the server takes it. What it does not take waits for the next time.
    pub(super) async fn send(&self, server: &Server) {
        let Some(outbox) = &self.outbox else { return };
        let port = self.estate.ports.events;
        let addresses = server.addresses.iter().map(|address| SocketAddr::new(*address, port));
        let mut to = Destination::new(&server.host, addresses.collect());
        to.token.clone_from(&self.estate.agent.token);
        to.drill = self.drill();
        match outbox.deliver_if_due(&to, &Limits::all(STEP)).await {
            Ok(delivered) => tracing::debug!(?delivered, "events"),
            Err(error) => {
                let waiting = outbox.waiting().await;
                tracing::info!(waiting, "events are kept for the next time: {}", error_chain(&error));
            }
        }
    }

    async fn open(&mut self) {
        match Outbox::open(self.directory.clone(), self.client.clone()).await {
            Ok(outbox) => {
                let started = What::Started {
                    program: env!("CARGO_PKG_VERSION").to_owned(),
                    role: "sync".to_owned(),
                };
                outbox.note(started).await;
                self.outbox = Some(outbox);
            }
            Err(error) => tracing::warn!("the server is told nothing: {}", error_chain(&error)),
        }
    }
}

/// Shows a cycle's progress, and keeps what the server should know of it.
pub(super) struct Watched {
    bars: Bars,
    begun: Instant,
    offered: Mutex<Option<(String, u64)>>,
}

impl Watched {
    pub(super) fn new(bars: Bars) -> Self {
        Watched {
            bars,
            begun: Instant::now(),
            offered: Mutex::default(),
        }
    }
}

impl Progress for Watched {
    fn event(&self, event: Event<'_>) {
        if let Event::Offered { version, serial } = event {
            *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = Some((version.to_owned(), serial));
        }
        self.bars.event(event);
    }
}
