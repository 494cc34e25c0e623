//! `range-count-mismatch`: server and firewall do not mean the same range.

use super::{Statements, ports};
use crate::estate::port_set::PortSet;
use crate::finding::{Confidence, Finding, FindingId, Place, Severity};
use crate::flow::Flow;

/// Compares the range of the server (its `eserv.ini`, else the estate) with the firewall's list, and an `eserv.ini` with an
/// estate that says otherwise. Ports of other services do not count: a hole for 3333 is no mismatch.
pub(super) fn check(said: &Statements) -> Vec<Finding> {
    let (range, name) = match said.eserv_ini {
        Some(range) => (range, "eserv.ini"),
        None => (&said.estate.ftp.passive_ports, "the estate"),
    };
    let owned = said.estate.listener_ports();
    let handed_out = range.without(&owned);
    if !said.needs_passive_range() || handed_out.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let planned = said.estate.handed_out_ports();
    // A range that the firewall does not know at all is another finding.
    let told = |other: &PortSet| handed_out.iter().any(|port| other.contains(port));
    if said.eserv_ini.is_some() && !planned.is_empty() {
        findings.extend(mismatch(range, name, &handed_out, &planned, "the estate"));
    }
    if let Some(list) = said.port_list.filter(|list| told(list)) {
        let of_range: PortSet = around(list, &handed_out).without(&owned);
        findings.extend(mismatch(range, name, &handed_out, &of_range, "the firewall's list"));
    }
    findings
}

/// The ranges of the list that have anything to do with the passive range.
fn around(list: &PortSet, range: &PortSet) -> PortSet {
    let related = list
        .ranges()
        .iter()
        .filter(|run| range.iter().any(|port| run.contains(&port)));
    related.cloned().flatten().collect()
}

fn mismatch(range: &PortSet, name: &str, handed_out: &PortSet, other: &PortSet, who: &str) -> Option<Finding> {
    let missing = handed_out.without(other);
    let surplus = other.without(handed_out);
    if missing.is_empty() && surplus.is_empty() {
        return None;
    }
    let summary = if missing.is_empty() {
        format!(
            "{who} has {} more than the passive range of {name}: {surplus} is nobody's",
            ports(surplus.len())
        )
    } else {
        format!(
            "{who} lacks {} of the passive range of {name}: {missing}",
            ports(missing.len())
        )
    };
    let mut evidence = vec![format!(
        "{name}: {range}, {}; {who}: {other} without the ports of other services",
        ports(range.len())
    )];
    if let ([run], true) = (range.ranges(), name == "eserv.ini") {
        evidence.push(format!(
            "StartingPassivePort + NoofPassivePorts - 1 = {} + {} - 1 = {}",
            run.start(),
            run.len(),
            run.end()
        ));
    }
    if !missing.is_empty() && !surplus.is_empty() {
        evidence.push(format!("{who} has {surplus} instead"));
    }
    Some(Finding {
        id: FindingId::RangeCountMismatch,
        // A port too many is open to nobody; one too few makes downloads fail by chance.
        severity: if missing.is_empty() {
            Severity::Warning
        } else {
            Severity::Error
        },
        confidence: Confidence::Certain,
        flow: Flow::FtpPassive,
        summary,
        place: if who == "the estate" {
            Place::Server
        } else {
            Place::ServerFirewall
        },
        evidence,
        remedy: remedy(&missing, &surplus, name, who),
        alternatives: Vec::new(),
    })
}

fn remedy(missing: &PortSet, surplus: &PortSet, name: &str, who: &str) -> String {
    let mut steps = Vec::new();
    if !missing.is_empty() {
        steps.push(format!("add {missing} to {who}"));
    }
    if !surplus.is_empty() {
        steps.push(format!("take {surplus} off {who}"));
    }
    format!("{}, or give {name} the same range", steps.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;

    const SERVICES: &str = "10443, 3333, 2222, 2021, 2225";

    #[test]
    fn one_port_too_many_is_a_warning_that_names_it() {
        let mut case = Case::guide();
        case.ini("3023-4022");
        case.list(&format!("{SERVICES}, 3023-4023"));
        let findings = case.with(check);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].severity, Severity::Warning);
        assert!(
            findings[0].summary.ends_with("4023 is nobody's"),
            "{}",
            findings[0].summary
        );
        assert!(
            findings[0].evidence[1].ends_with("3023 + 1000 - 1 = 4022"),
            "{findings:?}"
        );
    }

    #[test]
    fn a_port_too_few_is_an_error() {
        let mut case = Case::guide();
        case.list(&format!("{SERVICES}, 3023-4021"));
        let findings = case.with(check);
        assert_eq!(findings[0].severity, Severity::Error);
        assert!(findings[0].summary.contains(": 4022"), "{}", findings[0].summary);
    }

    #[test]
    fn an_estate_that_says_otherwise_than_its_ini_is_told() {
        let mut case = Case::guide();
        case.ini("3023-4022");
        case.estate.ftp.passive_ports = "3023-3122".parse().unwrap();
        assert_eq!(case.with(check)[0].severity, Severity::Error);
    }

    #[test]
    fn a_hole_for_a_service_is_no_mismatch() {
        let mut case = Case::guide();
        case.ini("3023-4022");
        case.estate.ftp.passive_ports = "3023-3332,3334-4022".parse().unwrap();
        case.list(&format!("{SERVICES}, 3023-3332, 3334-4022"));
        assert!(case.with(check).is_empty());
        // 2225 stands at the range's edge and is a service's all the same.
        case.list(&format!("{SERVICES}, 3023-4022"));
        assert!(case.with(check).is_empty());
    }

    #[test]
    fn without_a_second_statement_there_is_nothing_to_compare() {
        assert!(Case::guide().with(check).is_empty());
        let mut case = Case::guide();
        case.ini("3023-4022");
        assert!(case.with(check).is_empty());
        case.list(SERVICES);
        assert!(case.with(check).is_empty(), "no range at all is another finding");
    }
}
