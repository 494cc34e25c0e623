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

#[cfg(test)]
mod tests {
    use fwdrill_protocol::report::Outcome;
    use fwdrill_protocol::sighting::Syn;

    use super::super::testing::*;
    use super::*;
    use crate::observation::path::{Trace, TraceEnd};
    use crate::observation::{EvidenceFetch, Observations};

    const ROUTERS: [[u8; 4]; 3] = [[192, 168, 50, 1], [198, 51, 100, 1], SERVER];

    /// The services answer this far away.
    fn answering(hops: &[(u16, u8)]) -> Observations {
        let mut seen = healthy();
        seen.path.traces = hops
            .iter()
            .map(|(port, hop)| Trace {
                to: at(*port),
                hops: ROUTERS[..usize::from(hop - 1)]
                    .iter()
                    .map(|router| Some((*router).into()))
                    .collect(),
                end: TraceEnd::Answered {
                    hop: *hop,
                    outcome: Outcome::Open,
                },
            })
            .collect();
        seen.path.reference = hops.iter().max_by_key(|(_, hop)| *hop).map(|(port, _)| at(*port));
        seen
    }

    /// The SYN of a flow arrived at the server with this TTL from this address.
    fn arrived(seen: &mut Observations, flow: Flow, ttl: u8, peer: &str) {
        let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
            panic!("healthy paths have evidence");
        };
        for sighting in evidence.sightings.iter_mut().filter(|sighting| sighting.flow == flow) {
            sighting.syn = Some(Syn { ttl, mss: Some(1460) });
            sighting.peer = peer.parse().unwrap();
        }
    }

    fn found(seen: &Observations) -> Option<(FindingId, Flow, Confidence, bool)> {
        let finding = report_of(seen).findings.pop()?;
        Some((
            finding.id,
            finding.flow,
            finding.confidence,
            finding.alternatives.is_empty(),
        ))
    }

    const CLIENT: &str = "198.51.100.10:40000";
    const PROXY: &str = "10.20.0.1:40000";

    #[test]
    fn a_service_that_answers_nearer_and_whose_syn_comes_from_nearer_goes_through_a_proxy() {
        let mut seen = answering(&[(2021, 3), (2221, 4)]);
        arrived(&mut seen, Flow::Http, 61, CLIENT);
        arrived(&mut seen, Flow::FtpControl, 63, PROXY);
        let sure = (FindingId::TransparentProxy, Flow::FtpControl, Confidence::Certain, true);
        assert_eq!(found(&seen), Some(sure));
        // Traces may be missing; then the other address has to speak for it.
        seen.path.traces.clear();
        assert_eq!(found(&seen), None, "nothing to compare with");
        seen.path.traces = answering(&[(2221, 4)]).path.traces;
        assert_eq!(found(&seen), Some(sure));
    }

    #[test]
    fn the_client_alone_sees_a_nearer_answer_and_cannot_exclude_another_host() {
        let mut seen = answering(&[(2021, 3), (2221, 4)]);
        seen.evidence = EvidenceFetch::NotAsked;
        let likely = (FindingId::TransparentProxy, Flow::FtpControl, Confidence::Likely, false);
        assert_eq!(found(&seen), Some(likely));
    }

    #[test]
    fn services_at_one_distance_have_no_proxy() {
        let mut seen = answering(&[(2021, 4), (2221, 4)]);
        assert_eq!(found(&seen), None);
        arrived(&mut seen, Flow::Http, 61, CLIENT);
        arrived(&mut seen, Flow::FtpControl, 61, CLIENT);
        assert_eq!(found(&seen), None);
        // Another TTL from the same address: another way, and nobody who makes connections of his own.
        arrived(&mut seen, Flow::FtpControl, 62, CLIENT);
        assert_eq!(found(&seen), None);
    }

    #[test]
    fn two_hosts_at_different_distances_are_no_proxy_if_the_server_sees_both_come_alike() {
        let mut seen = answering(&[(2021, 3), (2221, 4)]);
        arrived(&mut seen, Flow::Http, 61, CLIENT);
        arrived(&mut seen, Flow::FtpControl, 61, CLIENT);
        assert_eq!(found(&seen), None);
    }
}
