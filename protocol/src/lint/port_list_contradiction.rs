//! `port-list-contradiction`: two statements about a port that cannot both hold.

use super::{Statements, ports};
use crate::estate::expectation::{OUTSIDE, SERVER};
use crate::estate::port_set::PortSet;
use crate::estate::{Estate, Mode};
use crate::finding::{Confidence, Finding, FindingId, Place, Severity};
use crate::flow::{Expected, Flow};

/// Two services on one port are no finding but a mistake of the configuration: no server could start.
pub(super) fn check(said: &Statements) -> Vec<Finding> {
    let mut findings = Vec::new();
    for vantage in said.vantages().filter(|vantage| *vantage != SERVER) {
        findings.extend(service_that_is_off(said.estate, vantage));
        findings.extend(system_port_open(said.estate, vantage));
        findings.extend(nothing_to_download_over(said.estate, vantage));
    }
    if let Some(list) = said.port_list {
        findings.extend(not_on_the_list(said.estate, list));
        findings.extend(to_be_closed(said.estate, list));
    }
    findings
}

/// FTP is off and expected open.
fn service_that_is_off(estate: &Estate, vantage: &str) -> Option<Finding> {
    let flow = [Flow::FtpControl, Flow::FtpPassive]
        .into_iter()
        .find(|flow| estate.expected(vantage, *flow) == Expected::Open)?;
    if estate.ftp.enabled {
        return None;
    }
    Some(contradiction(
        Severity::Error,
        flow,
        format!(
            "{} is expected open from {vantage}, and ftp.enabled is false",
            flow.title()
        ),
        vec![format!(
            "expect.{vantage}.{} = \"open\", ftp.enabled = false",
            flow.key()
        )],
        "switch FTP on, or expect it closed".to_owned(),
    ))
}

/// "This port need NOT be allowed/opened on firewall."
fn system_port_open(estate: &Estate, vantage: &str) -> Vec<Finding> {
    [Flow::System, Flow::SelfEvents]
        .into_iter()
        .filter(|flow| estate.expected(vantage, *flow) == Expected::Open)
        .map(|flow| {
            let port = estate.port(flow).unwrap_or_default();
            contradiction(
                Severity::Warning,
                flow,
                format!("{port} is expected open from {vantage}, and only the server's own host has business there"),
                vec![format!(
                    "the guide of {port}: \"This port need NOT be allowed/opened on firewall\""
                )],
                format!("expect.{vantage}.{} = \"closed\"", flow.key()),
            )
        })
        .collect()
}

/// Clients of this vantage may ask for news and get none of it: every way to download is expected closed.
fn nothing_to_download_over(estate: &Estate, vantage: &str) -> Option<Finding> {
    let closed = |flow| estate.expected(vantage, flow) == Expected::Closed;
    let over_ftp = !closed(Flow::FtpControl) && !closed(Flow::FtpPassive) && estate.ftp.enabled;
    let (needed, instead) = match estate.mode {
        Mode::Ftp => (over_ftp, estate.expected(vantage, Flow::Http) == Expected::Open),
        Mode::Http => (
            !closed(Flow::Http),
            estate.ftp.enabled && estate.expected(vantage, Flow::FtpPassive) == Expected::Open,
        ),
    };
    if needed || instead || estate.expected(vantage, Flow::Version) != Expected::Open {
        return None;
    }
    let flows: &[Flow] = match estate.mode {
        Mode::Ftp => &[Flow::FtpControl, Flow::FtpPassive],
        Mode::Http => &[Flow::Http],
    };
    let wrong = *flows.iter().find(|flow| closed(**flow))?;
    let (mode, title) = match estate.mode {
        Mode::Ftp => ("ftp", wrong.title()),
        Mode::Http => ("http", wrong.title()),
    };
    Some(contradiction(
        Severity::Error,
        wrong,
        format!("clients at {vantage} are to update over {mode}, and the {title} is expected closed there"),
        vec![format!(
            "mode = \"{mode}\", expect.{vantage}.version = \"open\", expect.{vantage}.{} = \"closed\"",
            wrong.key()
        )],
        format!("expect it open; or expect the version port closed at {vantage} too, if no client stands there"),
    ))
}

