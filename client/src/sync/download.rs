use fwdrill_depot::Partial;
use fwdrill_protocol::update_set::FileEntry;

use super::directory::Directory;
use super::progress::{Event, Progress};
use super::retry::Patience;
use super::source::{FetchError, Source};
use super::writer::Writer;
use super::{Retry, SyncError};

/// A file that did not come.
pub(super) enum NoFile {
    /// The server or the path to it; a newer set may be the reason.
    Fetch(FetchError),
    /// This side: the disk, another process.
    Here(SyncError),
}

/// What every download of a cycle needs.
pub(super) struct Downloads<'a, 's> {
    pub(super) directory: &'a Directory,
    pub(super) source: &'a mut Source<'s>,
    pub(super) retry: Retry,
    pub(super) progress: &'a dyn Progress,
    /// Bytes that came.
    pub(super) received: u64,
}

impl Downloads<'_, '_> {
    /// Downloads what is not here yet of one file, through as many cuts as it takes. The content is not checked.
    pub(super) async fn download(&mut self, entry: &FileEntry) -> Result<Partial, NoFile> {
        let wanted = entry.clone();
        let opened = self
            .directory
            .on_thread(move |depot| Partial::open(depot, &wanted))
            .await;
        let mut partial = opened.map_err(|error| NoFile::Here(error.into()))?;
        self.started(entry, &partial);
        let mut patience = Patience::new(self.retry, self.progress);
        let mut furthest = partial.length();
        while !partial.is_complete() {
            let (kept, end) = self.attempt(entry, partial).await.map_err(NoFile::Here)?;
            partial = kept;
            let error = match end {
                // Everything is here; what else the server has to say does not matter any more.
                _ if partial.is_complete() => break,
                Ok(()) => FetchError::Short(partial.length()),
                Err(error) => error,
            };
            if partial.length() > furthest {
                furthest = partial.length();
                patience.renew();
            }
            let worth_it = error.is_transient();
            let again = patience.after(entry.path.as_str(), error, worth_it).await;
            again.map_err(NoFile::Fetch)?;
        }
        Ok(partial)
    }

    /// One connection's worth. Whatever came is kept.
    async fn attempt(
        &mut self,
        entry: &FileEntry,
        mut partial: Partial,
    ) -> Result<(Partial, Result<(), FetchError>), SyncError> {
        let mut body = match self.source.open(entry, partial.length()).await {
            Ok(body) => body,
            Err(error) => return Ok((partial, Err(error))),
        };
        if body.offset() != partial.length() {
            // Only 0 is possible: a server that cannot resume sends all of it.
            let restarted = move |_: &_| partial.restart().map(|()| partial);
            partial = self.directory.on_thread(restarted).await?;
            self.progress.event(Event::Started {
                path: &entry.path,
                size: entry.size,
                offset: 0,
            });
        }
        let mut length = partial.length();
        let writer = Writer::start(self.directory, partial);
        let end = loop {
            match body.chunk().await {
                Ok(Some(chunk)) => {
                    let bytes = chunk.len() as u64;
                    length += bytes;
                    if length > entry.size {
                        break Err(FetchError::Length(length));
                    }
                    if !writer.write(chunk).await {
                        break Ok(());
                    }
                    self.received += bytes;
                    self.progress.event(Event::Moved { bytes });
                }
                Ok(None) => break body.finish().await,
                Err(error) => break Err(error),
            }
        };
        let (partial, written) = writer.finish().await;
        written?;
        if let Err(error) = &end
            && length == entry.size
        {
            tracing::warn!(path = %entry.path, %error, "all of the file came, but the transfer did not end as it should");
        }
        Ok((partial, end))
    }

    fn started(&self, entry: &FileEntry, partial: &Partial) {
        self.progress.event(Event::Started {
            path: &entry.path,
            size: entry.size,
            offset: partial.length(),
        });
    }
}
