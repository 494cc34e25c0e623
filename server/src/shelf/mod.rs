//! What the server serves: the update set in force, kept at hand, and replaced when a newer one is published.
//!
//! Nobody tells the server that a set was published; whoever asks the [`Shelf`] looks at the depot's `current` link. A set
//! goes on the shelf only when its signature and every file have been verified, once per serial.

mod hot;
mod set;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use fwdrill_depot::{ContentError, Depot, DepotError, FileError};
use fwdrill_protocol::update_set::PublicKey;
use jiff::Timestamp;
use thiserror::Error;
use tracing::{error, info, warn};

use crate::chain;
use hot::Hot;
pub use set::{Content, Set, Unservable};

/// How long a request waits for a set that is being verified, before it gets the one before.
const PATIENCE: Duration = Duration::from_secs(2);

/// The sets a server serves. Cheap to clone; all clones are one shelf.
#[derive(Clone, Debug)]
pub struct Shelf {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    kept: Mutex<Kept>,
    /// Held while a set is verified: the rest wait for that one instead of verifying it too.
    verifying: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    depot: Option<Depot>,
    current: Option<Arc<Set>>,
    /// Other sets, for as long as somebody reads them; then they may be pruned.
    others: HashMap<u64, Weak<Set>>,
    /// Serials whose files have been verified.
    verified: BTreeSet<u64>,
    /// Serials that failed. A set never changes, so there is no second trial.
    refused: BTreeSet<u64>,
    /// Whether the depot itself is known to be broken: said once.
    broken: bool,
    /// Contents in memory, those of all sets together: most files of a set are those of the one before.
    hot: Hot,
}

