use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fwdrill_depot::{ContentError, IncrementalError, SetHandle, Staging, StagingError};
use fwdrill_protocol::update_set::{FileEntry, FileKind};

use super::download::{Downloads, NoFile};
use super::progress::{Event, How};
use super::source::{FetchError, Signed};
use super::{SyncError, Tally};

/// Why a set is not in force.
pub(super) enum NotInstalled {
    /// A newer set may have taken its place on the server: worth another look before this is said.
    Perhaps(SyncError),
    /// That is that.
    Surely(SyncError),
}

/// Brings in all files of a set that is signed, and puts it into force.
pub(super) async fn install(
    signed: Signed,
    downloads: &mut Downloads<'_, '_>,
) -> Result<(SetHandle, Tally), NotInstalled> {
    let begin = move |depot: &_| Staging::begin(depot, &signed.manifest, &signed.signature);
    let staging = downloads.directory.on_thread(begin).await?;
    let mut installation = Installation {
        staging: Arc::new(Mutex::new(staging)),
        downloads,
        tally: Tally::default(),
    };
    installation.reuse().await?;
    installation.announce();
    installation
        .bring(|entry| matches!(entry.kind, FileKind::Incremental { .. }))
        .await?;
    installation.build().await?;
    installation.bring(|_| true).await?;
    installation.commit().await
}

struct Installation<'a, 'd, 's> {
    /// Shared with the blocking thread that works on it, one at a time.
    staging: Arc<Mutex<Staging>>,
    downloads: &'a mut Downloads<'d, 's>,
    tally: Tally,
}

impl Installation<'_, '_, '_> {
    /// Takes from the set before what has not changed.
    async fn reuse(&mut self) -> Result<(), NotInstalled> {
        for entry in self.missing() {
            let same = entry.clone();
            if self.on_disk(move |staging| staging.reuse(&same)).await? {
                self.tally.reused += 1;
                self.verified(&entry, How::Reused);
            }
        }
        Ok(())
    }

    /// Says how much there is to download.
    fn announce(&self) {
        let missing = self.missing();
        let built = |entry: &&FileEntry| self.useful_incremental(entry).is_some();
        let to_download: Vec<_> = missing.iter().filter(|entry| !built(entry)).collect();
        self.downloads.progress.event(Event::Planned {
            files: to_download.len(),
            bytes: to_download.iter().map(|entry| entry.size).sum(),
        });
    }

    /// Makes new databases out of old ones. The updates are in already: they are files of the set as well.
    async fn build(&mut self) -> Result<(), NotInstalled> {
        for database in self.missing() {
            let Some(incremental) = self.useful_incremental(&database) else {
                continue;
            };
            let update = incremental.clone();
            match self.on_disk(move |staging| staging.apply_incremental(&update)).await {
                Ok(true) => {
                    self.tally.built += 1;
                    self.verified(&database, How::Built);
                }
                Ok(false) => {}
                Err(
                    error @ (StagingError::Content(_) | StagingError::Incremental(IncrementalError::Malformed { .. })),
                ) => {
                    tracing::warn!(path = %database.path, %error, "the incremental update is of no use, the full database comes instead");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Downloads what is missing of a kind.
    async fn bring(&mut self, wanted: impl Fn(&FileEntry) -> bool) -> Result<(), NotInstalled> {
        for entry in self.missing().into_iter().filter(|entry| wanted(entry)) {
            self.fetch(&entry).await?;
            self.tally.downloaded += 1;
            self.verified(&entry, How::Downloaded);
        }
        Ok(())
    }

    /// Downloads one file. One that turns out wrong is thrown away once: what is left of an earlier run, or of an earlier
    /// set, may have been the reason.
    async fn fetch(&mut self, entry: &FileEntry) -> Result<(), NotInstalled> {
        let mut second_try = false;
        loop {
            let partial = match self.downloads.download(entry).await {
                Ok(partial) => partial,
                Err(NoFile::Here(error)) => return Err(NotInstalled::Surely(error)),
                Err(NoFile::Fetch(error)) => return Err(not_fetched(entry, error)),
            };
            let placed = {
                let entry = entry.clone();
                self.on_disk(move |staging| staging.place_partial(&entry, partial))
                    .await
            };
            match placed {
                Ok(()) => return Ok(()),
                Err(StagingError::Content(wrong)) if !second_try => {
                    tracing::warn!(%wrong, "thrown away, downloading it anew");
                    second_try = true;
                }
                Err(error @ StagingError::Content(ContentError::Digest { .. } | ContentError::Size { .. })) => {
                    return Err(NotInstalled::Perhaps(error.into()));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn commit(mut self) -> Result<(SetHandle, Tally), NotInstalled> {
        self.tally.received = self.downloads.received;
        let staging = Arc::into_inner(self.staging).expect("every step on a blocking thread was waited for");
        let staging = staging.into_inner().unwrap_or_else(PoisonError::into_inner);
        let set = self.downloads.directory.on_thread(move |_| staging.commit()).await?;
        self.downloads.progress.event(Event::Switched { serial: set.serial() });
        Ok((set, self.tally))
    }

    /// Takes a step that reads or writes files.
    async fn on_disk<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Staging) -> Result<T, StagingError> + Send + 'static,
    ) -> Result<T, StagingError> {
        let staging = self.staging.clone();
        let step = move |_: &_| step(&mut locked(&staging));
        self.downloads.directory.on_thread(step).await
    }

    fn missing(&self) -> Vec<FileEntry> {
        locked(&self.staging).missing().into_iter().cloned().collect()
    }

    fn useful_incremental(&self, database: &FileEntry) -> Option<FileEntry> {
        locked(&self.staging).useful_incremental(database).cloned()
    }

    fn verified(&self, entry: &FileEntry, how: How) {
        let path = &entry.path;
        self.downloads.progress.event(Event::Verified { path, how });
    }
}

impl From<StagingError> for NotInstalled {
    fn from(error: StagingError) -> Self {
        NotInstalled::Surely(error.into())
    }
}

fn locked(staging: &Mutex<Staging>) -> MutexGuard<'_, Staging> {
    staging.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_fetched(entry: &FileEntry, error: FetchError) -> NotInstalled {
    let perhaps = error.may_mean_another_set();
    let path = entry.path.clone();
    let error = match error {
        FetchError::Length(offered) => SyncError::WrongLength {
            path,
            offered,
            expected: entry.size,
        },
        FetchError::Short(received) => SyncError::Short {
            what: path,
            received,
            size: entry.size,
        },
        error => error.of(entry.path.as_str()),
    };
    if perhaps {
        NotInstalled::Perhaps(error)
    } else {
        NotInstalled::Surely(error)
    }
}
