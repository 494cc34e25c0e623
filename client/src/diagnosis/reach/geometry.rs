//! Where on the path something happens, by traces: that of the port in question against that of a port that works.

use std::net::{IpAddr, SocketAddr};

use fwdrill_protocol::finding::Place;

use super::super::facts::{Facts, is_private};
use crate::observation::path::{Growth, Trace};

/// Where the packets to a port are last seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    /// There is no trace, or none to compare with.
    Unknown,
    /// Not one router on the way saw them, while those of another port are seen.
    Nowhere,
    /// This router saw them and the next one did not, which sees those of another port.
    After(u8),
    /// The last router before the server (or, on the same link, this host) saw them, as with a port that works.
    Last,
}

/// The road to one port and the road that works.
pub(super) struct Road<'a> {
    pub(super) trace: Option<&'a Trace>,
    pub(super) reference: Option<&'a Trace>,
    target: IpAddr,
    local: Option<IpAddr>,
    /// Whether the server sees another address of its own than the client dials; `None` where it did not say.
    pub(super) translated: Option<bool>,
}

impl<'a> Road<'a> {
    pub(super) fn to(facts: &Facts<'a>, to: SocketAddr) -> Self {
        let path = &facts.seen.path;
        Road {
            trace: path.trace(to),
            reference: path.reference().filter(|reference| reference.answered().is_some()),
            target: to.ip(),
            local: path.local,
            translated: facts.translated(),
        }
    }

    /// How many hops away the server is: 1 on the same link.
    pub(super) fn length(&self) -> Option<u8> {
        self.reference?.answered()
    }

    /// Whether no router stands between: the server is on the same link, or this host itself.
    pub(super) fn is_direct(&self) -> bool {
        self.length() == Some(1) || self.is_here(self.target)
    }

    pub(super) fn edge(&self) -> Edge {
        let (Some(trace), Some(reference)) = (self.trace, self.reference) else {
            return Edge::Unknown;
        };
        // Beyond the last router that answers at all, nothing can be told.
        match trace.last_hop() {
            last if last >= reference.last_hop() => Edge::Last,
            0 => Edge::Nowhere,
            last => Edge::After(last),
        }
    }

    /// The hop that has the very address that was dialled: a NAT in front of the server.
    pub(super) fn owner(&self) -> Option<u8> {
        self.reference?.position(self.target)
    }

    /// Whether there is a NAT in front of the server, as far as anybody knows.
    pub(super) fn is_translated(&self) -> bool {
        self.owner().is_some() || self.translated == Some(true)
    }

    /// Whether the packets that were last seen at hop `seen` (0: nowhere) died at the next one because it keeps them for
    /// itself: it is the NAT, and has no forward for this port.
    pub(super) fn is_not_forwarded_after(&self, seen: u8) -> bool {
        let next = seen + 1;
        match (self.owner(), self.length()) {
            (Some(owner), _) if next == owner => true,
            // Behind the first NAT there may be a second one; the last router is the one that forwards to the server.
            (Some(owner), Some(length)) => next > owner && next + 1 == length,
            (None, Some(length)) => self.translated == Some(true) && next + 1 == length,
            (_, None) => false,
        }
    }

    /// Who the n-th hop is, from 1.
    pub(super) fn who(&self, hop: u8) -> Option<IpAddr> {
        self.reference
            .and_then(|reference| reference.hop(hop))
            .or_else(|| self.trace?.hop(hop))
    }

    /// "198.51.100.1 (hop 1)".
    pub(super) fn device(&self, hop: u8) -> Option<String> {
        Some(match self.who(hop) {
            Some(who) => format!("{who} (hop {hop})"),
            None => format!("hop {hop}"),
        })
    }

    /// Whose device the n-th hop is, judged by its neighbours: the last router and whoever owns the dialled address stand in
    /// front of the server; the first one, and all private ones before the server's, in front of the client.
    pub(super) fn place(&self, hop: u8) -> Place {
        let last = self.length().map(|length| length - 1);
        if Some(hop) == last || self.owner().is_some_and(|owner| hop >= owner) {
            Place::ServerFirewall
        } else if hop <= 1 || self.who(hop).is_some_and(is_private) {
            Place::ClientFirewall
        } else {
            Place::Path
        }
    }

    /// Whether an address is one of this host's own.
    pub(super) fn is_here(&self, who: IpAddr) -> bool {
        who.is_loopback() || Some(who) == self.local
    }

    /// Both traces in words.
    pub(super) fn in_words(&self) -> Option<String> {
        let trace = self.trace?;
        let own = format!("trace to TCP {}: {}", trace.to.port(), trace.in_words());
        Some(match self.reference.filter(|reference| reference.to != trace.to) {
            Some(reference) => format!("{own}; to TCP {}: {}", reference.to.port(), reference.in_words()),
            None => own,
        })
    }
}

/// Whether a counter grew by the SYNs that were sent, and not by what happens anyway. Half of them may be lost.
pub(super) fn shows(
    growth: Option<&Growth>,
    syns: u64,
    counter: impl Fn(&fwdrill_protocol::host::Counters) -> u64,
) -> bool {
    syns > 1 && growth.is_some_and(|growth| growth.more(counter) * 2 >= syns)
}
