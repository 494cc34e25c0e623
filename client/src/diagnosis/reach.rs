//! Reaching a port: the name does not resolve, the port refuses, or nothing answers.
//!
//! A RST looks the same from the client whether the server's host, another host behind a wrong
//! forward or a firewall sent it; silence looks the same whoever dropped the SYN. What cannot be
//! told apart stands in `alternatives`.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Outcome;

use super::facts::{Facts, Listening};
use super::{Diagnosis, list};
use crate::observation::Icmp;

/// `name-not-resolved`.
pub(super) fn name(facts: &Facts) -> Vec<Diagnosis> {
    let resolution = &facts.seen.resolution;
    if !resolution.addresses.is_empty() {
        return Vec::new();
    }
    let error = resolution
        .error
        .clone()
        .unwrap_or_else(|| "the resolver knows no address of it".to_owned());
    let target = &facts.seen.target;
    vec![Diagnosis {
        finding: Finding {
            id: FindingId::NameNotResolved,
            severity: Severity::Error,
            confidence: Confidence::Certain,
            flow: Flow::FtpControl,
            summary: format!("the name {target} does not resolve, so nothing could be tried"),
            place: Place::ClientHost,
            evidence: vec![format!("looking up {target}: {error}")],
            remedy: format!("correct the name, or add {target} to the DNS that this host asks"),
            alternatives: Vec::new(),
        },
        explains: Flow::ALL.to_vec(),
    }]
}

/// One finding per cause, naming all ports it holds for.
pub(super) fn ports(facts: &Facts) -> Vec<Diagnosis> {
    let wanted = |flows: Vec<Flow>| -> Vec<Flow> {
        flows
            .into_iter()
            .filter(|flow| facts.expected(*flow) == Expected::Open)
            .collect()
    };
    let mut refused = wanted(facts.ended(Outcome::Refused));
    let unlistened: Vec<Flow> = refused
        .extract_if(.., |flow| facts.server_listens(*flow) == Some(Listening::No))
        .collect();
    let on_loopback: Vec<Flow> = refused
        .extract_if(.., |flow| facts.server_listens(*flow) == Some(Listening::LoopbackOnly))
        .collect();
    let unreachable = wanted(facts.ended(Outcome::Unreachable));
    let silent = wanted(facts.ended(Outcome::Timeout));
    [
        (unlistened, not_listening as fn(&Facts, &[Flow]) -> Finding),
        (on_loopback, loopback_only),
        (refused, refused_by_someone),
        (unreachable, unreachable_by_icmp),
        (silent, dropped),
    ]
    .into_iter()
    .filter(|(flows, _)| !flows.is_empty())
    .map(|(flows, finding)| {
        let finding = finding(facts, &flows);
        let mut explains = flows;
        // Without a control connection there is no data connection.
        if explains.contains(&Flow::FtpControl) {
            explains.push(Flow::FtpPassive);
        }
        Diagnosis { finding, explains }
    })
    .collect()
}

fn not_listening(facts: &Facts, flows: &[Flow]) -> Finding {
    let ports = list(facts.ports(flows).iter());
    Finding {
        id: FindingId::ServerNotListening,
        severity: Severity::Error,
        confidence: Confidence::Certain,
        flow: flows[0],
        summary: format!("the server does not listen on TCP {}", named(facts, flows)),
        place: Place::Server,
        evidence: vec![
            refusals(facts, flows),
            "the server's own list of listening sockets lacks them".to_owned(),
        ],
        remedy: format!("start the service, or let it listen on TCP {ports}"),
        alternatives: Vec::new(),
    }
}

fn loopback_only(facts: &Facts, flows: &[Flow]) -> Finding {
    let ports = list(facts.ports(flows).iter());
    Finding {
        id: FindingId::ServerLoopbackOnly,
        severity: Severity::Error,
        confidence: Confidence::Certain,
        flow: flows[0],
        summary: format!("the server listens on TCP {ports} only on its loopback address"),
        place: Place::Server,
        evidence: vec![
            refusals(facts, flows),
            "the server's own list of listening sockets says 127.0.0.1 or ::1".to_owned(),
        ],
        remedy: "set server.bind to \"0.0.0.0\" (or \"::\", or the address that clients reach)".to_owned(),
        alternatives: Vec::new(),
    }
}

