//! What a client's update cycles tell the server of themselves. Nothing here fails a cycle.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fwdrill_depot::Layout;
use fwdrill_protocol::client_name::ClientName;
use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::event::What;

use super::{Destination, Outbox};
use crate::error_chain;
use crate::limits::Limits;
use crate::sync::{Event, Outcome, Progress, Server, SyncError};

/// How long the server may take over each step.
const STEP: Duration = Duration::from_secs(3);

/// Events of a program that goes through update cycles, kept in `events` of its directory until the server has them.
pub struct Telling {
    directory: PathBuf,
    role: &'static str,
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
    /// `into` is the directory of update sets, `role` what the program calls itself: `sync`, `agent`.
    pub fn new(into: &Path, client: ClientName, estate: &Estate, role: &'static str) -> Self {
        Telling {
            directory: into.join("events"),
            role,
            into: into.to_owned(),
            client,
            estate: estate.clone(),
            drill: DrillId::random(),
            outbox: None,
            failed: None,
        }
    }

    /// The id that a cycle's requests have to carry, so that the server meets it.
    pub fn drill(&self) -> Option<DrillId> {
        self.estate.agent.token.is_none().then_some(self.drill)
    }

    /// Keeps what came of a cycle.
    pub async fn note<P>(&mut self, watched: Watched<P>, ended: &Result<Outcome, SyncError>) {
        let Some(outbox) = self.opened().await else { return };
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

    /// Keeps something else that happened.
    pub async fn tell(&mut self, what: What) {
        if let Some(outbox) = self.opened().await {
            outbox.note(what).await;
        }
    }

    /// Sends what waits, if the server takes it. What it does not take waits for the next time.
    pub async fn send(&self, server: &Server) {
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

    async fn opened(&mut self) -> Option<Outbox> {
        // A directory that is no depot is somebody else's.
        if self.outbox.is_none() && Layout::new(&self.into).public_key().exists() {
            match Outbox::open(self.directory.clone(), self.client.clone()).await {
                Ok(outbox) => {
                    let started = What::Started {
                        program: env!("CARGO_PKG_VERSION").to_owned(),
                        role: self.role.to_owned(),
                    };
                    outbox.note(started).await;
                    self.outbox = Some(outbox);
                }
                Err(error) => tracing::warn!("the server is told nothing: {}", error_chain(&error)),
            }
        }
        self.outbox.clone()
    }
}

/// Passes a cycle's progress on, and keeps what the server should know of it.
pub struct Watched<P> {
    progress: P,
    begun: Instant,
    offered: Mutex<Option<(String, u64)>>,
}

impl<P> Watched<P> {
    /// To be made when the cycle begins.
    pub fn new(progress: P) -> Self {
        Watched {
            progress,
            begun: Instant::now(),
            offered: Mutex::default(),
        }
    }
}

impl<P: Progress> Progress for Watched<P> {
    fn event(&self, event: Event<'_>) {
        if let Event::Offered { version, serial } = event {
            *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = Some((version.to_owned(), serial));
        }
        self.progress.event(event);
    }
}
