//! A RST answers: nothing listens, or somebody in between (or behind a wrong forward) says so.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::Flow;

use super::super::facts::{Facts, Listening};
use super::super::list;
use super::{is, named};

pub(super) fn not_listening(facts: &Facts, flows: &[Flow]) -> Finding {
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

pub(super) fn loopback_only(facts: &Facts, flows: &[Flow]) -> Finding {
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
pub(super) fn by_someone(facts: &Facts, flows: &[Flow]) -> Finding {
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
