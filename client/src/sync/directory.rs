use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fwdrill_depot::{Depot, FileError};
use fwdrill_protocol::update_set::PublicKey;
use tokio::task::JoinHandle;

use super::SyncError;

/// How long to wait for another cycle to leave, and how often to look. One that was told to stop is gone by then.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// The directory of update sets, for nobody else to sync into.
///
/// The lock is on a directory of the depot that nobody else locks. It ends with the last thread that works here, so also
/// after a cycle was dropped half way nobody comes in before its last write is done, and it ends with the process.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    depot: Depot,
    _lock: Arc<File>,
}

impl Directory {
    /// Opens the directory; makes it if there is a key for it.
    pub(super) async fn open(path: &Path, key: Option<&PublicKey>) -> Result<Self, SyncError> {
        let (into, key) = (path.to_owned(), key.cloned());
        let opening = tokio::task::spawn_blocking(move || match key {
            Some(key) => Ok(Depot::create(into, &key)?),
            None => match Depot::open(&into) {
                Err(error) if error.is_not_found() => Err(SyncError::NoKey(into)),
                // Makes what may be missing of an older or half made one.
                opened => Ok(Depot::create(into, opened?.public_key())?),
            },
        });
        let depot = joined(opening).await?;
        let lock = lock(&depot).await?;
        Ok(Directory {
            depot,
            _lock: Arc::new(lock),
        })
    }

    /// The depot, for what needs no thread of its own.
    pub(super) fn depot(&self) -> &Depot {
        &self.depot
    }

    /// Does what blocks, on a thread that may.
    pub(super) async fn on_thread<T: Send + 'static>(&self, work: impl FnOnce(&Depot) -> T + Send + 'static) -> T {
        joined(self.start(work)).await
    }

    /// Starts what blocks, on a thread that may.
    pub(super) fn start<T: Send + 'static>(&self, work: impl FnOnce(&Depot) -> T + Send + 'static) -> JoinHandle<T> {
        let held = self.clone();
        tokio::task::spawn_blocking(move || work(&held.depot))
    }
}

/// Waits for a thread; its panic is ours.
pub(super) async fn joined<T>(thread: JoinHandle<T>) -> T {
    match thread.await {
        Ok(value) => value,
        // Nobody aborts these, and the runtime that would is the one we run on.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn lock(depot: &Depot) -> Result<File, SyncError> {
    let path = depot.layout().partials();
    let failed = |operation, source| FileError {
        operation,
        path: path.clone(),
        source,
    };
    let directory = File::open(&path).map_err(|source| failed("open", source))?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match directory.try_lock() {
            Ok(()) => return Ok(directory),
            Err(TryLockError::Error(source)) => return Err(failed("lock", source).into()),
            Err(TryLockError::WouldBlock) if tokio::time::Instant::now() >= deadline => {
                return Err(SyncError::Busy(depot.dir().to_owned()));
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
