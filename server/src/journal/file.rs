//! The journal on disk: lines appended by one thread, behind a bounded channel that never makes the server wait.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fwdrill_protocol::sighting::Sighting;
use thiserror::Error;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

/// At this size the file is renamed to `.1` and a new one begun.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// How many sightings may wait for the disk.
const WAITING: usize = 16_384;
/// How many are written at once.
const BATCH: usize = 1024;
/// How long the thread lets lines gather after it has written some: waking it for each costs a busy server more than the
/// writing. Whoever asks for the journal to be flushed waits that long at most.
const GATHERING: Duration = Duration::from_millis(5);

/// Why the journal cannot be kept on disk.
#[derive(Debug, Error)]
pub enum JournalFileError {
    /// The file cannot be opened.
    #[error("failed to open journal {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// Two servers must not write one journal.
    #[error("journal {0} is in use by another server; give each server its own state directory")]
    InUse(PathBuf),
    /// The thread that writes cannot be started.
    #[error("failed to start the journal's thread")]
    Thread(#[source] io::Error),
}

/// The sending side; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct JournalFile {
    queue: mpsc::Sender<Message>,
    lost: Arc<AtomicU64>,
}

enum Message {
    Line(Box<Sighting>),
    Flush(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

impl JournalFile {
    pub(super) fn open(directory: &Path) -> Result<Self, JournalFileError> {
        Self::with_limits(directory, MOST_BYTES, WAITING)
    }

    fn with_limits(directory: &Path, most_bytes: u64, waiting: usize) -> Result<Self, JournalFileError> {
        let path = directory.join("journal.jsonl");
        let lost = Arc::new(AtomicU64::new(0));
        let (queue, messages) = mpsc::channel(waiting);
        let writer = Writer {
            open: OpenFile::open(&path)?,
            path,
            most_bytes,
            lost: lost.clone(),
            reported: 0,
            failing: false,
        };
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run(messages))
            .map_err(JournalFileError::Thread)?;
        Ok(JournalFile { queue, lost })
    }

    pub(super) fn append(&self, sighting: Sighting) {
        // When it is closed nothing is lost: nobody expects it there.
        if let Err(TrySendError::Full(_)) = self.queue.try_send(Message::Line(Box::new(sighting))) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(super) async fn flush(&self) {
        self.tell(Message::Flush).await;
    }

    pub(super) async fn close(&self) {
        self.tell(Message::Close).await;
    }

    async fn tell(&self, message: impl FnOnce(oneshot::Sender<()>) -> Message) {
        let (done, heard) = oneshot::channel();
        if self.queue.send(message(done)).await.is_ok() {
            // An error means that the thread has ended, and with it all that waited.
            let _ = heard.await;
        }
    }
}

/// The thread's side.
struct Writer {
    open: OpenFile,
    path: PathBuf,
    most_bytes: u64,
    lost: Arc<AtomicU64>,
    /// What `lost` was when it was last logged.
    reported: u64,
    failing: bool,
}

impl Writer {
    fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        let mut batch = Vec::with_capacity(BATCH);
        while messages.blocking_recv_many(&mut batch, BATCH) > 0 {
            let (mut text, mut lines) = (Vec::new(), 0);
            let (mut waiting, mut closing) = (Vec::new(), None);
            for message in batch.drain(..) {
                match message {
                    // Writing to memory cannot fail, and nor can the serialisation of a sighting.
                    Message::Line(sighting) if serde_json::to_writer(&mut text, &sighting).is_ok() => {
                        text.push(b'\n');
                        lines += 1;
                    }
                    Message::Line(_) => {}
                    Message::Flush(done) => waiting.push(done),
                    Message::Close(done) => closing = Some(done),
                }
            }
            self.write(&text, lines);
            let nobody_waits = waiting.is_empty();
            // Who waited may have given up.
            for done in waiting {
                let _ = done.send(());
            }
            if let Some(done) = closing {
                drop((self, messages));
                let _ = done.send(());
                return;
            }
            if nobody_waits {
                std::thread::sleep(GATHERING);
            }
        }
    }

    fn write(&mut self, text: &[u8], lines: u64) {
        match self.rotate_before(text.len()).and_then(|()| self.open.append(text)) {
            Ok(()) if self.failing => {
                self.failing = false;
                info!(path = %self.path.display(), "the journal is being written again");
            }
            Ok(()) => {}
            Err(error) => {
                self.lost.fetch_add(lines, Ordering::Relaxed);
                if !self.failing {
                    self.failing = true;
                    warn!(path = %self.path.display(), %error, "cannot write the journal; its lines are lost until this is cured");
                }
            }
        }
        let lost = self.lost.load(Ordering::Relaxed);
        // Doubling keeps a long outage to a few lines of the log.
        if lost >= self.reported.saturating_mul(2).max(1) {
            self.reported = lost;
            warn!(lines = lost, "journal lines lost so far: the disk is too slow or full");
        }
    }

    fn rotate_before(&mut self, coming: usize) -> io::Result<()> {
        if self.open.length == 0 || self.open.length + coming as u64 <= self.most_bytes {
            return Ok(());
        }
        let mut old = self.path.clone().into_os_string();
        old.push(".1");
        std::fs::rename(&self.path, old)?;
        self.open = OpenFile::open(&self.path).map_err(io::Error::other)?;
        Ok(())
    }
}

struct OpenFile {
    file: File,
    length: u64,
}

impl OpenFile {
    fn open(path: &Path) -> Result<Self, JournalFileError> {
        let failed = |source| JournalFileError::Open {
            path: path.to_owned(),
            source,
        };
        // Whoever reads it knows drill ids, and may read what belongs to them.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalFileError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let length = end_of_last_line(&mut file).map_err(failed)?;
        let mut open = OpenFile { file, length };
        open.cut_back().map_err(failed)?;
        Ok(open)
    }