/// A RST came back, and the server has not said that it does not listen.
fn refused_by_someone(facts: &Facts, flows: &[Flow]) -> Finding {
    let ports = list(facts.ports(flows).iter());
    let listens = flows
        .iter()
        .all(|flow| facts.server_listens(*flow) == Some(Listening::Yes));
    let direct = facts.address().is_some_and(|address| address.is_loopback());
    let (id, confidence, place, alternatives) = if listens {
        use FindingId::{ForwardWrongHost, PortRejected, ServerHostBlocked};
        (
            PortRejected,
            Confidence::Likely,
            Place::Unknown,
            vec![ForwardWrongHost, ServerHostBlocked],
        )
    } else if direct {
        (
            FindingId::ServerNotListening,
            Confidence::Likely,
            Place::Server,
            vec![FindingId::ServerHostBlocked],
        )
    } else {
        use FindingId::{ForwardWrongHost, PortRejected, ServerHostBlocked, ServerLoopbackOnly, ServerNotListening};
        let others = vec![PortRejected, ForwardWrongHost, ServerLoopbackOnly, ServerHostBlocked];
        (ServerNotListening, Confidence::Possible, Place::Unknown, others)
    };
    let mut evidence = vec![refusals(facts, flows)];
    evidence.push(match facts.server() {
        Some(_) => "the server says that it listens on them, so the RST is not for want of a listener".to_owned(),
        None => "the server's own list of listening sockets is not known".to_owned(),
    });
    Finding {
        id,
        severity: Severity::Error,
        confidence,
        flow: flows[0],
        summary: if id == FindingId::PortRejected {
            format!(
                "TCP {} {} rejected on the way to the server",
                named(facts, flows),
                is(flows)
            )
        } else {
            format!(
                "TCP {} {} refused: nothing seems to listen there",
                named(facts, flows),
                is(flows)
            )
        },
        place,
        evidence,
        remedy: if id == FindingId::PortRejected {
            format!(
                "accept tcp dport {{ {} }} where it is rejected now (a `reject with tcp reset` rule)",
                facts.ports(flows)
            )
        } else {
            format!(
                "on the server, look whether anything listens (`ss -ltn`) on TCP {ports}; if it does, look for a rule that rejects \
                 or forwards these ports to another host"
            )
        },
        alternatives,
    }
}

/// An ICMP error came back: somebody said no, in words.
fn unreachable_by_icmp(facts: &Facts, flows: &[Flow]) -> Finding {
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

/// Nothing came back.
fn dropped(facts: &Facts, flows: &[Flow]) -> Finding {
    use FindingId::{
        ClientEgressBlocked, ClientHostBlocked, ForwardMissing, NoRoute, PortDropped, ReturnPathBroken,
        ServerBacklogFull, ServerHostBlocked,
    };
    let ports = list(facts.ports(flows).iter());
    let open = facts.ended(Outcome::Open);
    let mut alternatives = vec![
        ForwardMissing,
        ServerHostBlocked,
        ClientEgressBlocked,
        ClientHostBlocked,
        ReturnPathBroken,
        ServerBacklogFull,
    ];
    let mut evidence = vec![format!("TCP {ports}: the SYN was repeated and nothing came back")];
    let confidence = if open.is_empty() {
        alternatives.push(NoRoute);
        evidence.push("no port of this host answered".to_owned());
        Confidence::Possible
    } else {
        evidence.push(format!(
            "TCP {} on the same host is open",
            list(facts.ports(&open).iter())
        ));
        Confidence::Likely
    };
    Finding {
        id: PortDropped,
        severity: Severity::Error,
        confidence,
        flow: flows[0],
        summary: format!("TCP {} {} dropped without an answer", named(facts, flows), is(flows)),
        place: Place::Unknown,
        evidence,
        remedy: format!(
            "accept new connections to tcp dport {{ {} }} at {} in the forward chain of the firewall between (and forward them, where it is a NAT)",
            facts.ports(flows),
            facts.seen.target
        ),
        alternatives,
    }
}

fn refusals(facts: &Facts, flows: &[Flow]) -> String {
    let times = flows.iter().filter_map(|flow| {
        let attempt = facts.attempt(*flow)?;
        Some(format!(
            "TCP {} answered with a RST after {} ms",
            attempt.to.port(),
            attempt.rtt_ms?
        ))
    });
    list(times)
}

/// "2225 (client events) and 3333 (version service)", ascending.
fn named(facts: &Facts, flows: &[Flow]) -> String {
    let mut named: Vec<(u16, &str)> = flows
        .iter()
        .filter_map(|flow| Some((facts.attempt(*flow)?.to.port(), flow.title())))
        .collect();
    named.sort_unstable();
    list(named.iter().map(|(port, title)| format!("{port} ({title})")))
}

fn is(flows: &[Flow]) -> &'static str {
    if flows.len() == 1 { "is" } else { "are" }
}
