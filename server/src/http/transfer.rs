//! What moved of a file over HTTP, noted in the journal when the last byte has left or the connection is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::sighting::Event;

use super::Ends;
use crate::journal::Journal;

/// From so many bytes on a download takes long enough to be looked at while it runs, whoever it is for; the many small ones are
/// noted for drills only.
pub(super) const WORTH_WATCHING: u64 = 1024 * 1024;

/// One response's share of a file. Recorded when it is dropped.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) journal: Journal,
    pub(super) drill: Option<DrillId>,
    pub(super) flow: Flow,
    pub(super) ends: Ends,
    pub(super) path: String,
    /// How many bytes shall move.
    pub(super) bytes: u64,
    /// How many the kernel has taken.
    pub(super) moved: Arc<AtomicU64>,
}

impl Transfer {
    pub(super) fn moved(&self, count: u64) {
        self.moved.fetch_add(count, Ordering::Relaxed);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let bytes = self.moved.load(Ordering::Relaxed);
        let event = Event::Transferred {
            path: std::mem::take(&mut self.path),
            bytes,
            complete: bytes == self.bytes,
        };
        self.journal
            .record(self.drill, self.flow, self.ends.local, self.ends.peer, event);
    }
}