    /// All of `text`, or nothing.
    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(text) {
            self.cut_back()?;
            return Err(error);
        }
        self.length += text.len() as u64;
        Ok(())
    }

    fn cut_back(&mut self) -> io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        Ok(())
    }
}

/// Where the next line begins: what a crash left of a half line is not kept.
fn end_of_last_line(file: &mut File) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        file.seek(SeekFrom::Start(start))?;
        let tail = block.get_mut(..(end - start) as usize).unwrap_or_default();
        file.read_exact(tail)?;
        if let Some(newline) = tail.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::drill::DrillId;
    use fwdrill_protocol::flow::Flow;
    use fwdrill_protocol::sighting::Event;
    use jiff::Timestamp;

    use super::*;

    fn sighting(port: u16) -> Sighting {
        Sighting {
            schema: Sighting::SCHEMA.to_owned(),
            at: Timestamp::now(),
            drill: Some(DrillId::random()),
            flow: Flow::Http,
            local: ([127, 0, 0, 1], 2221).into(),
            peer: ([127, 0, 0, 1], port).into(),
            syn: None,
            event: Event::Accepted,
        }
    }

    fn read(path: &Path) -> Vec<Sighting> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[tokio::test]
    async fn every_sighting_is_one_line_and_a_restart_appends_after_a_half_line_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let first = sighting(1);
        let file = JournalFile::open(directory.path()).unwrap();
        file.append(first.clone());
        file.flush().await;
        assert_eq!(read(&path), std::slice::from_ref(&first));
        file.close().await;

        let mut text = std::fs::read(&path).unwrap();
        text.extend_from_slice(&[b'x'; 10_000]);
        std::fs::write(&path, text).unwrap();
        let second = sighting(2);
        let file = JournalFile::open(directory.path()).unwrap();
        file.append(second.clone());
        file.flush().await;
        assert_eq!(read(&path), [first, second]);
        assert_eq!(file.lost(), 0);
    }

    #[tokio::test]
    async fn a_full_file_moves_aside_and_no_line_is_split_between_the_two() {
        let directory = tempfile::tempdir().unwrap();
        let file = JournalFile::with_limits(directory.path(), 1000, 10).unwrap();
        for port in 1..=20 {
            file.append(sighting(port));
            file.flush().await;
        }
        let path = directory.path().join("journal.jsonl");
        let (old, new) = (read(&path.with_extension("jsonl.1")), read(&path));
        let ports: Vec<u16> = old.iter().chain(&new).map(|sighting| sighting.peer.port()).collect();
        assert!(ports.len() < 20, "one generation is kept");
        assert!(ports.ends_with(&[19, 20]), "{ports:?}");
        assert!(std::fs::metadata(&path).unwrap().len() <= 1000);
        assert_eq!(file.lost(), 0);
    }

    #[tokio::test]
    async fn what_comes_after_the_end_is_not_missed_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = JournalFile::open(directory.path()).unwrap();
        file.append(sighting(1));
        file.close().await;
        file.append(sighting(2));
        file.close().await;
        file.flush().await;
        assert_eq!(read(&directory.path().join("journal.jsonl")).len(), 1);
        assert_eq!(file.lost(), 0);
    }

    #[tokio::test]
    async fn two_servers_cannot_share_a_journal() {
        let directory = tempfile::tempdir().unwrap();
        let _first = JournalFile::open(directory.path()).unwrap();
        let error = JournalFile::open(directory.path()).unwrap_err();
        assert!(matches!(error, JournalFileError::InUse(_)), "{error}");
    }

    #[tokio::test]
    async fn a_full_disk_costs_lines_and_leaves_no_half_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal.jsonl");
        let mut open = OpenFile::open(&path).unwrap();
        open.append(b"{}\n").unwrap();
        // A file opened for reading refuses to be written, as a full disk does.
        open.file = File::open(&path).unwrap();
        let lost = Arc::new(AtomicU64::new(0));
        let mut writer = Writer {
            open,
            path: path.clone(),
            most_bytes: 1000,
            lost: lost.clone(),
            reported: 0,
            failing: false,
        };
        writer.write(b"{}\n{}\n", 2);
        assert_eq!(lost.load(Ordering::Relaxed), 2);
        assert_eq!(std::fs::read(&path).unwrap(), b"{}\n");
    }

    #[test]
    fn a_disk_that_hangs_costs_lines_and_not_time() {
        let (queue, _never_read) = mpsc::channel(2);
        let file = JournalFile {
            queue,
            lost: Arc::default(),
        };
        (0..5).for_each(|port| file.append(sighting(port)));
        assert_eq!(file.lost(), 3);
    }
}
