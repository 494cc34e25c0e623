//! `range-too-small`: fewer passive ports than clients that update at once.

use super::sizing::{Sizing, free_range};
use super::{Statements, ports};
use crate::finding::{Confidence, Finding, FindingId, Place, Severity};
use crate::flow::Flow;

/// Only a range of the estate's own has a size: an empty one is whatever the system gives.
pub(super) fn check(said: &Statements) -> Vec<Finding> {
    let estate = said.estate;
    let need = Sizing::of(estate.clients);
    let usable = estate.handed_out_ports();
    if !said.needs_passive_range() || usable.is_empty() || usable.len() >= need.ports() {
        return Vec::new();
    }
    let mut evidence = vec![
        format!("{need}"),
        format!("the passive range is {usable}: {}", ports(usable.len())),
    ];
    if said.eserv_ini.is_some() {
        let resting = Sizing::resting(estate.clients);
        evidence.push(format!(
            "a server that cannot use a port again while it rests needs more: {resting}"
        ));
    }
    vec![Finding {
        id: FindingId::RangeTooSmall,
        // Who is turned away tries again later: it works, but not well.
        severity: Severity::Warning,
        confidence: Confidence::Certain,
        flow: Flow::FtpPassive,
        summary: format!(
            "{} for {} clients that update at once: when they come together, some are turned away",
            ports(usable.len()),
            estate.clients
        ),
        place: Place::Server,
        evidence,
        remedy: remedy(said, need.ports()),
        alternatives: Vec::new(),
    }]
}

/// Where the range begins already, if there is room.
fn remedy(said: &Statements, needed: usize) -> String {
    let first = said.estate.ftp.passive_ports.first().unwrap_or_default();
    let range = free_range(said.estate, first, needed).map_or_else(
        || format!("{} or more", ports(needed)),
        |range| {
            let (first, last) = (range.start(), range.end());
            match said.eserv_ini {
                Some(_) => format!(
                    "{} or more: StartingPassivePort={first} and NoofPassivePorts={needed}, which is {first}-{last}",
                    ports(needed)
                ),
                None => format!("{} or more: {first}-{last}", ports(needed)),
            }
        },
    );
    format!("give the range {range}, on the server and in every firewall, or let fewer clients come at once")
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;
    use crate::estate::Mode;
    use crate::estate::port_set::PortSet;

    #[test]
    fn fewer_ports_than_clients_are_too_few_and_the_sum_is_shown() {
        let mut case = Case::healthy();
        case.estate.clients = 1001;
        let findings = case.with(check);
        assert_eq!(findings[0].id, FindingId::RangeTooSmall);
        assert_eq!(
            findings[0].evidence[0],
            "1001 clients x (1 port held + 0 resting in TIME_WAIT) = 1001 ports"
        );
        assert!(findings[0].remedy.contains("3334-4334"), "{findings:?}");
    }

    #[test]
    fn a_port_for_each_client_is_enough() {
        let mut case = Case::healthy();
        case.estate.clients = 1000;
        assert!(case.with(check).is_empty());
    }

    #[test]
    fn ports_of_other_services_do_not_count() {
        let mut case = Case::guide();
        case.estate.clients = 1000;
        assert_eq!(case.with(check).len(), 1, "3333 is not handed out");
    }

    #[test]
    fn without_a_range_of_its_own_or_without_ftp_there_is_nothing_to_count() {
        let mut case = Case::healthy();
        case.estate.clients = 5000;
        case.estate.ftp.passive_ports = PortSet::default();
        assert!(case.with(check).is_empty());
        let mut case = Case::healthy();
        case.estate.clients = 5000;
        case.estate.mode = Mode::Http;
        assert!(case.with(check).is_empty());
    }
}
