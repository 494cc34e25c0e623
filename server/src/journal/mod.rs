//! The journal: what the server saw, by drill, bounded in every direction.
//!
//! Whoever knows a drill id may read its sightings ([`Journal::of`]); nobody may read anybody else's. That is decided
//! here and nowhere else.

mod census;
mod file;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::evidence::ServerState;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::sighting::{Event, Sighting, Syn};
use jiff::{SignedDuration, Timestamp};

pub use census::{Census, Finished, Peer, PortUse, Running, Snapshot, Totals, Visits};
use file::JournalFile;
pub use file::JournalFileError;

/// A drill's connections begin together; the first to name it need not be the first to arrive.
const BEFORE_ITS_NAME: SignedDuration = SignedDuration::from_secs(5);

/// How much a journal keeps in memory. Whatever is beyond is forgotten, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Drills.
    pub drills: usize,
    /// Sightings of one drill: a full probe of the guide's range leaves about four for each of its 1,000 ports.
    pub per_drill: usize,
    /// Sightings of all drills together; never less than `per_drill` in effect.
    pub in_all: usize,
    /// Sightings of connections that never named a drill.
    pub without_drill: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            drills: 10_000,
            per_drill: 8_192,
            in_all: 262_144,
            without_drill: 8_192,
        }
    }
}

/// What the server saw. Cheap to clone; all clones are one journal.
#[derive(Clone, Debug)]
pub struct Journal {
    memory: Arc<Mutex<Memory>>,
    census: Census,
    file: Option<JournalFile>,
}

impl Journal {
    /// A journal in memory only.
    pub fn in_memory(limits: Limits) -> Self {
        Journal {
            memory: Arc::new(Mutex::new(Memory::new(limits))),
            census: Census::default(),
            file: None,
        }
    }

    /// A journal that also appends every sighting to `journal.jsonl` in `directory`, one `fwdrill.sighting/1` a line.
    ///
    /// The file is written by a thread of its own: a slow or full disk costs lines (counted and logged), never time.
    /// At 64 MiB it is renamed to `journal.jsonl.1`, replacing the one before.
    pub fn open(directory: &Path, limits: Limits) -> Result<Self, JournalFileError> {
        Ok(Journal {
            file: Some(JournalFile::open(directory)?),
            ..Journal::in_memory(limits)
        })
    }

    /// Notes in the file what this server listens on, from now on. Drills are told by their evidence; the file is what
    /// `diagnose` has.
    pub fn begun(&self, server: &ServerState) {
        let Some(file) = &self.file else { return };
        // One moment for all of them: they are one start.
        let at = Timestamp::now();
        for (flow, local) in &server.listening {
            let note = |flow, event| {
                let nobody = match local {
                    SocketAddr::V4(_) => ([0; 4], 0).into(),
                    SocketAddr::V6(_) => ([0; 16], 0).into(),
                };
                file.append(Sighting {
                    schema: Sighting::SCHEMA.to_owned(),
                    at,
                    drill: None,
                    flow,
                    local: *local,
                    peer: nobody,
                    syn: None,
                    event,
                });
            };
            let (role, certificate) = (server.role, server.certificate);
            note(*flow, Event::Listening { role, certificate });
            if *flow == Flow::FtpControl {
                let ports = server.passive_ports.clone();
                let listened = server.passive_listen.clone();
                note(Flow::FtpPassive, Event::PassiveRange { ports, listened });
            }
        }
    }

    /// Notes that a connection was accepted, now; `syn` is what it began with.
    pub fn accepted(&self, drill: Option<DrillId>, flow: Flow, local: SocketAddr, peer: SocketAddr, syn: Option<Syn>) {
        self.note(drill, flow, local, peer, syn, Event::Accepted);
    }

    /// Notes what was seen, now. `peer` and `local` are as in [`Sighting`]. Long texts in the event are cut.
    pub fn record(&self, drill: Option<DrillId>, flow: Flow, local: SocketAddr, peer: SocketAddr, event: Event) {
        self.note(drill, flow, local, peer, None, event);
    }

    fn note(
        &self,
        drill: Option<DrillId>,
        flow: Flow,
        local: SocketAddr,
        peer: SocketAddr,
        syn: Option<Syn>,
        event: Event,
    ) {
        let sighting = Sighting {
            schema: Sighting::SCHEMA.to_owned(),
            at: Timestamp::now(),
            drill,
            flow,
            local,
            peer,
            syn,
            event: clipped(event),
        };
        if let Some(file) = &self.file {
            file.append(sighting.clone());
        }
        self.census.count(&sighting);
        self.memory().keep(sighting);
    }

