//! Nothing answers.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Outcome;

use super::super::facts::Facts;
use super::super::list;
use super::{is, named};

/// Nothing came back.
pub(super) fn dropped(facts: &Facts, flows: &[Flow]) -> Finding {
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
