use std::io::Write;

use bytes::Bytes;
use fwdrill_depot::{FileError, Partial};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::directory::{Directory, joined};

/// How many chunks may wait for the disk.
const WAITING: usize = 8;

/// Appends to a partial download on a thread that may block, while the next bytes come over the network.
pub(super) struct Writer {
    chunks: mpsc::Sender<Bytes>,
    writing: JoinHandle<(Partial, Result<(), FileError>)>,
}

impl Writer {
    pub(super) fn start(directory: &Directory, mut partial: Partial) -> Self {
        let (chunks, mut waiting) = mpsc::channel::<Bytes>(WAITING);
        let writing = directory.start(move |_| {
            while let Some(chunk) = waiting.blocking_recv() {
                if let Err(source) = partial.write_all(&chunk) {
                    let failed = FileError {
                        operation: "write",
                        path: partial.path().to_owned(),
                        source,
                    };
                    return (partial, Err(failed));
                }
            }
            (partial, Ok(()))
        });
        Writer { chunks, writing }
    }

    /// Whether it is worth going on; if not, [`Writer::finish`] says why.
    pub(super) async fn write(&self, chunk: Bytes) -> bool {
        self.chunks.send(chunk).await.is_ok()
    }

    /// Waits until all is written.
    pub(super) async fn finish(self) -> (Partial, Result<(), FileError>) {
        drop(self.chunks);
        joined(self.writing).await
    }
}
