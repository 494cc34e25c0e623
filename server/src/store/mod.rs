//! What clients told the server of themselves, in SQLite beside the depot (`fwdrill.sqlite` in the state directory).
//!
//! [`Store::append`] returns when the events are on the disk: one thread writes (WAL, `synchronous=FULL`), and what waits
//! meanwhile goes into its next transaction. Each event is stored once, whatever the number of times it comes. Everything
//! has a [limit](Limits); beyond it the oldest goes.
//!
//! Readers have a connection of their own and never hold up the writer:
//!
//! ```no_run
//! # async fn example(store: fwdrill_server::store::Store) -> Result<(), fwdrill_server::store::StoreError> {
//! for client in store.clients().await? {
//!     println!("{} has {:?}, last seen {}", client.name, client.serial, client.last_seen);
//! }
//! let newest = store.reports(20).await?;
//! let live = store.subscribe(); // every event once it is stored
//! # drop((newest, live));
//! # Ok(())
//! # }
//! ```

mod change;
mod read;
mod schema;
mod tasks;
#[cfg(test)]
mod tests;
mod writer;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use fwdrill_protocol::event::ClientEvent;
use jiff::Timestamp;
use rusqlite::Connection;
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, oneshot};
use uuid::Uuid;

use change::Asked;
pub use read::{ClientRow, LastSync, ReportRow};
pub use tasks::{AgentRow, TaskRow, TaskState};
use writer::Job;

/// The file in the state directory.
pub const FILE: &str = "fwdrill.sqlite";

/// How many requests may wait for the disk.
const WAITING: usize = 1024;
/// How many stored events a slow subscriber may be behind.
const BEHIND: usize = 1024;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Clients; the events of one more are refused.
    pub clients: u32,
    /// Events of one client.
    pub per_client: u32,
    /// Reports of one client, which are the long ones.
    pub reports_per_client: u32,
    /// Events of all who only had a drill id and no enrolment token.
    pub not_enrolled: u32,
    /// Ids of events, by which they are told from new ones; also those of events that are not kept any more.
    pub ids: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            clients: 10_000,
            per_client: 1_000,
            reports_per_client: 50,
            not_enrolled: 20_000,
            ids: 1_000_000,
        }
    }
}

/// The database cannot be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// It cannot be opened.
    #[error("failed to open the database {path}")]
    Open {
        /// The file.
        path: String,
        /// SQLite's reason.
        #[source]
        source: rusqlite::Error,
    },
    /// Another version of fwdrill made it.
    #[error(
        "the database {path} has version {found}, and this program knows {known}: move it away, or use the newer program"
    )]
    Version {
        /// The file.
        path: String,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The thread that writes cannot be started.
    #[error("failed to start the database's thread")]
    Thread(#[source] std::io::Error),
    /// So much waits for the disk already that no more may.
    #[error("the database is busy")]
    Busy,
    /// The server stops.
    #[error("the database is closed")]
    Closed,
    /// Nothing was stored.
    #[error("failed to write to the database")]
    Write(#[source] Arc<rusqlite::Error>),
    /// A query failed.
    #[error("failed to read the database")]
    Read(#[source] rusqlite::Error),
}

/// An event as it came in.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The event.
    pub event: ClientEvent,
    /// As JSON, just as it came.
    pub json: String,
    /// Who sent it, as the server sees it.
    pub peer: SocketAddr,
    /// Whether with the enrolment token.
    pub enrolled: bool,
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// The order of arrival.
    pub seq: i64,
    /// When it was stored, by the server's clock.
    pub received: Timestamp,
    /// Who sent it, as the server saw it.
    pub peer: SocketAddr,
    /// Whether with the enrolment token; others had a drill id.
    pub enrolled: bool,
    /// The event.
    pub event: ClientEvent,
}

/// What became of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Stored now.
    pub stored: u64,
    /// Stored already.
    pub known: u64,
    /// Not stored: there are too many clients. By id.
    pub refused: Vec<Uuid>,
}

/// The database. Cheap to clone; all clones are one database.
#[derive(Clone, Debug)]
pub struct Store {
    queue: mpsc::Sender<Job>,
    reader: Arc<Mutex<Connection>>,
    live: broadcast::Sender<Arc<StoredEvent>>,
}

impl Store {
    /// Opens the database in `directory`; makes it if it is not there. What a killed server left is put right by SQLite.
    pub fn open(directory: &Path, limits: Limits) -> Result<Self, StoreError> {
        let path = directory.join(FILE);
        let writing = schema::open(&path)?;
        let reading = schema::open_for_reading(&path)?;
        let (queue, jobs) = mpsc::channel(WAITING);
        let (live, _) = broadcast::channel(BEHIND);
        writer::start(writing, jobs, limits, live.clone()).map_err(StoreError::Thread)?;
        Ok(Store {
            queue,
            reader: Arc::new(Mutex::new(reading)),
            live,
        })
    }

    /// Stores events, all or (on an error) none; when it returns they are on the disk.
    pub async fn append(&self, events: Vec<Incoming>) -> Result<Tally, StoreError> {
        let (done, heard) = oneshot::channel();
        self.ask(Job::Append { events, done })?;
        heard.await.map_err(|_| StoreError::Closed)?.map_err(StoreError::Write)
    }

    /// Changes something else, all or (on an error) nothing; when it returns it is on the disk.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, heard) = oneshot::channel();
        self.ask(Job::Change(Box::new(Asked::new(change, done))))?;
        heard.await.map_err(|_| StoreError::Closed)?.map_err(StoreError::Write)
    }

    fn ask(&self, job: Job) -> Result<(), StoreError> {
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })
    }

    /// Every event from now on, once it is stored. Who falls more than a thousand behind is told how many they missed.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<StoredEvent>> {
        self.live.subscribe()
    }

    /// Writes what waits and closes the database. What comes later is refused.
    pub async fn close(&self) {
        let (done, heard) = oneshot::channel();
        if self.queue.send(Job::Close { done }).await.is_ok() {
            // An error means that the thread has ended already.
            let _ = heard.await;
        }
    }
}