    /// The sightings of one drill, in the order they were recorded; empty for a drill nobody has heard of.
    pub fn of(&self, drill: DrillId) -> Vec<Sighting> {
        match self.memory().drills.get(&drill) {
            Some(seen) => seen.sightings.iter().cloned().collect(),
            None => Vec::new(),
        }
    }

    /// Whether anything is known of the drill.
    pub fn knows(&self, drill: DrillId) -> bool {
        self.memory().drills.contains_key(&drill)
    }

    /// How many sightings of the drill were forgotten because there were too many: if any, what [`Journal::of`] does not
    /// contain may have been seen all the same.
    pub fn forgotten(&self, drill: DrillId) -> u64 {
        self.memory().drills.get(&drill).map_or(0, |seen| seen.forgotten)
    }

    /// What was seen of connections that never named a drill. For the operator; no client gets to read it.
    pub fn without_drill(&self) -> Vec<Sighting> {
        self.memory().without_drill.iter().cloned().collect()
    }

    /// How many connections from these addresses were accepted since shortly before `since` that never named a drill, by
    /// flow. A drill may know this much of what it failed to say itself; no client gets to read more.
    pub fn unnamed(&self, since: Timestamp, peers: &BTreeSet<IpAddr>) -> BTreeMap<Flow, u64> {
        let since = since - BEFORE_ITS_NAME;
        let mut counted = BTreeMap::new();
        let memory = self.memory();
        let recent = memory.without_drill.iter().rev().take_while(|seen| seen.at >= since);
        for seen in recent.filter(|seen| peers.contains(&seen.peer.ip()) && seen.event == Event::Accepted) {
            *counted.entry(seen.flow).or_default() += 1;
        }
        counted
    }

    /// Who came to which port, whatever drill they named. For the operator; no client gets to read it.
    pub fn census(&self) -> &Census {
        &self.census
    }

    /// How many lines the file is missing because the disk was too slow or full.
    pub fn lines_lost(&self) -> u64 {
        self.file.as_ref().map_or(0, JournalFile::lost)
    }

    /// Waits until everything recorded before is in the file (or lost). Returns at once without a file.
    pub async fn flush(&self) {
        if let Some(file) = &self.file {
            file.flush().await;
        }
    }

