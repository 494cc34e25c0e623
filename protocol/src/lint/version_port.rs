//! `http-mode-drops-version-port`: the ports for HTTP downloads without the one that clients ask for news.

use super::Statements;
use crate::estate::Mode;
use crate::estate::expectation::{OUTSIDE, SERVER};
use crate::finding::{Confidence, Finding, FindingId, Place, Severity};
use crate::flow::{Expected, Flow};

/// An estate that expects the version port closed where it expects downloads over HTTP to work, or a list that opens the one
/// port and not the other.
pub(super) fn check(said: &Statements) -> Vec<Finding> {
    let estate = said.estate;
    let (version, http) = (estate.ports.version, estate.ports.http);
    if estate.mode != Mode::Http {
        return Vec::new();
    }
    let mut evidence: Vec<String> = said
        .vantages()
        .filter(|vantage| *vantage != SERVER)
        .filter(|vantage| {
            estate.expected(vantage, Flow::Version) == Expected::Closed
                && estate.expected(vantage, Flow::Http) == Expected::Open
        })
        .map(|vantage| format!("expect.{vantage}: version is closed, http is open"))
        .collect();
    let needed = estate.expected(OUTSIDE, Flow::Version) == Expected::Open;
    if let Some(list) = said.port_list
        && needed
        && list.contains(http)
        && !list.contains(version)
    {
        evidence.push(format!("the firewall's list opens {http} and not {version}"));
    }
    if evidence.is_empty() {
        return Vec::new();
    }
    evidence.push(format!(
        "clients ask on {version} whether there is anything new, whatever they download over; the guide's own list for HTTP leaves it out"
    ));
    vec![Finding {
        id: FindingId::HttpModeDropsVersionPort,
        severity: Severity::Error,
        confidence: Confidence::Certain,
        flow: Flow::Version,
        summary: format!("the ports for downloads over HTTP lack {version}: clients never learn of an update"),
        place: Place::ServerFirewall,
        evidence,
        remedy: format!("open {version} as well"),
        alternatives: Vec::new(),
    }]
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;

    fn http() -> Case {
        let mut case = Case::guide();
        case.estate.mode = Mode::Http;
        case
    }

    #[test]
    fn the_guides_list_for_http_lacks_the_version_port() {
        let mut case = http();
        case.list("10443, 2221, 2222, 2225");
        let findings = case.with(check);
        assert_eq!(findings[0].id, FindingId::HttpModeDropsVersionPort);
        assert_eq!(findings[0].severity, Severity::Error);
    }

    #[test]
    fn an_expectation_that_closes_it_is_found_without_a_list() {
        let mut case = http();
        let outside = case.estate.expect.entry(OUTSIDE.to_owned()).or_default();
        outside.insert(Flow::Version, Expected::Closed);
        assert_eq!(case.with(check).len(), 1);
    }

    #[test]
    fn with_the_port_on_the_list_or_where_nobody_minds_all_is_well() {
        let mut case = http();
        case.list("10443, 2221, 2222, 2225, 3333");
        assert!(case.with(check).is_empty());
        case.list("2221");
        let outside = case.estate.expect.entry(OUTSIDE.to_owned()).or_default();
        outside.insert(Flow::Version, Expected::Any);
        assert!(case.with(check).is_empty());
    }

    #[test]
    fn without_a_list_and_in_ftp_mode_nothing_is_said() {
        assert!(http().with(check).is_empty());
        let mut case = Case::guide();
        case.list("10443, 2221, 2222, 2225");
        assert!(case.with(check).is_empty());
    }
}
