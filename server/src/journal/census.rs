//! Who came to which port, and what became of the passive range: sums over all sightings, for the operator.
//!
//! Sums survive what the journal forgets, and need no drill: every connection counts.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::sighting::{Event, Sighting};
use jiff::Timestamp;
use tokio::sync::watch;

/// How many addresses are remembered; beyond that the one that was seen longest ago is forgotten.
const MOST_PEERS: usize = 4_096;
/// How many finished transfers are remembered.
const MOST_TRANSFERS: usize = 50;
/// How many running transfers are remembered.
const MOST_RUNNING: usize = 1_024;

/// The sums. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Census {
    kept: Arc<Mutex<Kept>>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    peers: HashMap<IpAddr, Peer>,
    ports: BTreeMap<u16, PortUse>,
    running: HashMap<(SocketAddr, SocketAddr), Running>,
    finished: VecDeque<Finished>,
    totals: Totals,
}

/// What was seen of one address: behind NAT, that of the NAT and all clients behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// First seen.
    pub first: Timestamp,
    /// Last seen.
    pub last: Timestamp,
    /// The ports that it reached.
    pub flows: BTreeMap<Flow, Visits>,
    /// What was left of the TTL of its last SYN, where the system keeps it: how far away it is.
    pub ttl: Option<u8>,
}

/// Connections that were accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visits {
    /// How many.
    pub count: u64,
    /// The last one.
    pub last: Timestamp,
}

/// What became of one passive port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortUse {
    /// How often a 227 or 229 named it.
    pub handed_out: u64,
    /// How many data connections came to it.
    pub connected: u64,
}

/// A transfer in progress (FTP by our own engine; others are known when they have ended).
#[derive(Debug, Clone)]
pub struct Running {
    /// When it began.
    pub since: Timestamp,
    /// The client's end.
    pub peer: SocketAddr,
    /// The server's end: the passive port.
    pub local: SocketAddr,
    /// The path in the server's tree.
    pub path: String,
    moved: Arc<AtomicU64>,
}

impl Running {
    /// How many bytes have moved so far.
    pub fn bytes(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }
}

/// A transfer that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// When.
    pub at: Timestamp,
    /// Over what.
    pub flow: Flow,
    /// The client's end.
    pub peer: SocketAddr,
    /// The path in the server's tree.
    pub path: String,
    /// How many bytes moved.
    pub bytes: u64,
    /// Whether that was all.
    pub complete: bool,
}

/// The sums at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// By address, the one that was seen last first.
    pub peers: Vec<(IpAddr, Peer)>,
    /// Passive ports that were handed out or reached; the others never were.
    pub ports: BTreeMap<u16, PortUse>,
    /// Transfers in progress, the oldest first.
    pub running: Vec<Running>,
    /// Transfers that have ended, the newest first; a few at most.
    pub finished: Vec<Finished>,
    /// Since the server's start.
    pub totals: Totals,
}

/// Counts that only grow, until the server ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections that were accepted.
    pub accepted: BTreeMap<Flow, u64>,
    /// Transfers that were completed.
    pub transfers: u64,
    /// Transfers that were broken off.
    pub broken_off: u64,
    /// Bytes that moved in both.
    pub bytes: u64,
    /// How often no passive port was free.
    pub exhausted: u64,
    /// Connections from other hosts to ports that are for this host alone.
    pub exposed: BTreeMap<Flow, u64>,
}

impl Default for Census {
    fn default() -> Self {
        Census {
            kept: Arc::default(),
            changed: watch::Sender::new(0),
        }
    }
}

impl Census {
    /// The sums now.
    pub fn snapshot(&self) -> Snapshot {
        let kept = self.kept();
        let mut peers: Vec<(IpAddr, Peer)> = kept.peers.iter().map(|(peer, seen)| (*peer, seen.clone())).collect();
        peers.sort_by_key(|(peer, seen)| (std::cmp::Reverse(seen.last), *peer));
        let mut running: Vec<Running> = kept.running.values().cloned().collect();
        running.sort_by_key(|transfer| (transfer.since, transfer.peer));
        Snapshot {
            peers,
            ports: kept.ports.clone(),
            running,
            finished: kept.finished.iter().rev().cloned().collect(),
            totals: kept.totals.clone(),
        }
    }

