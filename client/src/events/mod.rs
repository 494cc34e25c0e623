//! What this client tells the server of itself (port 2225, docs/PROTOCOL.md): kept on the disk until the server has it.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use fwdrill_client::events::{Destination, Outbox};
//! use fwdrill_protocol::event::What;
//! let outbox = Outbox::open("/var/lib/fwdrill/events".into(), "pc-17".parse()?).await?;
//! outbox.note(What::Started { program: "0.1.0".to_owned(), role: "agent".to_owned() }).await;
//! let mut to = Destination::new("update.example.net", vec![([203, 0, 113, 2], 2225).into()]);
//! to.token = Some("...".to_owned());
//! outbox.deliver(&to, &Default::default()).await?; // what is not delivered stays
//! # Ok(())
//! # }
//! ```

mod backoff;
mod post;
mod report;
mod spool;
mod telling;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use fwdrill_protocol::client_name::ClientName;
use fwdrill_protocol::event::{ClientEvent, MOST_EVENT_BYTES, What};

use crate::limits::Limits;
pub use backoff::Backoff;
pub use post::{Destination, PostError};
pub use report::send_report;
pub use spool::{Spool, SpoolError, SpoolLimits};
pub use telling::{Telling, Watched};

/// How many events go into one request, and how long it may become: a fraction of what a server takes.
const AT_ONCE: usize = 64;
const BYTES_AT_ONCE: usize = 2 << 20;

/// A client's events on their way: at least once, in order. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outbox {
    spool: Arc<Spool>,
    client: ClientName,
    backoff: Arc<Mutex<Backoff>>,
}

/// What a delivery came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Delivered {
    /// Events that the server has stored, or had already.
    pub taken: u64,
    /// Events that the server will never take; they are given up.
    pub refused: u64,
}

/// Why events stay where they are.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The server does not take them.
    #[error(transparent)]
    Post(#[from] PostError),
    /// They cannot be read, or not be removed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl Outbox {
    /// The outbox of a client in a directory of its own; made if it is not there.
    pub async fn open(directory: PathBuf, client: ClientName) -> Result<Self, SpoolError> {
        Ok(Outbox {
            spool: Arc::new(on_thread(move || Spool::open(directory, SpoolLimits::default())).await?),
            client,
            backoff: Arc::default(),
        })
    }

    /// Keeps an event that happens now; when this returns it survives this process. What cannot be kept is logged: nobody's
    /// work fails because it could not be told of.
    pub async fn note(&self, what: What) {
        let event = ClientEvent::now(self.client.clone(), what);
        if let Err(error) = self.keep(event).await {
            tracing::warn!(%error, "an event is lost");
        }
    }

    async fn keep(&self, event: ClientEvent) -> Result<(), SpoolError> {
        let spool = self.spool.clone();
        let dropped = on_thread(move || spool.put(&event)).await?;
        if dropped > 0 {
            tracing::warn!(dropped, "there is no room for more events: the oldest are lost");
            let spool = self.spool.clone();
            let said = ClientEvent::now(self.client.clone(), What::Dropped { events: dropped });
            on_thread(move || spool.put_anyway(&said)).await?;
        }
        Ok(())
    }

    /// How many events wait.
    pub async fn waiting(&self) -> usize {
        let spool = self.spool.clone();
        on_thread(move || spool.len()).await
    }

    /// Sends everything that waits, unless the last attempt failed and the pause after it is not over; `Ok(None)` then.
    pub async fn deliver_if_due(&self, to: &Destination, limits: &Limits) -> Result<Option<Delivered>, DeliveryError> {
        let due = |backoff: &Mutex<Backoff>| {
            backoff
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_due(Instant::now())
        };
        match due(&self.backoff) {
            true => self.deliver(to, limits).await.map(Some),
            false => Ok(None),
        }
    }

    /// Sends everything that waits, oldest first, until nothing waits or something fails. What the server has is removed here.
    pub async fn deliver(&self, to: &Destination, limits: &Limits) -> Result<Delivered, DeliveryError> {
        let delivered = self.deliver_all(to, limits).await;
        let mut backoff = self.backoff.lock().unwrap_or_else(PoisonError::into_inner);
        match &delivered {
            Ok(_) => backoff.succeeded(),
            Err(DeliveryError::Post(error)) => drop(backoff.failed(Instant::now(), error.after())),
            Err(DeliveryError::Spool(_)) => drop(backoff.failed(Instant::now(), None)),
        }
        delivered
    }

    async fn deliver_all(&self, to: &Destination, limits: &Limits) -> Result<Delivered, DeliveryError> {
        let mut delivered = Delivered::default();
        let mut at_once = AT_ONCE;
        loop {
            let spool = self.spool.clone();
            let batch = on_thread(move || spool.oldest(at_once, BYTES_AT_ONCE)).await?;
            if batch.is_empty() {
                return Ok(delivered);
            }
            let refused: Vec<usize> = match to.post(batch.iter().map(|kept| kept.json.as_slice()), limits).await {
                Ok(receipt) => receipt
                    .refused
                    .into_iter()
                    .inspect(|refused| tracing::warn!(why = refused.why, "the server refuses an event for good"))
                    .map(|refused| refused.index)
                    .collect(),
                // One of them may be at fault.
                Err(error) if error.is_about_the_request() && batch.len() > 1 => {
                    at_once = 1;
                    continue;
                }
                Err(error) if error.is_about_the_request() => {
                    tracing::warn!(%error, "an event is given up");
                    vec![0]
                }
                Err(error) => return Err(error.into()),
            };
            let refused = refused.iter().filter(|index| **index < batch.len()).count() as u64;
            delivered.refused += refused;
            delivered.taken += batch.len() as u64 - refused;
            let spool = self.spool.clone();
            on_thread(move || spool.remove(&batch)).await?;
        }
    }
}

/// Whether an event is short enough for a server.
fn fits(json: &[u8]) -> bool {
    json.len() <= MOST_EVENT_BYTES
}

/// Does what blocks, on a thread that may; its panic is ours.
pub(crate) async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
