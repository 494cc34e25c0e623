//! What moved of a file over HTTP, noted in the journal when the last byte has left or the connection is gone.

use std::sync::atomic::{AtomicU64, Ordering};

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::sighting::Event;

use super::Ends;
use crate::journal::Journal;

/// One response's share of a file. Recorded when it is dropped.
#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) journal: Journal,
    pub(super) drill: DrillId,
    pub(super) flow: Flow,
    pub(super) ends: Ends,
    pub(super) path: String,
    /// How many bytes shall move.
    pub(super) bytes: u64,
    /// How many the kernel has taken.
    pub(super) moved: AtomicU64,
}

impl Transfer {
    pub(super) fn moved(&self, count: u64) {
        self.moved.fetch_add(count, Ordering::Relaxed);
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let bytes = *self.moved.get_mut();
        let event = Event::Transferred {
            path: std::mem::take(&mut self.path),
            bytes,
            complete: bytes == self.bytes,
        };
        self.journal
            .record(Some(self.drill), self.flow, self.ends.local, self.ends.peer, event);
    }
}
