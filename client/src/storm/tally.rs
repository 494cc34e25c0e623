//! What all agents write into while they live.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::storm::{Cause, EventTally, Lives, Step};
use hdrhistogram::Histogram;

use super::agent::Life;
use super::passive_book::PassiveBook;
use super::port_book::PortBook;
use super::trouble::Trouble;

/// How many agents of each kind of failure the server is asked about.
const SAMPLES: usize = 8;
/// Every how many lives that went well one is asked about, and how many at most.
const LIVED_EVERY: u64 = 50;
const LIVED_SAMPLES: usize = 16;

/// Numbers to look at while a storm goes on.
#[derive(Debug, Default)]
pub struct Live {
    begun: AtomicU64,
    lived: AtomicU64,
    failed: AtomicU64,
    received: AtomicU64,
}

impl Live {
    /// Lives begun, lived, failed; bytes of files that came.
    pub fn now(&self) -> (u64, u64, u64, u64) {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (
            read(&self.begun),
            read(&self.lived),
            read(&self.failed),
            read(&self.received),
        )
    }
}

/// What all agents write into. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    begun: Instant,
    books: Arc<Mutex<Books>>,
    live: Arc<Live>,
}

/// What is in there.
#[derive(Debug, Clone, Default)]
pub(super) struct Books {
    pub(super) steps: BTreeMap<Step, Times>,
    pub(super) failures: BTreeMap<(Step, Cause), Failures>,
    pub(super) ports: BTreeMap<Flow, PortBook>,
    pub(super) passive: PassiveBook,
    /// Sessions that were let in.
    pub(super) sessions: Gauge,
    pub(super) lives: Lives,
    pub(super) events: EventTally,
    pub(super) received: u64,
    /// When a step ended as it should for the last time, since the storm began.
    pub(super) last_good: Duration,
    /// Agents in the middle of an update, and the most there were.
    agents: u64,
    pub(super) most_agents: u64,
    /// Some of those that went well.
    pub(super) lived: Vec<DrillId>,
}

/// How many there are, and the most there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gauge {
    now: u64,
    pub(super) most: u64,
}

/// All failures of one step for one cause.
#[derive(Debug, Clone)]
pub(super) struct Failures {
    pub(super) count: u64,
    /// The one whose step began first.
    pub(super) first: Trouble,
    /// Some of the agents.
    pub(super) samples: Vec<DrillId>,
}

/// How long a step took.
#[derive(Debug, Clone)]
pub(super) struct Times(pub(super) Histogram<u64>);

impl Default for Times {
    fn default() -> Self {
        // Microseconds up to an hour: these bounds are ones that it takes.
        let empty = Histogram::new_with_bounds(1, 3_600_000_000, 2);
        Times(empty.unwrap_or_else(|_| unreachable!("constant bounds")))
    }
}

/// A connection that stands; it is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    tally: Tally,
    flow: Flow,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(book) = self.tally.books().ports.get_mut(&self.flow) {
            book.closed();
        }
    }
}

/// A session that was let in; it is counted until this is dropped.
#[derive(Debug)]
pub(super) struct LetIn(Tally);

impl Drop for LetIn {
    fn drop(&mut self) {
        self.0.books().sessions.now -= 1;
    }
}

/// A passive port that was asked for; it is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Asked {
    tally: Tally,
    at: Instant,
}

impl Asked {
    /// The server has none.
    pub(super) fn refused(&self, words: &str) {
        self.tally.books().passive.refused(words);
    }

    /// The agent is connected.
    pub(super) fn connected(&self) {
        self.tally.books().passive.connected(self.at.elapsed());
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.tally.books().passive.done();
    }
}

impl Tally {
    pub(super) fn new(live: Arc<Live>) -> Self {
        Tally {
            begun: Instant::now(),
            books: Arc::default(),
            live,
        }
    }

    /// Since the storm began.
    pub(super) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(super) fn agents(&self) -> u64 {
        self.books().agents
    }

    /// A life begins.
    pub(super) fn begins(&self) {
        self.live.begun.fetch_add(1, Ordering::Relaxed);
        let mut books = self.books();
        books.lives.begun += 1;
        books.agents += 1;
        books.most_agents = books.most_agents.max(books.agents);
    }

    /// Its update is over; its event is not.
    pub(super) fn updated(&self) {
        self.books().agents -= 1;
    }

    /// A life has ended.
    pub(super) fn ends(&self, life: &Life) {
        let counter = match life.trouble {
            None => &self.live.lived,
            Some(_) => &self.live.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let mut books = self.books();
        for (step, took) in &life.steps {
            let times = books.steps.entry(*step).or_default();
            times
                .0
                .saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
        books.received += life.received;
        let events = &mut books.events;
        events.made += 1;
        events.acknowledged += u64::from(life.told.acknowledged);
        events.refused += u64::from(life.told.refused);
        events.given_up += u64::from(!life.told.acknowledged && !life.told.refused);
        events.repeated += life.told.repeated;
        let Some(trouble) = &life.trouble else {
            books.lives.lived += 1;
            if books.lives.lived % LIVED_EVERY == 1 && books.lived.len() < LIVED_SAMPLES {
                books.lived.push(life.drill);
            }
            return;
        };
        books.lives.failed += 1;
        let failures = books
            .failures
            .entry((trouble.step, trouble.cause))
            .or_insert_with(|| Failures {
                count: 0,
                first: trouble.clone(),
                samples: Vec::new(),
            });
        failures.count += 1;
        if trouble.began < failures.first.began {
            failures.first = trouble.clone();
        }
        if failures.samples.len() < SAMPLES {
            failures.samples.push(life.drill);
        }
    }

    /// A step ended as it should.
    pub(super) fn went_well(&self) {
        let now = self.now();
        self.books().last_good = now;
    }

    pub(super) fn moved(&self, bytes: u64) {
        self.live.received.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn stood(&self, flow: Flow, port: u16, began: Duration) -> Held {
        let took = self.now().saturating_sub(began);
        self.books().ports.entry(flow).or_default().stood(port, began, took);
        Held {
            tally: self.clone(),
            flow,
        }
    }

    pub(super) fn did_not_stand(&self, flow: Flow, port: u16, began: Duration, cause: Cause) {
        let mut books = self.books();
        let in_all = books.ports.values().map(|book| book.now).sum();
        books.ports.entry(flow).or_default().did_not(port, began, cause, in_all);
    }

    /// A session is let in.
    pub(super) fn let_in(&self) -> LetIn {
        let sessions = &mut self.books().sessions;
        sessions.now += 1;
        sessions.most = sessions.most.max(sessions.now);
        LetIn(self.clone())
    }

    /// A passive port is asked for.
    pub(super) fn asks(&self) -> Asked {
        let at = self.now();
        self.books().passive.ask(at);
        Asked {
            tally: self.clone(),
            at: Instant::now(),
        }
    }

    /// Everything so far.
    pub(super) fn copy(&self) -> Books {
        self.books().clone()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // Sums are added to in one go; nothing that holds the lock panics half way.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