/// Why a set cannot go on the shelf.
#[derive(Debug, Error)]
pub enum ShelfError {
    /// The depot or the set's signature or manifest.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// A file of the set cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file of the set is nothing that can be served.
    #[error(transparent)]
    Unservable(#[from] Unservable),
    /// Files are not what the manifest says.
    #[error("update set {serial} is damaged: {} of its files, the first: {}", damaged.len(), first(damaged))]
    Damaged {
        /// The set.
        serial: u64,
        /// What is wrong, file by file.
        damaged: Vec<ContentError>,
    },
    /// The thread that verified it died.
    #[error("the verification of update set {0} was cut short")]
    CutShort(u64),
}

impl Shelf {
    /// A shelf for the depot in `directory`, which may be empty or missing as yet. Nothing is read.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Shelf {
            inner: Arc::new(Inner {
                directory: directory.into(),
                kept: Mutex::default(),
                verifying: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// The depot's directory.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// The key that sets are checked with; `None` while the depot has none.
    pub fn public_key(&self) -> Option<PublicKey> {
        let depot = self.inner.depot().inspect_err(|error| self.inner.broken(error)).ok()?;
        Some(depot?.public_key().clone())
    }

    /// Puts the set in force on the shelf, or says why that is impossible. `None`: there is no set as yet.
    pub async fn load(&self) -> Result<Option<Arc<Set>>, ShelfError> {
        match self.inner.serial_in_force()? {
            None => Ok(None),
            Some(serial) => self.inner.clone().fetch(serial, Place::Current).await.map(Some),
        }
    }

    /// The set in force; `None` while there is none. To be asked once per request or session: who holds the answer keeps
    /// that set, whatever is published meanwhile.
    ///
    /// Costs one readlink(2) unless a new set was published. Then the new set is verified first, which the caller waits
    /// for, but not longer than two seconds: from there on the set before is the answer until the new one is ready. A set
    /// that fails is logged as an error, and the one before stays in service.
    pub async fn current(&self) -> Option<Arc<Set>> {
        match self.inner.serial_in_force() {
            Ok(Some(serial)) if self.inner.is_news(serial) => {
                self.inner.fetch_patiently(serial, Place::Current).await;
            }
            Ok(_) => self.inner.kept().broken = false,
            Err(error) => self.inner.broken(&error),
        }
        self.inner.kept().current.clone()
    }

    /// The set with this serial, if it is in force or was before and has not been pruned since.
    pub async fn set(&self, serial: u64) -> Option<Arc<Set>> {
        let current = self.current().await?;
        if serial == current.serial() {
            return Some(current);
        }
        // A newer one is the leftover of a publisher that was killed before it put its set into force.
        if serial > current.serial() {
            return None;
        }
        let there = {
            let kept = self.inner.kept();
            if kept.refused.contains(&serial) {
                return None;
            }
            kept.others.get(&serial).and_then(Weak::upgrade)
        };
        match there {
            Some(set) => Some(set),
            None => self.inner.fetch_patiently(serial, Place::Other).await,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Current,
    Other,
}

impl Inner {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Every change under this lock is one assignment, so a panic elsewhere leaves nothing half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The depot, as soon as there is one.
    fn depot(&self) -> Result<Option<Depot>, ShelfError> {
        if let Some(depot) = &self.kept().depot {
            return Ok(Some(depot.clone()));
        }
        match Depot::open(&self.directory) {
            Ok(depot) => {
                self.kept().depot = Some(depot.clone());
                Ok(Some(depot))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn serial_in_force(&self) -> Result<Option<u64>, ShelfError> {
        match self.depot()? {
            Some(depot) => Ok(depot.current_serial()?),
            None => Ok(None),
        }
    }

    fn is_news(&self, serial: u64) -> bool {
        let kept = self.kept();
        kept.current.as_ref().is_none_or(|set| set.serial() != serial) && !kept.refused.contains(&serial)
    }

    /// Waits for [`Inner::fetch`] no longer than a request may; then it goes on without us.
    async fn fetch_patiently(self: &Arc<Self>, serial: u64, place: Place) -> Option<Arc<Set>> {
        let inner = self.clone();
        let fetching = tokio::spawn(async move {
            let fetched = inner.clone().fetch(serial, place).await;
            fetched.inspect_err(|error| inner.failed(serial, place, error)).ok()
        });
        tokio::time::timeout(PATIENCE, fetching).await.ok()?.ok()?
    }

    /// Verifies a set and keeps it. Of many callers for one set only the first does the work.
    async fn fetch(self: Arc<Self>, serial: u64, place: Place) -> Result<Arc<Set>, ShelfError> {
        let _alone = self.verifying.lock().await;
        let (there, known_good, depot, hot) = {
            let kept = self.kept();
            let current = kept.current.clone().filter(|set| set.serial() == serial);
            let other = || kept.others.get(&serial).and_then(Weak::upgrade);
            (
                current.or_else(other),
                kept.verified.contains(&serial),
                kept.depot.clone(),
                kept.hot.clone(),
            )
        };
        let set = match (there, depot) {
            (Some(set), _) => set,
            (None, None) => return Err(ShelfError::CutShort(serial)),
            (None, Some(depot)) => tokio::task::spawn_blocking(move || read(&depot, serial, known_good, hot))
                .await
                .map_err(|_| ShelfError::CutShort(serial))??,
        };
        self.keep(&set, place);
        Ok(set)
    }

    fn keep(&self, set: &Arc<Set>, place: Place) {
        let mut kept = self.kept();
        kept.verified.insert(set.serial());
        if place == Place::Other {
            kept.others.retain(|_, other| other.strong_count() > 0);
            kept.others.insert(set.serial(), Arc::downgrade(set));
            return;
        }
        if let Some(before) = kept
            .current
            .replace(set.clone())
            .filter(|before| !Arc::ptr_eq(before, set))
        {
            // Somebody may be in the middle of it.
            kept.others.insert(before.serial(), Arc::downgrade(&before));
        }
        drop(kept);
        let manifest = set.manifest();
        info!(
            serial = set.serial(),
            version = manifest.version(),
            files = manifest.files().len(),
            bytes = manifest.total_size(),
            "update set in service"
        );
        if let Err(refusal) = manifest.check(Timestamp::now(), None) {
            warn!(serial = set.serial(), %refusal, "clients will refuse this set; publish a new one");
        }
    }

    fn failed(&self, serial: u64, place: Place, error: &ShelfError) {
        match error {
            ShelfError::Depot(error) if error.is_not_found() && place == Place::Other => {}
            // The next request may have more luck: out of file descriptors, a disk that comes back.
            ShelfError::Depot(DepotError::File(_)) | ShelfError::File(_) | ShelfError::CutShort(_) => {
                self.broken(error)
            }
            ShelfError::Unservable(Unservable::Open { .. }) => self.broken(error),
            _ => self.refuse(serial, error),
        }
    }

    fn refuse(&self, serial: u64, error: &ShelfError) {
        let mut kept = self.kept();
        if kept.refused.insert(serial) {
            let in_service = kept.current.as_ref().map(|set| set.serial());
            drop(kept);
            error!(serial, in_service, error = %chain(error), "update set refused; publish a sound one");
        }
    }

    fn broken(&self, error: &ShelfError) {
        if !std::mem::replace(&mut self.kept().broken, true) {
            error!(depot = %self.directory.display(), error = %chain(error), "the depot, or the set in force, cannot be read; what is on the shelf stays in service");
        }
    }
}

fn read(depot: &Depot, serial: u64, known_good: bool, hot: Hot) -> Result<Arc<Set>, ShelfError> {
    let set = Set::open(depot.set(serial)?, hot)?;
    if !known_good {
        // First that each can be opened at all: hashing a FIFO would never end.
        for entry in set.manifest().files() {
            set.file(entry)?;
        }
        let damaged = set.handle().verify_files()?;
        if !damaged.is_empty() {
            return Err(ShelfError::Damaged { serial, damaged });
        }
    }
    Ok(Arc::new(set))
}

fn first(damaged: &[ContentError]) -> String {
    damaged.first().map(ContentError::to_string).unwrap_or_default()
}

#[cfg(test)]
#[path = "shelf_tests.rs"]
mod tests;
