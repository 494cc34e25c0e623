//! Real rulesets in the real kernel, between a real server and a real client: does the report name the cause?
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::Command;

use fwdrill_protocol::finding::{Confidence, Finding};
use fwdrill_protocol::report::{Report, State, Verdict};
use support::{required, stderr};

/// What differs from a firewall that is right.
struct Path {
    /// Routed, or a DNAT of 203.0.113.2 to the server.
    nat: bool,
    /// What the forward chain does with the passive range and the rest, before it accepts the plan.
    before: &'static str,
    /// The ports it accepts (and, with NAT, forwards).
    ports: &'static str,
    serve: &'static [&'static str],
    probe: &'static [&'static str],
}

const PLAN: &str = "2021, 2221, 2222, 2225, 3333, 10443, 3023-4022";

impl Default for Path {
    fn default() -> Self {
        Path {
            nat: false,
            before: "",
            ports: PLAN,
            serve: &[],
            probe: &[],
        }
    }
}

impl Path {
    fn ruleset(&self) -> String {
        let Path { before, ports, .. } = self;
        // The internet routes no private addresses.
        let nat = if self.nat {
            format!(
                "chain c_raw {{ type filter hook prerouting priority raw; iifname wan ip daddr 10.0.0.0/8 drop; }}\nchain c_pre {{ type nat hook prerouting priority dstnat; iifname wan ip daddr 203.0.113.2 tcp dport {{ {ports} }} dnat to 10.20.0.10; }}\n"
            )
        } else {
            String::new()
        };
        format!(
            "table ip lab {{\n{nat}\
             chain c_fwd {{ type filter hook forward priority filter; policy drop;\n\
             ct state established,related accept\n iifname lan accept\n {before}\n tcp dport {{ {ports} }} accept\n }}\n\
             chain c_inp {{ type filter hook input priority filter; policy drop; ct state established,related accept; icmp type echo-request accept; }}\n}}\n"
        )
    }

    fn report(&self) -> (Option<i32>, Report) {
        for program in ["unshare", "ip", "nft", "mount"] {
            required(program);
        }
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text).unwrap();
        write("fw.nft", self.ruleset());
        let host = if self.nat { "203.0.113.2" } else { "10.20.0.10" };
        // 10.20.0.10 is no loopback, and the server is told what clients dial where there is a NAT.
        let advertised = if self.nat && self.serve.is_empty() {
            "--set=ftp.advertised_address=203.0.113.2"
        } else {
            ""
        };
        write(
            "serve",
            [advertised]
                .iter()
                .chain(self.serve)
                .copied()
                .collect::<Vec<_>>()
                .join("\n"),
        );
        let probe = [host, "--format=json", "--timeout=1.5"];
        write(
            "probe",
            probe.iter().chain(self.probe).copied().collect::<Vec<_>>().join("\n"),
        );
        let lab = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/paths/lab.sh");
        let mut command = Command::new("unshare");
        command.args([
            "--user",
            "--map-root-user",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            lab,
        ]);
        command.arg(env!("CARGO_BIN_EXE_fwdrill")).arg(directory.path());
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let output = command.output().unwrap();
        let report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", stderr(&output), self.ruleset()));
        (output.status.code(), report)
    }

    /// The one finding of a path with one fault.
    fn finding(&self) -> (Finding, Report) {
        let (code, report) = self.report();
        assert_eq!((code, report.verdict), (Some(1), Verdict::Fail), "{report:#?}");
        assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
        (report.findings[0].clone(), report)
    }
}

fn id(finding: &Finding) -> &'static str {
    finding.id.name()
}

#[test]
fn a_routed_firewall_that_is_right_passes() {
    let (code, report) = Path {
        probe: &["--full-range"],
        ..Path::default()
    }
    .report();
    assert_eq!(
        (code, report.findings.len(), report.both_ends),
        (Some(0), 0, true),
        "{report:#?}"
    );
    assert_eq!(report.passive_range.unwrap().open.to_string(), "3023-3332,3334-4022");
}

#[test]
fn a_nat_that_is_right_passes() {
    let (code, report) = Path {
        nat: true,
        ..Path::default()
    }
    .report();
    assert_eq!(
        (code, report.findings.len(), report.both_ends),
        (Some(0), 0, true),
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
    // What cannot be told apart yet is said.
    assert!(finding.alternatives.iter().any(|id| id.name() == "return-path-broken"));
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
    assert!(finding.remedy.contains("198.51.100.1"), "{}", finding.remedy);
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
            .any(|line| line.contains("the server says that it listens"))
    );
}

#[test]
fn a_dropped_range_is_blocked() {
    for nat in [false, true] {
        let (finding, report) = Path {
            nat,
            before: "tcp dport 3400-4022 drop",
            ports: "2021, 2221, 2222, 2225, 3333, 10443",
            ..Path::default()
        }
        .finding();
        assert_eq!(id(&finding), "passive-range-blocked");
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
        ports: "2021, 2221, 2222, 2225, 3333, 10443, 3023-3122",
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
        serve: &["--set=ftp.tls=off"],
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
        ports: "2021, 2221, 2222, 2225-2226, 3333, 10443, 3023-4022",
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
    let (_, report) = Path {
        before: "tcp dport 2225 reject with icmp type admin-prohibited",
        ports: "2021, 2221, 2222, 2225, 3333, 10443",
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
        ("port-dropped", Confidence::Possible)
    );
    assert!(!report.both_ends);
}
