//! What is wrong with an estate before any packet is sent: its own contradictions, and those between it, an `eserv.ini` and
//! the list of ports that a firewall is asked to open.
//!
//! A rule reads [`Statements`] and returns findings. To add one: a file beside this one, and a line in `RULES`. What nobody
//! said is never taken for wrong.

mod advertised_address;
mod ephemeral;
pub mod port_list;
mod port_list_contradiction;
mod range_count;
mod range_size;
mod service_port;
pub mod sizing;
#[cfg(test)]
mod testing;
mod version_port;

use crate::estate::Estate;
use crate::estate::expectation::OUTSIDE;
use crate::estate::port_set::PortSet;
use crate::finding::Finding;
use crate::flow::{Expected, Flow};

pub use ephemeral::{Ephemeral, Source};

/// What was said about one update server, by whom ever.
#[derive(Debug, Clone)]
pub struct Statements<'a> {
    /// The estate, all its layers merged.
    pub estate: &'a Estate,
    /// The passive range of an `eserv.ini`, as that file alone states it; `None` without such a file or such a range.
    pub eserv_ini: Option<&'a PortSet>,
    /// The ports that the firewall opens from outside, where somebody gave the list.
    pub port_list: Option<&'a PortSet>,
    /// The ports for outgoing connections, of every host that may be the server's. Empty: not known.
    pub ephemeral: &'a [Ephemeral],
}

impl Statements<'_> {
    /// Whether any client needs the passive range.
    fn needs_passive_range(&self) -> bool {
        self.estate.ftp.enabled
            && self
                .vantages()
                .any(|vantage| self.estate.expected(vantage, Flow::FtpPassive) == Expected::Open)
    }

    /// The vantages that the estate speaks of; [`OUTSIDE`] is always one.
    fn vantages(&self) -> impl Iterator<Item = &str> {
        let named = self.estate.expect.keys().map(String::as_str);
        [OUTSIDE].into_iter().chain(named.filter(|name| *name != OUTSIDE))
    }
}

type Rule = fn(&Statements) -> Vec<Finding>;

/// Every rule. Their order decides between findings that are equally bad and equally sure.
const RULES: &[Rule] = &[
    range_count::check,
    version_port::check,
    port_list_contradiction::check,
    advertised_address::check,
    range_size::check,
    service_port::check,
    ephemeral::check,
];

/// What is wrong, worst first. Pure.
pub fn lint(statements: &Statements) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(statements)).collect();
    findings.sort_by_key(|finding| (finding.severity, finding.confidence));
    findings
}

/// "one port", "7 ports".
fn ports(count: usize) -> String {
    match count {
        1 => "one port".to_owned(),
        count => format!("{count} ports"),
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Case, names};
    use crate::estate::Mode;
    use crate::finding::Severity;

    #[test]
    fn an_estate_whose_parts_fit_gives_nothing() {
        let mut case = Case::healthy();
        assert_eq!(names(&case.lint()), [""; 0]);
        case.ini("3334-4333");
        case.list("10443, 3333, 2222, 2021, 2225, 3334-4333");
        case.ephemeral(32768, 60999);
        assert_eq!(names(&case.lint()), [""; 0]);
    }

    #[test]
    fn the_guides_estate_gives_a_note_and_no_more() {
        let findings = Case::guide().lint();
        assert_eq!(names(&findings), ["range-contains-service-port"]);
        assert_eq!(findings[0].severity, Severity::Info);
    }

    /// The guide's eserv.ini beside its first list of ports.
    #[test]
    fn the_guides_own_example_has_one_port_too_many_and_the_version_port_in_the_range() {
        let mut case = Case::guide();
        case.ini("3023-4022");
        case.list("10443, 3333, 2222, 2021, 2225, 3023-4023");
        assert_eq!(
            names(&case.lint()),
            ["range-count-mismatch", "range-contains-service-port"]
        );
    }

    #[test]
    fn the_guides_second_list_drops_the_version_port() {
        let mut case = Case::guide();
        case.estate.mode = Mode::Http;
        case.list("10443, 2221, 2222, 2225");
        assert_eq!(names(&case.lint()), ["http-mode-drops-version-port"]);
    }
}
