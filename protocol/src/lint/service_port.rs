//! `range-contains-service-port`: the passive range contains a port that another service owns.

use super::Statements;
use super::sizing::free_range;
use crate::estate::Estate;
use crate::estate::expectation::OUTSIDE;
use crate::finding::{Confidence, Finding, FindingId, Place, Severity};
use crate::flow::{Expected, Flow};

/// This server never hands such a port out, so by itself it is only worth a note. The server that reads an `eserv.ini` may,
/// and a firewall that opens the whole range opens a port that must stay closed as well: those are warnings.
pub(super) fn check(said: &Statements) -> Vec<Finding> {
    let estate = said.estate;
    let stolen = estate.stolen_ports();
    if !said.needs_passive_range() || stolen.is_empty() {
        return Vec::new();
    }
    let range = &estate.ftp.passive_ports;
    let owners: Vec<Flow> = estate
        .flows()
        .filter(|flow| estate.port(*flow).is_some_and(|port| stolen.contains(port)))
        .collect();
    let mut evidence: Vec<String> = owners
        .iter()
        .map(|flow| {
            let port = estate.port(*flow).unwrap_or_default();
            format!(
                "{port} ({}) is the port of the {}",
                Estate::port_key(*flow),
                flow.title()
            )
        })
        .collect();
    let exposed: Vec<Flow> = owners
        .iter()
        .copied()
        .filter(|flow| estate.expected(OUTSIDE, *flow) == Expected::Closed)
        .collect();
    evidence.extend(exposed.iter().map(|flow| {
        format!(
            "a firewall that opens {range} opens the {} too, which is to be closed",
            flow.title()
        )
    }));
    evidence.push(match said.eserv_ini {
        Some(_) => {
            "whether the server of this eserv.ini leaves the port out when it answers PASV is not known".to_owned()
        }
        None => format!(
            "fwdrill serve leaves it out: it hands out {}",
            estate.handed_out_ports()
        ),
    });
    let severity = if said.eserv_ini.is_some() || !exposed.is_empty() {
        Severity::Warning
    } else {
        Severity::Info
    };
    vec![Finding {
        id: FindingId::RangeContainsServicePort,
        severity,
        confidence: Confidence::Certain,
        flow: Flow::FtpPassive,
        summary: format!("the passive range {range} contains {stolen}, which belongs to another service"),
        place: Place::Server,
        evidence,
        remedy: remedy(said),
        alternatives: Vec::new(),
    }]
}

fn remedy(said: &Statements) -> String {
    let free = said.estate.handed_out_ports();
    let begin = said.estate.stolen_ports().last().and_then(|last| last.checked_add(1));
    match (said.eserv_ini, begin) {
        (Some(_), Some(begin)) => {
            let length = said.estate.ftp.passive_ports.len();
            match free_range(said.estate, begin, length) {
                Some(range) => format!(
                    "begin the range after it, StartingPassivePort={}, and open {}-{} in the firewall",
                    range.start(),
                    range.start(),
                    range.end()
                ),
                None => {
                    format!("begin the range after it, StartingPassivePort={begin}, and move the firewall's rule along")
                }
            }
        }
        _ => format!("leave it out: ftp.passive_ports = \"{free}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;
    use crate::estate::Mode;

    #[test]
    fn the_version_port_inside_the_range_is_a_note_because_it_is_never_handed_out() {
        let findings = Case::guide().with(check);
        assert_eq!(findings[0].severity, Severity::Info);
        assert!(findings[0].remedy.contains("3023-3332,3334-4022"), "{findings:?}");
    }

    #[test]
    fn in_an_eserv_ini_it_is_a_warning_and_the_range_moves() {
        let mut case = Case::guide();
        case.ini("3023-4022");
        let findings = case.with(check);
        assert_eq!(findings[0].severity, Severity::Warning);
        let remedy = &findings[0].remedy;
        assert!(
            remedy.contains("StartingPassivePort=3334") && remedy.contains("3334-4333"),
            "{remedy}"
        );
    }

    #[test]
    fn a_port_inside_the_range_that_must_be_closed_is_a_warning() {
        let mut case = Case::guide();
        case.estate.ftp.passive_ports = "2226-2300".parse().unwrap();
        let findings = case.with(check);
        assert_eq!(findings[0].severity, Severity::Warning);
        assert!(findings[0].evidence.iter().any(|line| line.contains("to be closed")));
    }

    #[test]
    fn a_range_with_a_hole_and_one_that_begins_after_the_port_are_well() {
        let mut case = Case::guide();
        case.estate.ftp.passive_ports = case.estate.handed_out_ports();
        assert!(case.with(check).is_empty());
        assert!(Case::healthy().with(check).is_empty());
    }

    #[test]
    fn a_range_that_nobody_uses_is_not_looked_at() {
        let mut case = Case::guide();
        case.estate.mode = Mode::Http;
        assert!(case.with(check).is_empty());
    }
}