/// What must be open and the firewall's list does not open. The version port of HTTP mode is a finding of its own, and so is
/// a part of the range.
fn not_on_the_list(estate: &Estate, list: &PortSet) -> Option<Finding> {
    let open = |flow: &Flow| estate.expected(OUTSIDE, *flow) == Expected::Open;
    let range = estate.handed_out_ports();
    let dropped_by_guide =
        |flow: &Flow| *flow == Flow::Version && estate.mode == Mode::Http && list.contains(estate.ports.http);
    let lacks = |flow: &Flow| match estate.port(*flow) {
        // The kernel's choice is on no list.
        Some(0) => false,
        Some(port) => !list.contains(port),
        None => !range.is_empty() && !range.iter().any(|port| list.contains(port)),
    };
    let missing: Vec<Flow> = estate
        .flows()
        .filter(open)
        .filter(|flow| !dropped_by_guide(flow))
        .filter(lacks)
        .collect();
    let first = *missing.first()?;
    let named: Vec<String> = missing.iter().map(|flow| named(estate, *flow)).collect();
    let mut evidence: Vec<String> = missing
        .iter()
        .map(|flow| format!("{} is expected open from {OUTSIDE}", named_with_title(estate, *flow)))
        .collect();
    evidence.push(format!("the firewall's list: {list}"));
    let other = match estate.mode {
        Mode::Ftp if !list.contains(estate.ftp.port) && list.contains(estate.ports.http) => {
            " (it is the list for downloads over HTTP: is mode = \"http\" meant?)"
        }
        Mode::Http if !list.contains(estate.ports.http) && list.contains(estate.ftp.port) => {
            " (it is the list for downloads over FTP: is mode = \"ftp\" meant?)"
        }
        _ => "",
    };
    Some(contradiction(
        Severity::Error,
        first,
        format!("the firewall's list lacks {}{other}", named.join(", ")),
        evidence,
        format!(
            "open {} as well, or say that nobody needs it: expect.{OUTSIDE}",
            named.join(", ")
        ),
    ))
}

/// What must be closed and the firewall's list opens.
fn to_be_closed(estate: &Estate, list: &PortSet) -> Option<Finding> {
    let exposed: Vec<Flow> = estate
        .flows()
        .filter(|flow| estate.expected(OUTSIDE, *flow) == Expected::Closed)
        .filter(|flow| match estate.port(*flow) {
            Some(port) => list.contains(port),
            None => estate.handed_out_ports().iter().any(|port| list.contains(port)),
        })
        .collect();
    let first = *exposed.first()?;
    let named: Vec<String> = exposed.iter().map(|flow| named(estate, *flow)).collect();
    Some(contradiction(
        Severity::Error,
        first,
        format!("the firewall's list opens {}, which is to be closed", named.join(", ")),
        exposed
            .iter()
            .map(|flow| format!("{} is expected closed from {OUTSIDE}", named_with_title(estate, *flow)))
            .collect(),
        format!("take {} off the list", named.join(", ")),
    ))
}

fn named(estate: &Estate, flow: Flow) -> String {
    match estate.port(flow) {
        Some(port) => port.to_string(),
        None => {
            let range = estate.handed_out_ports();
            format!("the passive range {range} ({})", ports(range.len()))
        }
    }
}

fn named_with_title(estate: &Estate, flow: Flow) -> String {
    match estate.port(flow) {
        Some(port) => format!("{port} ({})", flow.title()),
        None => named(estate, flow),
    }
}

