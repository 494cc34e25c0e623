//! What became of the connections to one service.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fwdrill_protocol::storm::Cause;

/// A connection that takes longer than this stands only because its SYN was repeated, or because this machine is busy.
const LATE: Duration = Duration::from_millis(900);

/// Sums over all connections to one service.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct PortBook {
    /// How many stood.
    pub(super) stood: u64,
    /// Of these, how many only after a second or more.
    pub(super) late: u64,
    /// Whether so many stood late as had not been closed before: then it is not their number that is limited.
    pub(super) late_though_held: bool,
    /// How many were closed again.
    closed: u64,
    /// How many did not, by cause.
    pub(super) failed: BTreeMap<Cause, u64>,
    /// The first that did not.
    pub(super) first: Option<First>,
    /// How many were begun after that one and stood.
    pub(super) stood_after: u64,
    /// Ports to which some connection stood...
    pub(super) good: BTreeSet<u16>,
    /// ...and to which one did not.
    pub(super) bad: BTreeSet<u16>,
    /// How many stand now.
    pub(super) now: u64,
    /// The most that stood at once.
    pub(super) most: u64,
}

/// The first connection that did not stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct First {
    /// When it was begun, since the storm began.
    pub(super) began: Duration,
    /// How many to the same service stood when it failed.
    pub(super) held: u64,
    /// How many connections of all agents stood then.
    pub(super) in_all: u64,
}

impl PortBook {
    pub(super) fn stood(&mut self, port: u16, began: Duration, took: Duration) {
        self.stood += 1;
        self.late += u64::from(took >= LATE);
        self.late_though_held |= took >= LATE && self.late > self.closed;
        self.stood_after += u64::from(self.first.is_some_and(|first| began > first.began));
        self.good.insert(port);
        self.now += 1;
        self.most = self.most.max(self.now);
    }

    pub(super) fn did_not(&mut self, port: u16, began: Duration, cause: Cause, in_all: u64) {
        *self.failed.entry(cause).or_default() += 1;
        if cause.never_stood() {
            self.bad.insert(port);
            let held = self.now;
            let this = First { began, held, in_all };
            // Who was begun first may fail last.
            match &mut self.first {
                Some(first) if first.began <= began => {}
                first => *first = Some(this),
            }
        }
    }

    pub(super) fn closed(&mut self) {
        self.now -= 1;
        self.closed += 1;
    }

    /// How many failed for one of these reasons.
    pub(super) fn of(&self, causes: &[Cause]) -> u64 {
        causes.iter().filter_map(|cause| self.failed.get(cause)).sum()
    }
}
