//! `range-in-ephemeral-ports`: passive ports that the system may give to outgoing connections.

use super::{Statements, ports};
use crate::estate::port_set::PortSet;
use crate::finding::{Confidence, Finding, FindingId, Place, Severity};
use crate::flow::Flow;

/// The local ports that a system takes for outgoing connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ephemeral {
    /// Those ports, less what is reserved.
    pub ports: PortSet,
    /// Where that is known from.
    pub source: Source,
}

/// Who says which ports are for outgoing connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The kernel of the host that the program runs on: `net.ipv4.ip_local_port_range` less `ip_local_reserved_ports`
    /// (Linux, Documentation/networking/ip-sysctl.rst).
    ThisHost,
    /// Microsoft's default since Windows Vista and Server 2008; an `eserv.ini` is read on Windows.
    WindowsDefault,
}

impl Ephemeral {
    /// 49152-65535.
    pub fn windows_default() -> Self {
        Ephemeral {
            ports: PortSet::range(49152, 65535),
            source: Source::WindowsDefault,
        }
    }
}

pub(super) fn check(said: &Statements) -> Vec<Finding> {
    if !said.needs_passive_range() {
        return Vec::new();
    }
    let estate = &said.estate;
    let range = estate.renumbering().all_listened(&estate.handed_out_ports());
    let overlaps: Vec<(&Ephemeral, PortSet)> = said
        .ephemeral
        .iter()
        .map(|ephemeral| (ephemeral, shared(&range, &ephemeral.ports)))
        .filter(|(_, shared)| !shared.is_empty())
        .collect();
    let Some((_, most)) = overlaps.iter().max_by_key(|(_, shared)| shared.len()) else {
        return Vec::new();
    };
    vec![Finding {
        id: FindingId::RangeInEphemeralPorts,
        severity: Severity::Warning,
        // Whose host the server's is, and what is set there, is not known here.
        confidence: Confidence::Likely,
        flow: Flow::FtpPassive,
        summary: format!(
            "{} of the passive range may be taken by the host's own outgoing connections: {most}",
            ports(most.len())
        ),
        place: Place::ServerHost,
        evidence: overlaps
            .iter()
            .map(|(ephemeral, shared)| evidence(ephemeral, shared))
            .collect(),
        remedy: remedy(&overlaps, most),
        alternatives: Vec::new(),
    }]
}

/// Below all of these ports no host's settings matter.
fn remedy(overlaps: &[(&Ephemeral, PortSet)], shared: &PortSet) -> String {
    let lowest = overlaps
        .iter()
        .filter_map(|(ephemeral, _)| ephemeral.ports.first())
        .min();
    let commands: Vec<String> = (shared.ranges().iter())
        .map(|run| format!("startport={} numberofports={}", run.start(), run.len()))
        .collect();
    format!(
        "end the range below {}, or keep the system away from it: net.ipv4.ip_local_reserved_ports={shared} on Linux, \
         netsh int ipv4 add excludedportrange protocol=tcp {} on Windows",
        lowest.unwrap_or_default(),
        commands.join(", again with ")
    )
}

fn evidence(ephemeral: &Ephemeral, shared: &PortSet) -> String {
    let Ephemeral { ports, source } = ephemeral;
    match source {
        Source::ThisHost => format!("this host takes {ports} for outgoing connections: {shared} is in both"),
        Source::WindowsDefault => {
            format!("Windows takes {ports} for outgoing connections unless told otherwise: {shared} is in both")
        }
    }
}

fn shared(range: &PortSet, other: &PortSet) -> PortSet {
    range.iter().filter(|port| other.contains(*port)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;

    fn range(ports: &str) -> Case {
        let mut case = Case::guide();
        case.estate.ftp.passive_ports = ports.parse().unwrap();
        case.ephemeral(32768, 60999);
        case
    }

    #[test]
    fn a_range_that_reaches_into_the_ephemeral_ports_is_a_warning() {
        let findings = range("32700-32800").with(check);
        assert_eq!(findings[0].severity, Severity::Warning);
        assert!(findings[0].summary.ends_with("32768-32800"), "{}", findings[0].summary);
        let remedy = &findings[0].remedy;
        assert!(
            remedy.contains("below 32768") && remedy.contains("startport=32768 numberofports=33"),
            "{remedy}"
        );
    }

    #[test]
    fn a_range_that_ends_just_below_them_is_well() {
        assert!(range("32700-32767").with(check).is_empty());
        assert!(range("3023-4022").with(check).is_empty());
    }

    #[test]
    fn where_the_hosts_ports_are_not_known_nothing_is_said() {
        let mut case = Case::guide();
        case.estate.ftp.passive_ports = "40000-40099".parse().unwrap();
        assert!(case.with(check).is_empty());
    }

    #[test]
    fn each_system_is_named_with_what_it_takes() {
        let mut case = range("50000-50009");
        case.ephemeral.push(Ephemeral::windows_default());
        let findings = case.with(check);
        assert_eq!(findings[0].evidence.len(), 2);
        assert!(
            findings[0].evidence[1].contains("Windows takes 49152-65535"),
            "{findings:?}"
        );
    }
}