fn contradiction(severity: Severity, flow: Flow, summary: String, evidence: Vec<String>, remedy: String) -> Finding {
    Finding {
        id: FindingId::PortListContradiction,
        severity,
        confidence: Confidence::Certain,
        flow,
        summary,
        // Which of the two is meant, only their author knows.
        place: Place::Unknown,
        evidence,
        remedy,
        alternatives: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;

    fn expecting(flows: &[(&str, Flow, Expected)]) -> Case {
        let mut case = Case::healthy();
        for (vantage, flow, expected) in flows {
            let vantage = case.estate.expect.entry((*vantage).to_owned()).or_default();
            vantage.insert(*flow, *expected);
        }
        case
    }

    fn summaries(case: &Case) -> Vec<String> {
        case.with(check).into_iter().map(|finding| finding.summary).collect()
    }

    #[test]
    fn a_service_that_is_off_and_expected_open_is_an_error() {
        let mut case = expecting(&[("branch", Flow::FtpControl, Expected::Open)]);
        case.estate.mode = Mode::Http;
        assert!(summaries(&case).is_empty());
        case.estate.ftp.enabled = false;
        assert_eq!(
            summaries(&case),
            ["FTP control connection is expected open from branch, and ftp.enabled is false"]
        );
    }

    #[test]
    fn a_system_port_expected_open_is_a_warning_but_not_on_the_server_itself() {
        let case = expecting(&[(OUTSIDE, Flow::System, Expected::Open)]);
        assert_eq!(case.with(check)[0].severity, Severity::Warning);
        assert!(summaries(&expecting(&[(SERVER, Flow::System, Expected::Open)])).is_empty());
    }

    #[test]
    fn a_vantage_that_may_ask_for_news_and_never_download_is_an_error() {
        let case = expecting(&[("branch", Flow::FtpPassive, Expected::Closed)]);
        assert_eq!(
            summaries(&case),
            ["clients at branch are to update over ftp, and the FTP passive data is expected closed there"]
        );
    }

    #[test]
    fn a_vantage_without_clients_or_with_another_way_to_download_is_well() {
        let internet = expecting(&[
            ("internet", Flow::FtpControl, Expected::Closed),
            ("internet", Flow::Version, Expected::Closed),
        ]);
        assert!(summaries(&internet).is_empty());
        let over_http = expecting(&[
            ("branch", Flow::FtpControl, Expected::Closed),
            ("branch", Flow::Http, Expected::Open),
        ]);
        assert!(summaries(&over_http).is_empty());
        let helped = expecting(&[("branch", Flow::FtpPassive, Expected::Any)]);
        assert!(summaries(&helped).is_empty(), "an FTP helper may open the range");
    }

    #[test]
    fn a_list_that_lacks_a_port_is_an_error_that_names_it() {
        let mut case = Case::healthy();
        case.list("10443, 3333, 2222, 2021");
        assert_eq!(
            summaries(&case),
            ["the firewall's list lacks the passive range 3334-4333 (1000 ports), 2225"]
        );
        case.list("10443, 3333, 2222, 2021, 2225, 3334-4333");
        assert!(summaries(&case).is_empty());
    }

    #[test]
    fn the_list_of_the_other_mode_is_recognised() {
        let mut case = Case::healthy();
        case.list("10443, 2221, 2222, 2225, 3333");
        assert!(
            summaries(&case)[0].contains("is mode = \"http\" meant?"),
            "{:?}",
            summaries(&case)
        );
    }

    #[test]
    fn a_list_that_opens_what_is_to_be_closed_is_an_error() {
        let mut case = Case::healthy();
        case.list("10443, 3333, 2222, 2021, 2225, 2226, 3334-4333");
        assert_eq!(
            summaries(&case),
            ["the firewall's list opens 2226, which is to be closed"]
        );
    }

    #[test]
    fn without_a_list_and_without_expectations_nothing_is_said() {
        assert!(summaries(&Case::guide()).is_empty());
    }
}
