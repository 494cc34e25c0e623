//! The main job, by the real binary.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use fwdrill_protocol::report::{Report, Seen, State, Verdict};
use support::{fwdrill, run, stderr, stdout};

/// Ports to the kernel, so that drills beside each other do not meet; the range is the guide's, in a free place.
const APART: &[&str] = &[
    "--set=ftp.port=0",
    "--set=ports.version=0",
    "--set=ports.http=0",
    "--set=ports.agent=0",
    "--set=ports.events=0",
    "--set=ports.system=0",
    "--set=ports.self_events=0",
    "--set=ports.console=0",
];

fn drill(more: &[&str]) -> (Option<i32>, Report) {
    let output = run(["drill", "--format=json"].iter().chain(APART).chain(more));
    let report = serde_json::from_slice(&output.stdout);
    (
        output.status.code(),
        report.unwrap_or_else(|error| panic!("{error}: {}", stderr(&output))),
    )
}

#[test]
fn a_drill_on_one_machine_passes_with_both_ends_joined() {
    let begun = Instant::now();
    let (code, report) = drill(&["--set=ftp.passive_ports=23023-24022"]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!((code, report.verdict), (Some(0), Verdict::Pass));
    assert!(report.both_ends && report.findings.is_empty());
    assert!(
        report
            .flows
            .iter()
            .all(|flow| flow.state == State::Open && flow.seen_by_server == Seen::Yes),
        "{:#?}",
        report.flows
    );
    let life = report.life.unwrap();
    assert_eq!(life.len(), 8);
    assert!(life.iter().all(|step| step.ok), "{life:#?}");
    let task = life.iter().find(|step| step.step == "a task of the server").unwrap();
    assert!(task.detail.starts_with("sync: drill-agent, "), "{task:?}");
    let range = report.passive_range.unwrap();
    assert_eq!(
        (range.open.to_string(), range.blocked.len()),
        (range.planned.to_string(), 0)
    );
}

#[test]
fn a_wrong_advertised_address_fails_the_drill_and_is_named() {
    let (code, report) = drill(&[
        "--set=ftp.passive_ports=24100-24110",
        "--set=ftp.advertised_address=127.0.0.99",
    ]);
    assert_eq!((code, report.verdict), (Some(1), Verdict::Fail));
    assert_eq!(report.findings[0].id.name(), "advertised-address-wrong");
    assert!(
        report.findings[0].evidence[0].contains("127,0,0,99"),
        "{:?}",
        report.findings[0].evidence
    );
}

#[test]
fn taken_ports_are_replaced_and_that_is_said() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ftp = format!("--set=ftp.port={port}");
    let mut command = fwdrill();
    command
        .args(["drill", "--quick", "--set=ftp.passive_ports=24200-24220"])
        .args(&APART[1..])
        .arg(ftp);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains(&port.to_string()), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("PASS"), "{}", stdout(&output));
}

#[test]
fn a_drill_without_ftp_lives_over_http() {
    let (code, report) = drill(&["--set=ftp.enabled=false", "--set=mode=http"]);
    assert_eq!(code, Some(0), "{report:#?}");
    assert!(report.flows.iter().all(|flow| !flow.flow.name().starts_with("ftp")));
}
