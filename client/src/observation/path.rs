//! What lies between the client and the server, as far as plain sockets without any privilege can tell.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use fwdrill_protocol::host::Counters;
use fwdrill_protocol::report::Outcome;

use super::{Attempt, Icmp};

/// Facts about the path. All of them are absent where nobody had to ask, or the system lacks the means.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PathFacts {
    /// This end's address, as the target's address is dialled from it.
    pub local: Option<IpAddr>,
    /// Which of `traces` is the one to compare with: a port outside the passive range whose service answered.
    pub reference: Option<SocketAddr>,
    /// One for every port that has something to explain, and the reference.
    pub traces: Vec<Trace>,
    /// With which TTL answers arrived.
    pub answers: Vec<AnswerTtl>,
    /// Silent ports once more, waited for longer than any client does.
    #[serde(default)]
    pub patient: Vec<Attempt>,
    /// What both hosts counted while a port was dialled.
    pub knocks: Vec<Knock>,
    /// Ports that nothing of the estate has.
    pub unplanned: Vec<Attempt>,
    /// The target's first address of the other family, where its name has both.
    pub other_family: Option<OtherFamily>,
}

impl PathFacts {
    /// The trace of a port.
    pub fn trace(&self, to: SocketAddr) -> Option<&Trace> {
        self.traces.iter().find(|trace| trace.to == to)
    }

    /// The trace to compare with.
    pub fn reference(&self) -> Option<&Trace> {
        self.trace(self.reference?)
    }

    /// With which TTL the answer of a port arrived.
    pub fn answer(&self, to: SocketAddr) -> Option<&AnswerTtl> {
        self.answers.iter().find(|answer| answer.to == to)
    }

    /// What was counted while a port was dialled.
    pub fn knock(&self, to: SocketAddr) -> Option<&Knock> {
        self.knocks.iter().find(|knock| knock.to == to)
    }
}

/// A traceroute by connection attempts to the very port: the SYN with TTL n reaches the n-th router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Where to.
    pub to: SocketAddr,
    /// Who said that the TTL was used up, from TTL 1 on; `None` for a hop that said nothing.
    pub hops: Vec<Option<IpAddr>>,
    /// How it ended.
    pub end: TraceEnd,
}

/// How a trace ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "end")]
pub enum TraceEnd {
    /// From this TTL on the port answered, by a SYN-ACK or a RST.
    Answered {
        /// The TTL.
        hop: u8,
        /// [`Outcome::Open`] or [`Outcome::Refused`].
        outcome: Outcome,
    },
    /// From this TTL on somebody sent another ICMP error than "time exceeded".
    Error {
        /// The TTL.
        hop: u8,
        /// What they said.
        icmp: Icmp,
    },
    /// Nobody answered any more.
    Silence,
}

impl Trace {
    /// The last hop that answered "time exceeded"; 0 where none did.
    pub fn last_hop(&self) -> u8 {
        let silent = self.hops.iter().rev().take_while(|hop| hop.is_none()).count();
        u8::try_from(self.hops.len() - silent).unwrap_or(u8::MAX)
    }

    /// Who the n-th hop is, from 1.
    pub fn hop(&self, n: u8) -> Option<IpAddr> {
        *self.hops.get(usize::from(n).checked_sub(1)?)?
    }

    /// The TTL from which on the port itself answered.
    pub fn answered(&self) -> Option<u8> {
        match self.end {
            TraceEnd::Answered { hop, .. } => Some(hop),
            TraceEnd::Error { .. } | TraceEnd::Silence => None,
        }
    }

    /// At which hop somebody is first met.
    pub fn position(&self, who: IpAddr) -> Option<u8> {
        let at = self.hops.iter().position(|hop| *hop == Some(who))?;
        u8::try_from(at + 1).ok()
    }

