//! What the findings about the task port say.

use std::net::IpAddr;

use fwdrill_protocol::finding::{Finding, FindingId, Severity};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Outcome;

use super::{Cause, Way};
use crate::diagnosis::Diagnosis;

pub(super) fn diagnosis(way: &Way, cause: Cause) -> Diagnosis {
    let finding = Finding {
        id: cause.id,
        severity: Severity::Error,
        confidence: cause.confidence,
        flow: Flow::Tasks,
        summary: summary(way, cause.id),
        place: cause.place,
        evidence: evidence(way),
        remedy: remedy(way, cause.id),
        alternatives: cause.alternatives,
    };
    Diagnosis {
        finding,
        explains: vec![Flow::Tasks],
    }
}

fn summary(way: &Way, id: FindingId) -> String {
    let (to, port) = (way.answer.to, way.answer.to.port());
    match id {
        FindingId::TaskPortBehindNat => {
            format!(
                "the server cannot send tasks: it sees this client as {}, a NAT that does not forward {port} to it",
                to.ip()
            )
        }
        FindingId::TaskPortWrongHost => format!("tasks for this client go to somebody else: {to} is not this client"),
        FindingId::TaskPortServerEgressBlocked => {
            format!("the server cannot send tasks: its own side does not let it out to {port}")
        }
        _ => format!("the server cannot send tasks: a firewall on this client blocks {port}"),
    }
}

fn evidence(way: &Way) -> Vec<String> {
    let (seen, answer) = (way.seen, way.answer);
    let mut evidence = vec![format!(
        "the server dialled {}: {}{}",
        answer.to,
        answer.outcome.name(),
        by(answer.offender)
    )];
    if answer.outcome == Outcome::Open {
        evidence.push("whoever answered there does not know this drill, and nobody came to this client".to_owned());
    } else if let Some(listening) = seen.listening {
        evidence.push(format!("this client listened on {listening}, and nobody came"));
    }
    if let Some(own) = seen
        .own
        .filter(|own| own.to_canonical() != answer.to.ip().to_canonical())
    {
        evidence.push(format!(
            "this client is {own}, the server sees it as {}: a NAT is between",
            answer.to.ip()
        ));
    }
    if !answer.hops.is_empty() {
        let mut line = format!(
            "the server's SYNs to {} get to {}",
            answer.to.port(),
            names(&answer.hops)
        );
        if !answer.hops_elsewhere.is_empty() {
            line.push_str(&format!(", those to another port to {}", names(&answer.hops_elsewhere)));
        }
        evidence.push(line);
    }
    if let Some(routers) = answer.routers.filter(|_| answer.outcome != Outcome::Open) {
        evidence.push(format!("by their TTL, this client's packets cross {routers} routers"));
    }
    if let Some(undelivered) = seen.undelivered.filter(|undelivered| *undelivered > 0) {
        evidence.push(format!(
            "meanwhile this host received {undelivered} packets that it did not deliver"
        ));
    }
    evidence
}

fn by(offender: Option<IpAddr>) -> String {
    offender.map_or_else(String::new, |offender| format!(" (ICMP from {offender})"))
}

fn names(hops: &[Option<IpAddr>]) -> String {
    let named: Vec<String> = hops.iter().flatten().map(IpAddr::to_string).collect();
    if named.is_empty() {
        "no router that says so".to_owned()
    } else {
        named.join(", ")
    }
}

fn remedy(way: &Way, id: FindingId) -> String {
    let (answer, port) = (way.answer, way.answer.to.port());
    let own = way
        .seen
        .own
        .map_or_else(|| "this client".to_owned(), |own| own.to_string());
    match id {
        FindingId::TaskPortBehindNat => format!(
            "let the client poll for its tasks, or have the NAT at {} forward a port to {own}:{port}",
            answer.to.ip()
        ),
        FindingId::TaskPortWrongHost => format!(
            "have {} forward a port of its own to each client, one to {own}:{port}, or let clients poll for their tasks",
            answer.to.ip()
        ),
        FindingId::TaskPortServerEgressBlocked => format!(
            "accept new connections from {} to tcp dport {port} on the way out, on the server's host and on the firewall in front of it",
            answer.from.ip()
        ),
        _ => format!(
            "accept tcp dport {port} from {} in this client's own firewall",
            answer.from.ip()
        ),
    }
}