    /// Writes what waits and lets go of the file. What is recorded from here on stays in memory.
    pub async fn close(&self) {
        if let Some(file) = &self.file {
            file.close().await;
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Nothing that holds the lock leaves the memory half changed, so a panic elsewhere does not taint it.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Memory {
    limits: Limits,
    drills: HashMap<DrillId, Seen>,
    /// The drills in the order they were first heard of.
    order: VecDeque<DrillId>,
    /// Sightings in `drills`, all together.
    kept: usize,
    without_drill: VecDeque<Sighting>,
}

#[derive(Debug, Default)]
struct Seen {
    sightings: VecDeque<Sighting>,
    forgotten: u64,
}

impl Memory {
    fn new(limits: Limits) -> Self {
        Memory {
            limits,
            drills: HashMap::new(),
            order: VecDeque::new(),
            kept: 0,
            without_drill: VecDeque::new(),
        }
    }

    fn keep(&mut self, sighting: Sighting) {
        let Some(drill) = sighting.drill else {
            push_bounded(&mut self.without_drill, sighting, self.limits.without_drill);
            return;
        };
        if !self.drills.contains_key(&drill) {
            self.order.push_back(drill);
        }
        let seen = self.drills.entry(drill).or_default();
        if push_bounded(&mut seen.sightings, sighting, self.limits.per_drill) {
            seen.forgotten += 1;
        } else {
            self.kept += 1;
        }
        while self.order.len() > 1 && (self.order.len() > self.limits.drills || self.kept > self.limits.in_all) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(seen) = self.order.pop_front().and_then(|oldest| self.drills.remove(&oldest)) {
            self.kept -= seen.sightings.len();
        }
    }
}

/// Appends to a ring of at most `most`; returns whether an old one had to go.
fn push_bounded(ring: &mut VecDeque<Sighting>, sighting: Sighting, most: usize) -> bool {
    let full = ring.len() >= most;
    if full {
        ring.pop_front();
    }
    ring.push_back(sighting);
    full
}

/// The event with its texts cut to what anybody needs: they come from strangers.
fn clipped(mut event: Event) -> Event {
    const MOST: usize = 1024;
    match &mut event {
        Event::Answered { request: text, .. }
        | Event::PassiveReply { reply: text }
        | Event::Transferred { path: text, .. } => {
            text.truncate(text.floor_char_boundary(MOST));
            text.shrink_to_fit();
        }
        _ => {}
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        drills: 3,
        per_drill: 4,
        in_all: 10,
        without_drill: 2,
    };

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn see(journal: &Journal, drill: Option<DrillId>, port: u16) {
        journal.record(drill, Flow::Version, address(3333), address(port), Event::Accepted);
    }

    fn ports(sightings: &[Sighting]) -> Vec<u16> {
        sightings.iter().map(|sighting| sighting.peer.port()).collect()
    }

    #[test]
    fn a_drill_reads_its_own_sightings_in_order_and_no_others() {
        let journal = Journal::in_memory(LIMITS);
        let (ours, theirs) = (DrillId::random(), DrillId::random());
        see(&journal, Some(ours), 1);
        see(&journal, Some(theirs), 2);
        see(&journal, None, 3);
        see(&journal, Some(ours), 4);
        assert_eq!(ports(&journal.of(ours)), [1, 4]);
        assert_eq!(ports(&journal.of(theirs)), [2]);
        assert_eq!(ports(&journal.without_drill()), [3]);
        assert_eq!(journal.of(DrillId::random()), []);
    }

    #[test]
    fn too_many_sightings_of_a_drill_push_out_its_oldest_and_are_counted() {
        let journal = Journal::in_memory(LIMITS);
        let drill = DrillId::random();
        (1..=6).for_each(|port| see(&journal, Some(drill), port));
        assert_eq!(ports(&journal.of(drill)), [3, 4, 5, 6]);
        assert_eq!(journal.forgotten(drill), 2);
    }

    #[test]
    fn too_many_drills_push_out_the_oldest_drill() {
        let journal = Journal::in_memory(LIMITS);
        let drills: Vec<DrillId> = (0..5).map(|_| DrillId::random()).collect();
        drills.iter().for_each(|drill| see(&journal, Some(*drill), 1));
        let known: Vec<bool> = drills.iter().map(|drill| !journal.of(*drill).is_empty()).collect();
        assert_eq!(known, [false, false, true, true, true]);
    }

    #[test]
    fn too_many_sightings_in_all_push_out_the_oldest_drill_too() {
        let journal = Journal::in_memory(LIMITS);
        let drills: Vec<DrillId> = (0..3).map(|_| DrillId::random()).collect();
        for drill in &drills {
            (1..=4).for_each(|port| see(&journal, Some(*drill), port));
        }
        let kept: Vec<usize> = drills.iter().map(|drill| journal.of(*drill).len()).collect();
        assert_eq!(kept, [0, 4, 4]);
    }

    #[test]
    fn connections_without_a_drill_share_one_ring() {
        let journal = Journal::in_memory(LIMITS);
        (1..=5).for_each(|port| see(&journal, None, port));
        assert_eq!(ports(&journal.without_drill()), [4, 5]);
    }

    #[test]
    fn a_drill_learns_how_many_of_its_own_connections_never_named_it_and_nothing_of_others() {
        let journal = Journal::in_memory(Limits::default());
        let ours: BTreeSet<IpAddr> = [[127, 0, 0, 1].into()].into();
        let begun = Timestamp::now();
        (1..=3).for_each(|port| see(&journal, None, port));
        journal.accepted(None, Flow::Version, address(3333), ([192, 0, 2, 1], 1).into(), None);
        see(&journal, Some(DrillId::random()), 4);
        assert_eq!(journal.unnamed(begun, &ours), [(Flow::Version, 3)].into());
        assert_eq!(
            journal.unnamed(begun + SignedDuration::from_mins(1), &ours),
            BTreeMap::new()
        );
    }

    #[test]
    fn a_strangers_long_text_is_cut_at_a_character() {
        let journal = Journal::in_memory(LIMITS);
        let drill = DrillId::random();
        let event = Event::Answered {
            request: "ä".repeat(100_000) + "x",
            status: 404,
        };
        journal.record(Some(drill), Flow::Http, address(1), address(2), event);
        let Event::Answered { request, .. } = &journal.of(drill)[0].event else {
            panic!("another event");
        };
        assert_eq!(request, &"ä".repeat(512));
    }
}
