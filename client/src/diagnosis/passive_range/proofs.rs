//! Ports that accept a connection and then do not prove to be what they should be: `passive-range-shifted`,
//! `passive-range-wrong-host`, `passive-port-stolen`.

use std::collections::BTreeMap;

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::Flow;

use super::super::facts::Facts;
use super::super::list;
use crate::observation::PassivePort;

pub(super) fn findings(facts: &Facts) -> Vec<Finding> {
    if !facts.seen.passive.swept {
        return Vec::new();
    }
    let stood = || facts.seen.passive.ports.iter().filter(|tried| tried.attempt.stood());
    let shifted: Vec<&PassivePort> = stood()
        .filter(|tried| tried.answered_as.is_some_and(|port| port != tried.port))
        .collect();
    let foreign: Vec<&PassivePort> = stood().filter(|tried| tried.answered_as.is_none()).collect();
    // A lost answer is no other service: silence says something only where no port proves to be the server's.
    let own = stood().any(|tried| tried.answered_as.is_some());
    let foreign: Vec<&PassivePort> = foreign
        .into_iter()
        .filter(|tried| tried.said.is_some() || !own)
        .collect();
    let mut findings = Vec::new();
    if !shifted.is_empty() {
        findings.push(moved(facts, &shifted));
    }
    if !foreign.is_empty() {
        findings.push(someone_else(facts, &foreign, stood().count()));
    }
    findings
}

fn moved(facts: &Facts, shifted: &[&PassivePort]) -> Finding {
    let planned = &facts.seen.passive.planned;
    let offsets: BTreeMap<i32, usize> = shifted.iter().fold(BTreeMap::new(), |mut offsets, tried| {
        let as_port = i32::from(tried.answered_as.unwrap_or(tried.port));
        *offsets.entry(as_port - i32::from(tried.port)).or_default() += 1;
        offsets
    });
    let arrived: PortSet = shifted.iter().filter_map(|tried| tried.answered_as).collect();
    let dialled: PortSet = shifted.iter().map(|tried| tried.port).collect();
    let how = match (offsets.len(), arrived.len()) {
        (1, _) => format!("{:+} on every one of them", offsets.keys().next().unwrap_or(&0)),
        (_, 1) => format!("all of them arrive at TCP {arrived}"),
        _ => format!("by {} different distances", offsets.len()),
    };
    Finding {
        id: FindingId::PassiveRangeShifted,
        severity: Severity::Error,
        confidence: Confidence::Certain,
        flow: Flow::FtpPassive,
        summary: format!("the firewall forwards the passive range to other ports of the server ({how})"),
        place: Place::ServerFirewall,
        evidence: vec![
            format!(
                "the server listened on all of {planned}; {} of {} ports dialled were answered by another of its ports: {dialled}",
                shifted.len(),
                facts.seen.passive.ports.len()
            ),
            list(shifted.iter().take(3).map(|tried| {
                let arrived = tried.answered_as.unwrap_or(tried.port);
                format!("TCP {} arrives at {arrived}", tried.port)
            })),
        ],
        remedy: super::remedy(facts, FindingId::PassiveRangeShifted, Place::ServerFirewall, planned),
        alternatives: Vec::new(),
    }
}

fn someone_else(facts: &Facts, foreign: &[&PassivePort], stood: usize) -> Finding {
    let ports: PortSet = foreign.iter().map(|tried| tried.port).collect();
    let said = foreign
        .iter()
        .find_map(|tried| tried.said.as_ref().map(|said| (tried.port, said)));
    let all = foreign.len() == stood;
    let (id, what, alternatives) = match (all && foreign.len() > 1, said.is_some()) {
        (true, true) => (
            FindingId::PassiveRangeWrongHost,
            "the passive range leads to another host",
            vec![],
        ),
        (true, false) => (
            FindingId::PassiveRangeWrongHost,
            "the passive range leads to something that accepts connections and says nothing",
            vec![FindingId::TransparentProxy, FindingId::AsymmetricRoute],
        ),
        (false, spoke) => (
            FindingId::PassivePortStolen,
            "part of the passive range leads to another service",
            if spoke {
                vec![]
            } else {
                vec![FindingId::PassiveRangeWrongHost, FindingId::TransparentProxy]
            },
        ),
    };
    let mut evidence = vec![format!(
        "the server listened on TCP {ports} and would have proved to be it; who accepts there does not"
    )];
    if let Some((port, said)) = said {
        evidence.push(format!("TCP {port} says {said:?}"));
    }
    Finding {
        id,
        severity: Severity::Error,
        confidence: if said.is_some() {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        flow: Flow::FtpPassive,
        summary: format!("{what} ({ports})"),
        place: Place::ServerFirewall,
        evidence,
        remedy: format!(
            "look for a rule before the one of the passive range that catches tcp dport {{ {ports} }} at {}, and forward these ports to {}; or take them out of the range (ftp.passive_ports)",
            facts.seen.target,
            super::inside_address(facts)
        ),
        alternatives,
    }
}
