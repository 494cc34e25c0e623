//! What tests of pages look at.

use std::net::{IpAddr, SocketAddr};

use fwdrill_protocol::flow::Flow;

use crate::journal::{Journal, Limits, Snapshot};

/// One connection each.
pub(super) fn seen(visits: &[([u8; 4], Flow)]) -> Snapshot {
    let journal = Journal::in_memory(Limits::default());
    for (peer, flow) in visits {
        let peer = SocketAddr::new(IpAddr::from(*peer), 40_000);
        journal.accepted(None, *flow, ([10, 20, 0, 10], 1).into(), peer, None);
    }
    journal.census().snapshot()
}
