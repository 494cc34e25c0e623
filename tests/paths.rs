//! Real rulesets in the real kernel, between a real server and a real client: what the report says besides the cause.
//! That it names the cause of every path of the zoo is tests/rehearse.rs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use fwdrill_protocol::finding::{Confidence, Finding};
use fwdrill_protocol::report::{Report, State, Verdict};
use serde_json::Value;
use support::{required, run, stderr};

/// What differs from a firewall that is right.
struct Path {
    /// Routed, or a DNAT of 203.0.113.2 to the server.
    nat: bool,
    /// What the forward chain does with the passive range and the rest, before it accepts the plan.
    before: &'static str,
    /// The ports it accepts (and, with NAT, forwards).
    ports: &'static str,
    /// More lines of the scenario.
    more: &'static str,
    probe: &'static [&'static str],
}

const PLAN: &str = "2021, 2221, 2222, 2225, 3333, 3023-4022";

impl Default for Path {
    fn default() -> Self {
        Path {
            nat: false,
            before: "",
            ports: PLAN,
            more: "",
            probe: &[],
        }
    }
}

impl Path {
    /// The path as a scenario (docs/REHEARSE.md).
    fn scenario(&self) -> String {
        let Path {
            before, ports, more, ..
        } = self;
        let (extends, nat) = if self.nat {
            let rule = format!("iifname wan ip daddr 203.0.113.2 tcp dport {{ {ports} }} dnat to 10.20.0.10;");
            (
                "dnat",
                format!("chain translated {{ type nat hook prerouting priority dstnat; {rule} }}"),
            )
        } else {
            ("routed", String::new())
        };
        let probe = [&["--timeout=1.5"], self.probe].concat();
        format!(
            "title = 'a path of a test'\nextends = '{extends}'\nexpect = []\nprobe.args = {probe:?}\n{more}\n\
             [firewall.fw]\nbase = 'none'\nmore = \"\"\"\ntable ip lab {{\n{nat}\n\
             chain forwarded {{ type filter hook forward priority filter; policy drop;\n\
             ct state established,related accept\n iifname lan accept\n {before}\n tcp dport {{ {ports} }} accept\n }}\n\
             chain incoming {{ type filter hook input priority filter; policy drop; ct state established,related accept; icmp type echo-request accept; }}\n\
             }}\n\"\"\"\n"
        )
    }

    /// What the client says of it.
    fn report(&self) -> Report {
        required("ip");
        required("nft");
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("path.toml");
        std::fs::write(&file, self.scenario()).unwrap();
        let output = run(["rehearse".as_ref(), "--format=json".as_ref(), file.as_os_str()]);
        let mut result: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
        let report = result["paths"][0]["both_ends"]["report"].take();
        serde_json::from_value(report).unwrap_or_else(|error| panic!("{error}: {result:#}"))
    }

    /// The one finding of a path with one fault.
    fn finding(&self) -> (Finding, Report) {
        let report = self.report();
        assert_eq!(report.verdict, Verdict::Fail, "{report:#?}");
        assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
        (report.findings[0].clone(), report)
    }
}

fn id(finding: &Finding) -> &'static str {
    finding.id.name()
}

#[test]
fn a_routed_firewall_that_is_right_passes() {
    let report = Path {
        probe: &["--full-range"],
        ..Path::default()
    }
    .report();
    assert_eq!(
        (report.verdict, report.findings.len(), report.both_ends),
        (Verdict::Pass, 0, true),
        "{report:#?}"
    );
    assert_eq!(report.passive_range.unwrap().open.to_string(), "3023-3332,3334-4022");
}

#[test]
fn a_nat_that_is_right_passes() {
    let report = Path {
        nat: true,
        ..Path::default()
    }
    .report();
    assert_eq!(
        (report.verdict, report.findings.len(), report.both_ends),
        (Verdict::Pass, 0, true),
        "{report:#?}"
    );
}

#[test]
fn a_dropped_control_port_is_named_and_nothing_else() {
    let (finding, report) = Path {
        before: "tcp dport 2021 drop",
        ..Path::default()
    }
    .finding();
    assert_eq!((id(&finding), finding.flow.name()), ("port-dropped", "ftp-control"));
    assert!(finding.remedy.contains("2021"));
    // The server's host saw nothing of it, and there is no NAT: only the firewall is left.
    assert_eq!(
        (finding.confidence, finding.alternatives.len()),
        (Confidence::Certain, 0)
    );
    assert!(finding.remedy.contains("203.0.113.2 (hop 2)"), "{}", finding.remedy);
    assert_eq!(report.flows[1].state, State::Unknown);
}