    /// Whether a transfer is in progress that is known while it is.
    pub fn is_moving(&self) -> bool {
        !self.kept().running.is_empty()
    }

    /// How often this address was accepted on a flow, as long as it is remembered.
    pub(crate) fn visits(&self, peer: IpAddr, flow: Flow) -> u64 {
        let kept = self.kept();
        let visits = kept.peers.get(&peer).and_then(|seen| seen.flows.get(&flow));
        visits.map_or(0, |visits| visits.count)
    }

    /// Tells of every change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A transfer has begun on the data connection between `local` and `peer`; `moved` counts its bytes. It runs until
    /// [`Event::Transferred`] is noted of that connection.
    pub(crate) fn begun(&self, local: SocketAddr, peer: SocketAddr, path: String, moved: Arc<AtomicU64>) {
        let mut kept = self.kept();
        if kept.running.len() < MOST_RUNNING {
            let since = Timestamp::now();
            let running = Running {
                since,
                peer,
                local,
                path,
                moved,
            };
            kept.running.insert((local, peer), running);
        }
        drop(kept);
        self.changed.send_modify(|changes| *changes += 1);
    }

    /// Counts a sighting.
    pub(super) fn count(&self, sighting: &Sighting) {
        self.kept().count(sighting);
        self.changed.send_modify(|changes| *changes += 1);
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Sums may lag behind by one where somebody panicked; nothing is built on them.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn count(&mut self, sighting: &Sighting) {
        match &sighting.event {
            // A control connection is noted again when it names its drill.
            Event::Accepted if sighting.flow == Flow::FtpControl && sighting.drill.is_some() => {}
            Event::Accepted => self.visit(sighting),
            Event::PassivePort { port } => self.ports.entry(*port).or_default().handed_out += 1,
            Event::PassiveRangeExhausted => self.totals.exhausted += 1,
            Event::Exposed => *self.totals.exposed.entry(sighting.flow).or_default() += 1,
            Event::Transferred { path, bytes, complete } => {
                if self.finished.len() >= MOST_TRANSFERS {
                    self.finished.pop_front();
                }
                self.totals.bytes += *bytes;
                match complete {
                    true => self.totals.transfers += 1,
                    false => self.totals.broken_off += 1,
                }
                self.finished.push_back(Finished {
                    at: sighting.at,
                    flow: sighting.flow,
                    peer: sighting.peer,
                    path: path.clone(),
                    bytes: *bytes,
                    complete: *complete,
                });
                self.running.remove(&(sighting.local, sighting.peer));
            }
            _ => {}
        }
    }

    fn visit(&mut self, sighting: &Sighting) {
        let (address, at) = (sighting.peer.ip(), sighting.at);
        *self.totals.accepted.entry(sighting.flow).or_default() += 1;
        if self.peers.len() >= MOST_PEERS && !self.peers.contains_key(&address) {
            let oldest = self.peers.iter().min_by_key(|(_, seen)| seen.last);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.peers.remove(&oldest);
            }
        }
        let peer = self.peers.entry(address).or_insert_with(|| Peer {
            first: at,
            last: at,
            flows: BTreeMap::new(),
            ttl: None,
        });
        peer.last = at;
        peer.ttl = sighting.syn.map(|syn| syn.ttl).or(peer.ttl);
        let visits = peer.flows.entry(sighting.flow).or_insert(Visits { count: 0, last: at });
        visits.count += 1;
        visits.last = at;
        if sighting.flow == Flow::FtpPassive {
            self.ports.entry(sighting.local.port()).or_default().connected += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::drill::DrillId;

    use super::*;

    fn sighting(flow: Flow, drill: Option<DrillId>, local: u16, event: Event) -> Sighting {
        Sighting {
            schema: Sighting::SCHEMA.to_owned(),
            at: Timestamp::now(),
            drill,
            flow,
            local: ([127, 0, 0, 1], local).into(),
            peer: ([192, 0, 2, 1], 40_000).into(),
            syn: None,
            event,
        }
    }

    #[test]
    fn a_control_connection_counts_once_though_it_names_its_drill_later() {
        let census = Census::default();
        census.count(&sighting(Flow::FtpControl, None, 2021, Event::Accepted));
        census.count(&sighting(
            Flow::FtpControl,
            Some(DrillId::random()),
            2021,
            Event::Accepted,
        ));
        census.count(&sighting(Flow::Version, Some(DrillId::random()), 3333, Event::Accepted));
        let (peer, seen) = census.snapshot().peers.remove(0);
        assert_eq!(peer, IpAddr::from([192, 0, 2, 1]));
        let counts: Vec<u64> = seen.flows.values().map(|visits| visits.count).collect();
        assert_eq!(counts, [1, 1]);
    }

    #[test]
    fn who_comes_from_another_host_to_a_port_of_this_one_alone_is_counted() {
        let census = Census::default();
        for drill in [None, Some(DrillId::random())] {
            census.count(&sighting(Flow::System, drill, 2226, Event::Accepted));
            census.count(&sighting(Flow::System, drill, 2226, Event::Exposed));
        }
        let now = census.snapshot();
        assert_eq!(now.totals.exposed, BTreeMap::from([(Flow::System, 2)]));
        assert_eq!(now.totals.accepted, now.totals.exposed, "nobody is counted twice");
        assert_eq!(census.visits([192, 0, 2, 1].into(), Flow::System), 2);
        assert_eq!(census.visits([192, 0, 2, 2].into(), Flow::System), 0);
    }

    #[test]
    fn a_passive_port_that_nobody_came_to_is_told_from_one_that_was_reached() {
        let census = Census::default();
        for port in [3023, 3024] {
            census.count(&sighting(Flow::FtpPassive, None, port, Event::PassivePort { port }));
        }
        census.count(&sighting(Flow::FtpPassive, None, 3024, Event::Accepted));
        let ports = census.snapshot().ports;
        assert_eq!((ports[&3023].handed_out, ports[&3023].connected), (1, 0));
        assert_eq!((ports[&3024].handed_out, ports[&3024].connected), (1, 1));
    }

    #[test]
    fn a_transfer_runs_until_it_has_ended() {
        let census = Census::default();
        let event = Event::Transferred {
            path: "/signatures/main".to_owned(),
            bytes: 7,
            complete: true,
        };
        let ended = sighting(Flow::FtpPassive, None, 3023, event);
        let moved = Arc::new(AtomicU64::new(3));
        census.begun(ended.local, ended.peer, "/signatures/main".to_owned(), moved);
        let now = census.snapshot();
        assert_eq!((now.running[0].bytes(), now.finished.len()), (3, 0));
        census.count(&ended);
        let now = census.snapshot();
        assert!(now.running.is_empty() && now.finished[0].bytes == 7 && now.finished[0].complete);
    }

    #[test]
    fn memory_is_bounded_and_the_latest_are_kept() {
        let census = Census::default();
        for n in 0..2 * MOST_PEERS as u32 {
            let mut came = sighting(Flow::Version, None, 3333, Event::Accepted);
            came.peer = (IpAddr::from(n.to_be_bytes()), 1).into();
            came.at = Timestamp::from_second(i64::from(n)).unwrap();
            census.count(&came);
        }
        let peers = census.snapshot().peers;
        assert_eq!(peers.len(), MOST_PEERS);
        assert_eq!(peers[0].0, IpAddr::from((2 * MOST_PEERS as u32 - 1).to_be_bytes()));
    }

    #[tokio::test]
    async fn whoever_waits_is_told_of_a_change() {
        let census = Census::default();
        let mut changes = census.changes();
        census.count(&sighting(Flow::Version, None, 3333, Event::Accepted));
        changes.changed().await.unwrap();
    }
}