    /// "198.51.100.1, 203.0.113.2, then silence".
    pub fn in_words(&self) -> String {
        let last = usize::from(self.last_hop());
        let hops = self.hops.iter().take(last).enumerate().map(|(at, hop)| match hop {
            Some(who) => format!("hop {} {who}", at + 1),
            None => format!("hop {} silent", at + 1),
        });
        let end = match self.end {
            TraceEnd::Answered { hop, outcome } => format!("{} at hop {hop}", outcome.name()),
            TraceEnd::Error { hop, icmp } => format!("ICMP {}/{} at hop {hop}", icmp.kind, icmp.code),
            TraceEnd::Silence if last == 0 => "no hop answers".to_owned(),
            TraceEnd::Silence => "then silence".to_owned(),
        };
        hops.chain([end]).collect::<Vec<_>>().join(", ")
    }
}

/// With which TTL the answer to a SYN arrived: from how far away it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerTtl {
    /// Whose answer.
    pub to: SocketAddr,
    /// A SYN-ACK ([`Outcome::Open`]) or a RST ([`Outcome::Refused`]).
    pub outcome: Outcome,
    /// The TTL.
    pub ttl: u8,
}

impl AnswerTtl {
    /// How many hops away the answer was made, counted as a trace counts them, if its first TTL was one of those that
    /// systems begin with: 64, 128 or 255.
    pub fn distance(&self) -> u8 {
        let first = [64, 128, 255].into_iter().find(|first| *first >= self.ttl);
        first.unwrap_or(u8::MAX) - self.ttl + 1
    }
}

/// A port dialled a few times at once, and what the hosts at both ends counted meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knock {
    /// Where to.
    pub to: SocketAddr,
    /// How many SYNs left.
    pub syns: u64,
    /// How many of the attempts the client saw succeed.
    pub stood: u64,
    /// What the server's host counted.
    pub server: Option<Growth>,
    /// What this host counted.
    pub client: Option<Growth>,
    /// Half-open connections from the client to this port that the server's host had afterwards.
    pub half_open: Option<u64>,
    /// Connections that waited at the server's host for the program to accept them, afterwards.
    pub waiting: Option<u64>,
    /// Connections from the client that the server program accepted meanwhile, where they are counted.
    pub accepted: Option<u64>,
}

/// How counters grew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// In a window in which the port was left alone.
    pub quiet: Counters,
    /// In a window of the same length in which it was dialled.
    pub dialled: Counters,
}

impl Growth {
    /// By how much more a counter grew while the port was dialled.
    pub fn more(&self, counter: impl Fn(&Counters) -> u64) -> u64 {
        counter(&self.dialled).saturating_sub(counter(&self.quiet))
    }
}

/// The same flows at the target's address of the other family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OtherFamily {
    /// The address.
    pub address: IpAddr,
    /// The first connection attempt of each flow that has one port and is expected to be open.
    pub attempts: std::collections::BTreeMap<fwdrill_protocol::flow::Flow, Attempt>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        [198, 51, 100, last].into()
    }

    #[test]
    fn a_trace_knows_its_last_hop_and_reads_like_a_sentence() {
        let mut trace = Trace {
            to: "203.0.113.2:2021".parse().unwrap(),
            hops: vec![Some(address(1)), None, Some(address(3)), None, None],
            end: TraceEnd::Silence,
        };
        assert_eq!(trace.last_hop(), 3);
        assert_eq!(trace.position(address(3)), Some(3));
        assert_eq!(
            trace.in_words(),
            "hop 1 198.51.100.1, hop 2 silent, hop 3 198.51.100.3, then silence"
        );
        trace.hops.clear();
        assert_eq!((trace.last_hop(), trace.in_words().as_str()), (0, "no hop answers"));
        trace.end = TraceEnd::Answered {
            hop: 1,
            outcome: Outcome::Refused,
        };
        assert_eq!(trace.in_words(), "refused at hop 1");
    }

    #[test]
    fn the_distance_of_an_answer_follows_from_the_ttl_that_systems_begin_with() {
        let distance = |ttl| {
            AnswerTtl {
                to: "203.0.113.2:1".parse().unwrap(),
                outcome: Outcome::Open,
                ttl,
            }
            .distance()
        };
        assert_eq!(
            [distance(64), distance(62), distance(128), distance(126), distance(253)],
            [1, 3, 1, 3, 3]
        );
    }
}
