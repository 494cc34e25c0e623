//! The server sees every client under one address of its own network: `clients-hidden-by-nat`.

use std::net::IpAddr;

use fwdrill_protocol::evidence::ServerRole;
use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::Flow;

use super::Diagnosis;
use super::facts::{Facts, is_private};

/// A client from outside arrives with a private address of the server's own network: whoever translates it stands there.
/// A client that is inside itself has such an address by right, and a hairpin has to translate it.
pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let (Some(evidence), Some(own), Some(dialled)) =
        (facts.seen.evidence.joined(), facts.seen.path.local, facts.address())
    else {
        return Vec::new();
    };
    let Some(sighting) = evidence.sightings.first() else {
        return Vec::new();
    };
    let (peer, server) = (sighting.peer.ip().to_canonical(), sighting.local.ip().to_canonical());
    let same = evidence
        .sightings
        .iter()
        .all(|other| other.peer.ip().to_canonical() == peer);
    // An update agent is for its own network, and dialled at a private address; its clients are hidden all the same.
    let relay = facts.server().and_then(|server| server.role) == Some(ServerRole::UpdateAgent);
    let hidden = same
        && peer != own
        && is_private(peer)
        && neighbours(peer, server)
        && !neighbours(own, server)
        && (relay || !is_private(dialled))
        && !peer.is_loopback();
    if !hidden {
        return Vec::new();
    }
    let finding = Finding {
        id: FindingId::ClientsHiddenByNat,
        severity: Severity::Warning,
        confidence: Confidence::Certain,
        flow: Flow::FtpControl,
        summary: format!("the server sees clients from outside as {peer}, all of them as one"),
        place: Place::ServerFirewall,
        evidence: vec![format!(
            "this client ({own}) dialled {dialled}; at the server ({server}) all of its {} sightings come from {peer}",
            evidence.sightings.len()
        )],
        remedy: format!(
            "do not translate the source of what comes in from outside (no masquerade towards {server}, but for hairpin traffic from its own network): limits, bans and logs go by that address"
        ),
        alternatives: Vec::new(),
    };
    vec![Diagnosis {
        finding,
        explains: vec![Flow::FtpControl],
    }]
}

/// Whether both are likely to stand in one network: a /24, or a /64.
fn neighbours(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => one.octets()[..3] == other.octets()[..3],
        (IpAddr::V6(one), IpAddr::V6(other)) => one.segments()[..4] == other.segments()[..4],
        _ => false,
    }
}
