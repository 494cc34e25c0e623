//! The ports that are for this host alone: 2226 (system mode) and 2227 (self-events). "This port need NOT be
//! allowed/opened on firewall", says the guide; they are bound so that it shows when one can be reached all the same.
//!
//! Nobody gets an answer. 2227 is on loopback, so other hosts reach it only where somebody forwards it (a DNAT with
//! `route_localnet`, a proxy). 2226 listens where the other services do, since only then a firewall that lets it through
//! can be seen. Who comes from another host is noted as exposed, and closed like all others.

use std::net::{IpAddr, SocketAddr};

use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::sighting::Event;
use nix::ifaddrs::getifaddrs;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::connection::{self, Accepted};
use crate::journal::Journal;
use crate::sentinel;

/// Lives one connection: notes whose drill it is and whether it should not have been possible, says nothing, and closes.
pub(crate) async fn live(flow: Flow, journal: Journal, mut accepted: Accepted, stopping: CancellationToken) {
    let (local, peer) = (accepted.local, accepted.peer);
    let drill = tokio::select! {
        drill = tokio::time::timeout(sentinel::PATIENCE, sentinel::first_line(&mut accepted.stream)) => drill.unwrap_or_default(),
        () = stopping.cancelled() => None,
    };
    journal.accepted(drill, flow, local, peer, accepted.syn);
    if is_from_elsewhere(local, peer) {
        journal.record(drill, flow, local, peer, Event::Exposed);
        // The first time each address is worth a line; the census counts the others.
        match journal.census().visits(peer.ip(), flow) {
            0 | 1 => warn!(%flow, %local, %peer, "exposed: another host reached a port that is for this host alone"),
            visits => debug!(%flow, %local, %peer, visits, "exposed, again"),
        }
    }
    if !stopping.is_cancelled() {
        connection::close_gently(&mut accepted.stream).await;
    }
}

/// Whether a connection came from another host. Of what a program on this host passes on for others only the program shows.
fn is_from_elsewhere(local: SocketAddr, peer: SocketAddr) -> bool {
    let peer = peer.ip();
    !(peer.is_loopback() || peer == local.ip() || is_own(peer))
}

fn is_own(address: IpAddr) -> bool {
    let Ok(interfaces) = getifaddrs() else { return false };
    interfaces.filter_map(|interface| interface.address).any(|own| {
        let v4 = own.as_sockaddr_in().map(|own| IpAddr::from(own.ip()));
        let v6 = own.as_sockaddr_in6().map(|own| IpAddr::from(own.ip()));
        v4.or(v6) == Some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_hosts_are_elsewhere() {
        let from = |local: &str, peer: &str| is_from_elsewhere(local.parse().unwrap(), peer.parse().unwrap());
        assert!(!from("127.0.0.1:2227", "127.0.0.1:40000"));
        assert!(
            !from("192.0.2.10:2226", "192.0.2.10:40000"),
            "by its own address, which is where it arrived"
        );
        assert!(!from("192.0.2.10:2226", "127.0.0.1:40000"), "an address of this host");
        assert!(from("192.0.2.10:2226", "198.51.100.7:40000"));
        // A DNAT leaves the client's address as it is.
        assert!(from("127.0.0.1:2227", "198.51.100.7:40000"));
        assert!(from("[::1]:2227", "[2001:db8::7]:40000"));
    }
}