#[test]
fn an_administrative_prohibition_names_the_firewall_that_sent_it() {
    let (finding, _) = Path {
        before: "tcp dport 3333 reject with icmp type admin-prohibited",
        ..Path::default()
    }
    .finding();
    assert_eq!(
        (id(&finding), finding.confidence),
        ("port-rejected", Confidence::Certain)
    );
    assert!(finding.remedy.contains("203.0.113.2"), "{}", finding.remedy);
}

#[test]
fn the_default_reject_is_no_closed_port() {
    // ICMP port unreachable: connect(2) says "connection refused", as for a RST.
    let (finding, report) = Path {
        before: "tcp dport 2225 reject",
        ..Path::default()
    }
    .finding();
    assert_eq!(
        (id(&finding), finding.confidence),
        ("port-rejected", Confidence::Certain)
    );
    assert!(
        report
            .flows
            .iter()
            .any(|flow| flow.flow.name() == "events" && flow.state == State::Filtered)
    );
}

#[test]
fn a_forged_reset_on_a_port_that_the_server_listens_on_is_a_rejection() {
    let (finding, _) = Path {
        before: "tcp dport 2225 reject with tcp reset",
        ..Path::default()
    }
    .finding();
    assert_eq!(id(&finding), "port-rejected");
    assert!(
        finding
            .evidence
            .iter()
            .any(|line| line.contains("it was made at hop 2"))
    );
}

#[test]
fn a_dropped_range_is_blocked() {
    for nat in [false, true] {
        let (finding, report) = Path {
            nat,
            before: "tcp dport 3400-4022 drop",
            ports: "2021, 2221, 2222, 2225, 3333",
            ..Path::default()
        }
        .finding();
        // With NAT these ports are not forwarded either: the packets die one hop before the server.
        let expected = if nat {
            "passive-range-not-forwarded"
        } else {
            "passive-range-blocked"
        };
        assert_eq!(id(&finding), expected);
        assert_eq!(report.passive_range.unwrap().open.len(), 0);
    }
}

#[test]
fn a_range_answered_with_resets_is_rejected() {
    let (finding, _) = Path {
        before: "tcp dport { 3023-3332, 3334-4022 } reject with tcp reset",
        ..Path::default()
    }
    .finding();
    assert_eq!(id(&finding), "passive-range-rejected");
}

#[test]
fn half_a_range_is_partial_with_the_very_ports() {
    let (finding, report) = Path {
        ports: "2021, 2221, 2222, 2225, 3333, 3023-3122",
        probe: &["--full-range"],
        ..Path::default()
    }
    .finding();
    assert_eq!(
        (id(&finding), finding.confidence),
        ("passive-range-partial", Confidence::Certain)
    );
    let range = report.passive_range.unwrap();
    assert_eq!(
        (range.open.to_string(), range.blocked.to_string()),
        ("3023-3122".to_owned(), "3123-3332,3334-4022".to_owned())
    );
}

#[test]
fn behind_a_nat_the_servers_own_address_in_the_227_is_private() {
    let (finding, _) = Path {
        nat: true,
        more: "[server.set]\n'ftp.advertised_address' = '10.20.0.10'",
        ..Path::default()
    }
    .finding();
    assert_eq!(
        (id(&finding), finding.confidence),
        ("advertised-address-private", Confidence::Certain)
    );
    assert!(
        finding.evidence[0].contains("10,20,0,10") && finding.remedy.contains("203.0.113.2"),
        "{finding:#?}"
    );
}

#[test]
fn a_system_port_let_through_is_an_exposure_that_the_server_confirms() {
    let (finding, _) = Path {
        ports: "2021, 2221, 2222, 2225-2226, 3333, 3023-4022",
        ..Path::default()
    }
    .finding();
    assert_eq!(
        (id(&finding), finding.flow.name(), finding.confidence),
        ("forbidden-port-open", "system", Confidence::Certain)
    );
}

#[test]
fn two_faults_are_two_findings() {
    let report = Path {
        before: "tcp dport 2225 reject with icmp type admin-prohibited",
        ports: "2021, 2221, 2222, 2225, 3333",
        ..Path::default()
    }
    .report();
    let mut found: Vec<&str> = report.findings.iter().map(id).collect();
    found.sort_unstable();
    assert_eq!(found, ["passive-range-blocked", "port-rejected"]);
}

#[test]
fn everything_dropped_is_one_finding_and_the_range_is_not_blamed() {
    let (finding, report) = Path {
        before: "drop",
        ..Path::default()
    }
    .finding();
    assert_eq!(
        (id(&finding), finding.confidence),
        ("source-blocked", Confidence::Possible)
    );
    assert!(!report.both_ends);
}
