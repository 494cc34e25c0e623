//! Somebody on the way takes connections and makes others of them: `transparent-proxy`.
//!
//! To the client it shows in traces: a port that works, and answers nearer than the server. To the server in the SYN: one that
//! has come from nearer (a greater TTL) than those of the same client to other ports.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};

use super::facts::Facts;
use super::{Diagnosis, content};

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    facts
        .seen
        .attempts
        .keys()
        .copied()
        .filter(|flow| facts.expected(*flow) == Expected::Open && facts.seen.spoke(*flow))
        .filter(|flow| !content::is_answered_by_another(facts, *flow))
        .filter_map(|flow| finding(facts, flow))
        .map(|finding| Diagnosis {
            finding,
            explains: Vec::new(),
        })
        .take(1)
        .collect()
}

fn finding(facts: &Facts, flow: Flow) -> Option<Finding> {
    let to = facts.attempt(flow)?.to;
    let path = &facts.seen.path;
    let farthest = path
        .traces
        .iter()
        .filter(|trace| trace.to.ip() == to.ip())
        .filter_map(|trace| Some((trace.answered()?, trace.to)))
        .max()?;
    let nearer = path.trace(to).and_then(|trace| Some((trace.answered()?, trace)));
    let nearer = nearer.filter(|(hop, _)| *hop < farthest.0);
    let syns = Syns::of(facts, flow);
    let (by_ttl, other_peer) = syns
        .as_ref()
        .map_or((false, false), |syns| (syns.ttl > syns.others_ttl, syns.other_peer));
    // The server knows of no difference: two hosts at different distances, perhaps, but nobody between.
    if nearer.is_none() && !(by_ttl && other_peer) || nearer.is_some() && syns.is_some() && !by_ttl {
        return None;
    }
    let sure = by_ttl && (nearer.is_some() || other_peer);
    let mut evidence = Vec::new();
    if let Some((hop, trace)) = nearer {
        evidence.push(format!(
            "trace to TCP {}: {}; but TCP {} answers at hop {}",
            to.port(),
            trace.in_words(),
            farthest.1.port(),
            farthest.0
        ));
        evidence.push(format!("TCP {} is answered at hop {hop}, before the server", to.port()));
    }
    if let Some(syns) = syns {
        evidence.push(format!(
            "at the server the SYN to TCP {} arrives with TTL {} from {}, others of this drill with TTL {} from {}",
            to.port(),
            syns.ttl,
            syns.peer,
            syns.others_ttl,
            syns.others_peer
        ));
    }
    let who = nearer.and_then(|(hop, _)| Some((path.reference()?.hop(hop)?, hop)));
    Some(Finding {
        id: FindingId::TransparentProxy,
        severity: Severity::Warning,
        confidence: if sure { Confidence::Certain } else { Confidence::Likely },
        flow,
        summary: format!(
            "TCP {} ({}) goes through a proxy on the way{}: the server does not see who its clients are",
            to.port(),
            flow.title(),
            who.map_or_else(String::new, |(who, hop)| format!(", {who} (hop {hop})"))
        ),
        place: Place::Path,
        evidence,
        remedy: format!(
            "take tcp dport {} to {} out of the redirect or proxy rule of that device, or accept that limits and logs by client address do not hold",
            to.port(),
            facts.seen.target
        ),
        alternatives: if sure {
            Vec::new()
        } else {
            vec![FindingId::ForwardWrongHost]
        },
    })
}

/// The SYNs of the drill as the server saw them: one flow's, and those of the flow whose SYN had come from farthest.
struct Syns {
    ttl: u8,
    peer: std::net::IpAddr,
    others_ttl: u8,
    others_peer: std::net::IpAddr,
    other_peer: bool,
}

impl Syns {
    fn of(facts: &Facts, flow: Flow) -> Option<Syns> {
        let sightings = &facts.seen.evidence.joined()?.sightings;
        let syn = |of: &dyn Fn(Flow) -> bool| {
            sightings
                .iter()
                .filter(|sighting| of(sighting.flow))
                .filter_map(|sighting| Some((sighting.syn?.ttl, sighting.peer.ip())))
                // Those of a trace have a smaller one by intention.
                .max_by_key(|(ttl, _)| *ttl)
        };
        let (ttl, peer) = syn(&|one| one == flow)?;
        let (others_ttl, others_peer) = Flow::ALL
            .into_iter()
            .filter(|other| *other != flow && *other != Flow::FtpPassive)
            .filter_map(|other| syn(&|one| one == other))
            .min_by_key(|(ttl, _)| *ttl)?;
        Some(Syns {
            ttl,
            peer,
            others_ttl,
            others_peer,
            other_peer: peer != others_peer,
        })
    }
}
