//! Events that the server does not have yet: one file each, named by its id, so that names are in the order of time.
//!
//! A file gets its name when its last byte is on the disk: a process or a machine that dies leaves whole events and, at
//! most, a temporary file that somebody removes later.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use fwdrill_protocol::event::ClientEvent;
use tempfile::Builder;

use super::fits;

const SUFFIX: &str = ".json";
const TEMPORARY: &str = ".new-";
/// What nobody has finished by then, nobody will.
const ABANDONED: Duration = Duration::from_secs(60);

/// How much is kept. Beyond it the oldest goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolLimits {
    /// Events.
    pub events: usize,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Default for SpoolLimits {
    fn default() -> Self {
        SpoolLimits {
            events: 10_000,
            bytes: 64 << 20,
        }
    }
}

/// A directory of events. Its methods block for as long as the disk does.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    limits: SpoolLimits,
}

/// The spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The file system says no.
    #[error("failed to {operation} {}", path.display())]
    File {
        /// `create`, `write`, `read`, `remove`.
        operation: &'static str,
        /// What.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// No server would take it.
    #[error("the event is too long: {0} bytes")]
    TooLong(usize),
}

/// An event that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    path: PathBuf,
    /// The event.
    pub json: Vec<u8>,
}

impl Spool {
    /// Opens the directory, or makes it, and clears away what a process left that died here.
    pub fn open(directory: impl Into<PathBuf>, limits: SpoolLimits) -> Result<Self, SpoolError> {
        let directory = directory.into();
        fs::create_dir_all(&directory).map_err(|source| failed("create", &directory, source))?;
        let spool = Spool { directory, limits };
        for (name, path) in spool.files()? {
            if name.starts_with(TEMPORARY) && is_older_than(&path, ABANDONED) {
                // Somebody else may have been quicker.
                let _ = fs::remove_file(path);
            }
        }
        Ok(spool)
    }

    /// Keeps an event; when this returns it is on the disk. Returns how many older ones had to go for it.
    pub fn put(&self, event: &ClientEvent) -> Result<u64, SpoolError> {
        self.put_anyway(event)?;
        self.trim()
    }

    /// Keeps an event, whatever is there already.
    pub fn put_anyway(&self, event: &ClientEvent) -> Result<(), SpoolError> {
        let path = self.directory.join(format!("{}{SUFFIX}", event.id));
        let json = serde_json::to_vec(event).map_err(|error| failed("write", &path, error.into()))?;
        if !fits(&json) {
            return Err(SpoolError::TooLong(json.len()));
        }
        let write = || {
            let mut file = Builder::new().prefix(TEMPORARY).tempfile_in(&self.directory)?;
            file.write_all(&json)?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            // The name, too, has to outlive the machine.
            File::open(&self.directory)?.sync_all()
        };
        write().map_err(|source| failed("write", &path, source))
    }

    /// The oldest events, not more than `most` and, but for the first, not more than `bytes` together. A file that is no event
    /// (somebody wrote into it, a disk lost it) is put aside under another name and logged.
    pub fn oldest(&self, most: usize, bytes: usize) -> Result<Vec<Kept>, SpoolError> {
        let (mut found, mut length): (Vec<Kept>, usize) = (Vec::new(), 0);
        for (_, path) in self.events()? {
            if found.len() == most {
                break;
            }
            let json = match fs::read(&path) {
                Ok(json) => json,
                // Another process has delivered it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(failed("read", &path, source)),
            };
            if serde_json::from_slice::<ClientEvent>(&json).is_err() {
                let aside = path.with_extension("damaged");
                tracing::warn!(file = %aside.display(), "an event is damaged and will not be sent");
                fs::rename(&path, &aside).map_err(|source| failed("put aside", &path, source))?;
                continue;
            }
            length += json.len() + 1;
            if length > bytes && !found.is_empty() {
                break;
            }
            found.push(Kept { path, json });
        }
        Ok(found)
    }

