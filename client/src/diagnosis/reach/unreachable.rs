//! An ICMP error answers, or there is no route: somebody says no, in words.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::Flow;

use super::super::facts::Facts;
use super::super::list;
use super::{is, named};
use crate::observation::Icmp;

/// An ICMP error came back: somebody said no, in words.
pub(super) fn by_icmp(facts: &Facts, flows: &[Flow]) -> Finding {
    let ports = list(facts.ports(flows).iter());
    let icmp = flows.iter().find_map(|flow| facts.attempt(*flow)?.icmp);
    let (id, confidence, place, alternatives) = match icmp {
        Some(icmp) if says_rejected(icmp, facts) => {
            (FindingId::PortRejected, Confidence::Certain, Place::Unknown, vec![])
        }
        Some(_) => (
            FindingId::ForwardDeadHost,
            Confidence::Possible,
            Place::Unknown,
            vec![FindingId::NoRoute, FindingId::PortRejected],
        ),
        None => (
            FindingId::NoRoute,
            Confidence::Likely,
            Place::ClientHost,
            vec![FindingId::ClientHostBlocked],
        ),
    };
    let who = icmp
        .and_then(|icmp| icmp.offender)
        .map_or_else(|| "this host".to_owned(), |offender| offender.to_string());
    let evidence = match icmp {
        Some(icmp) => format!(
            "TCP {ports}: {who} answered with ICMP type {} code {} ({})",
            icmp.kind,
            icmp.code,
            meaning(icmp, facts)
        ),
        None => format!(
            "TCP {ports}: {}",
            facts
                .attempt(flows[0])
                .and_then(|attempt| attempt.error.clone())
                .unwrap_or_else(|| "unreachable".to_owned())
        ),
    };
    let (summary, remedy) = match id {
        FindingId::PortRejected => (
            format!("TCP {} {} rejected by {who}", named(facts, flows), is(flows)),
            format!(
                "on {who}, accept tcp dport {{ {} }} to the server in place of the rule that rejects it",
                facts.ports(flows)
            ),
        ),
        FindingId::NoRoute => (
            format!("this host has no route to {}", facts.seen.target),
            format!("add a route to {} on this host", facts.seen.target),
        ),
        _ => (
            format!(
                "TCP {} {} unreachable: {who} cannot deliver it",
                named(facts, flows),
                is(flows)
            ),
            format!("on {who}, look where TCP {ports} is forwarded or routed to: that host does not answer"),
        ),
    };
    Finding {
        id,
        severity: Severity::Error,
        confidence,
        flow: flows[0],
        summary,
        place,
        evidence: vec![evidence],
        remedy,
        alternatives,
    }
}

/// Codes that a packet filter sends and a router or host in good order does not.
fn says_rejected(icmp: Icmp, facts: &Facts) -> bool {
    match facts.address() {
        // RFC 4443: 1/1 administratively prohibited, 1/4 port unreachable, 1/5 policy, 1/6 reject route.
        Some(address) if address.is_ipv6() => icmp.kind == 1 && matches!(icmp.code, 1 | 4 | 5 | 6),
        // RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1. No TCP stack answers a SYN
        // with 3/2 or 3/3: they are what REJECT sends.
        _ => icmp.kind == 3 && matches!(icmp.code, 2 | 3 | 9 | 10 | 13),
    }
}

fn meaning(icmp: Icmp, facts: &Facts) -> &'static str {
    let v6 = facts.address().is_some_and(|address| address.is_ipv6());
    match (v6, icmp.kind, icmp.code) {
        (false, 3, 0) | (true, 1, 0) => "no route to the network",
        (false, 3, 1) | (true, 1, 3) => "host unreachable",
        (false, 3, 2) => "protocol unreachable",
        (false, 3, 3) | (true, 1, 4) => "port unreachable",
        (false, 3, 9 | 10 | 13) | (true, 1, 1 | 5) => "administratively prohibited",
        (true, 1, 6) => "reject route",
        (false, 11, _) | (true, 3, _) => "time exceeded: a routing loop",
        _ => "another error",
    }
}