    /// Lets go of events. One that comes back after a power cut is sent again, which does no harm.
    pub fn remove(&self, events: &[Kept]) -> Result<(), SpoolError> {
        for Kept { path, .. } in events {
            match fs::remove_file(path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed("remove", path, source)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// How many events wait; 0 where that cannot be known.
    pub fn len(&self) -> usize {
        self.events().map_or(0, |events| events.len())
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn trim(&self) -> Result<u64, SpoolError> {
        let events = self.events()?;
        let sizes: Vec<u64> = events
            .iter()
            .map(|(_, path)| fs::metadata(path).map_or(0, |metadata| metadata.len()))
            .collect();
        let (mut kept, mut bytes, mut dropped) = (events.len(), sizes.iter().sum::<u64>(), 0);
        for ((_, path), size) in events.iter().zip(sizes) {
            if kept <= self.limits.events && bytes <= self.limits.bytes {
                break;
            }
            fs::remove_file(path).map_err(|source| failed("remove", path, source))?;
            (kept, bytes, dropped) = (kept - 1, bytes - size, dropped + 1);
        }
        Ok(dropped)
    }

    fn events(&self) -> Result<Vec<(String, PathBuf)>, SpoolError> {
        let mut events = self.files()?;
        events.retain(|(name, _)| name.ends_with(SUFFIX) && !name.starts_with('.'));
        events.sort_unstable();
        Ok(events)
    }

    fn files(&self) -> Result<Vec<(String, PathBuf)>, SpoolError> {
        let unreadable = |source| failed("read", &self.directory, source);
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if let Ok(name) = entry.file_name().into_string() {
                files.push((name, entry.path()));
            }
        }
        Ok(files)
    }
}

fn is_older_than(path: &Path, age: Duration) -> bool {
    let written = fs::metadata(path).and_then(|metadata| metadata.modified());
    written.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|passed| passed > age))
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> SpoolError {
    SpoolError::File {
        operation,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::event::What;

    use super::*;

    fn event(client: &str) -> ClientEvent {
        ClientEvent::now(client.parse().unwrap(), What::Dropped { events: 1 })
    }

    fn clients(spool: &Spool) -> Vec<String> {
        let kept = spool.oldest(usize::MAX, usize::MAX).unwrap();
        let events = kept
            .iter()
            .map(|kept| serde_json::from_slice::<ClientEvent>(&kept.json));
        events.map(|event| event.unwrap().client.to_string()).collect()
    }

    #[test]
    fn events_are_kept_in_order_until_they_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::open(directory.path(), SpoolLimits::default()).unwrap();
        for client in ["a", "b", "c"] {
            spool.put(&event(client)).unwrap();
        }
        let spool = Spool::open(directory.path(), SpoolLimits::default()).unwrap();
        assert_eq!(clients(&spool), ["a", "b", "c"]);
        let first = spool.oldest(1, usize::MAX).unwrap();
        assert_eq!(spool.oldest(9, 1).unwrap(), first, "one at least");
        spool.remove(&first).unwrap();
        spool.remove(&first).unwrap();
        assert_eq!(clients(&spool), ["b", "c"]);
    }

    #[test]
    fn beyond_its_limits_the_oldest_go() {
        let directory = tempfile::tempdir().unwrap();
        let size = serde_json::to_vec(&event("a")).unwrap().len() as u64;
        for limits in [
            SpoolLimits {
                events: 2,
                bytes: u64::MAX,
            },
            SpoolLimits {
                events: 9,
                bytes: 2 * size,
            },
        ] {
            let spool = Spool::open(directory.path().join(limits.events.to_string()), limits).unwrap();
            let dropped: Vec<u64> = ["a", "b", "c"].map(|client| spool.put(&event(client)).unwrap()).into();
            assert_eq!(
                (dropped, clients(&spool)),
                (vec![0, 0, 1], vec!["b".to_owned(), "c".to_owned()])
            );
        }
    }

    #[test]
    fn what_is_torn_is_put_aside_and_what_was_never_finished_cleared_away() {
        let directory = tempfile::tempdir().unwrap();
        let spool = Spool::open(directory.path(), SpoolLimits::default()).unwrap();
        let (torn, whole) = (event("torn"), event("whole"));
        spool.put(&torn).unwrap();
        spool.put(&whole).unwrap();
        let path = directory.path().join(format!("{}.json", torn.id));
        let json = fs::read(&path).unwrap();
        fs::write(&path, &json[..json.len() / 2]).unwrap();
        let old = directory.path().join(".new-old");
        File::create(&old)
            .unwrap()
            .set_modified(SystemTime::now() - 2 * ABANDONED)
            .unwrap();
        let young = directory.path().join(".new-young");
        File::create(&young).unwrap();
        let spool = Spool::open(directory.path(), SpoolLimits::default()).unwrap();
        assert!(!old.exists() && young.exists());
        assert_eq!(clients(&spool), ["whole"]);
        assert!(path.with_extension("damaged").exists() && spool.len() == 1);
    }
}
