//! What users type wrongly, and what they read: messages, exit codes, help.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::TcpListener;
use std::path::Path;

use support::{Server, fwdrill, run, stderr, stdout};

fn fails_with(arguments: &[&str], code: i32, words: &[&str]) -> String {
    let output = run(arguments);
    let told = stderr(&output);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{arguments:?}: {told}{}",
        stdout(&output)
    );
    for word in words {
        assert!(told.contains(word), "{word:?} is not in: {told}");
    }
    assert!(!told.contains("panicked"), "{told}");
    told
}

#[test]
fn every_help_reads_as_committed() {
    for command in [
        "",
        "completions",
        "diagnose",
        "drill",
        "explain",
        "serve",
        "storm",
        "man",
        "probe",
        "sync",
        "agent",
        "publish",
        "healthcheck",
        "lint",
        "rehearse",
        "rules",
    ] {
        let output = run([command, "--help"].iter().filter(|argument| !argument.is_empty()));
        assert_eq!(output.status.code(), Some(0));
        insta::assert_snapshot!(format!("help_{command}"), stdout(&output));
    }
}

#[test]
fn mistakes_of_an_estate_are_told_at_once_with_key_value_and_expectation() {
    let told = fails_with(
        &[
            "probe",
            "localhost",
            "--set=ftp.pasive_ports=1",
            "--set=ftp.port=70000",
            "--set=ftp.passive_ports=4022-3023",
            "--set=clients=0",
        ],
        2,
        &[
            "4 mistakes",
            "did you mean `ftp.passive_ports`?",
            "70000",
            "reversed",
            "1 or more",
        ],
    );
    insta::assert_snapshot!("mistakes", told);
}

#[test]
fn a_finding_that_there_is_not_leads_to_those_that_were_meant() {
    fails_with(&["explain", "port-droped"], 2, &["no such finding", "port-dropped"]);
    fails_with(&["explain", "xyzzy"], 2, &["no such finding", "fwdrill explain"]);
    let page = stdout(&run(["explain", "port-dropped", "hairpin-missing"]));
    assert!(
        page.contains("How to fix it") && page.contains("control-port-dropped: "),
        "{page}"
    );
    assert!(stdout(&run(["explain"])).contains("console-exposed"));
}

#[test]
fn an_overlapping_range_names_both_parts() {
    fails_with(
        &["serve", "--set=ftp.passive_ports=3000-3100,3050-3200"],
        2,
        &["3000-3100", "3050-3200", "overlap"],
    );
}

#[test]
fn an_estate_that_cannot_be_read_is_named() {
    fails_with(
        &["probe", "localhost", "--estate", "no-such.toml"],
        2,
        &["no-such.toml", "No such file"],
    );
    fails_with(
        &["probe", "localhost", "--eserv-ini", "no-such.ini"],
        2,
        &["no-such.ini"],
    );
}

#[test]
fn conflicting_aliases_in_the_environment_name_both() {
    let output = fwdrill()
        .args(["probe", "localhost"])
        .env("PASV_ADDRESS", "203.0.113.2")
        .env("PUBLIC_IP", "203.0.113.3")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert!(told.contains("PASV_ADDRESS") && told.contains("PUBLIC_IP"), "{told}");
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let state = tempfile::tempdir().unwrap();
    let mut arguments: Vec<String> = support::FREE_PORTS
        .iter()
        .map(|setting| format!("--set={setting}"))
        .collect();
    arguments.push(format!("--set=ports.http={port}"));
    let output = fwdrill()
        .arg("serve")
        .args(&arguments)
        .arg("--state")
        .arg(state.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert!(
        told.contains(&port) && told.contains("HTTP download") && told.contains("in use"),
        "{told}"
    );
}

/// Runs as somebody without privilege: as root that is `nobody`, in a network namespace of its own where the limit holds.
#[test]
fn a_port_below_1024_without_privilege_is_named_with_what_to_do() {
    let state = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(support::required("unshare"));
    // An unmapped user of a user namespace has no privilege over the network outside of it.
    command.args(["--user", "--"]).arg(env!("CARGO_BIN_EXE_fwdrill"));
    command
        .args([
            "serve",
            "--set=server.bind=127.0.0.1",
            "--set=ftp.port=921",
            "--set=ftp.passive_ports=930-940",
            "--state",
        ])
        .arg(state.path());
    let output = command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .output()
        .unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("127.0.0.1:921") && told.contains("ftp.passive_ports to 1024"),
        "{told}"
    );
}

#[test]
fn a_name_that_does_not_resolve_is_a_finding_for_probe_and_an_error_for_sync() {
    let output = run(["probe", "no-such-host.invalid", "--format=json"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stdout(&output).contains("name-not-resolved"));
    let into = tempfile::tempdir().unwrap();
    fails_with(
        &[
            "sync",
            "no-such-host.invalid",
            "--into",
            &into.path().display().to_string(),
        ],
        2,
        &["no-such-host.invalid"],
    );
}

#[test]
fn an_unwritable_report_and_an_unknown_form_are_told_before_or_after_but_never_panic() {
    fails_with(&["probe", "localhost", "--out", "report"], 2, &["report", "--format"]);
    fails_with(
        &["probe", "localhost", "--format=json", "--format=junit"],
        2,
        &["stdout"],
    );
    let server = Server::start(&[]);
    let mut command = fwdrill();
    command
        .args([
            "probe",
            "127.0.0.1",
            "--quick",
            "--format=json",
            "--out=/no/such/directory/r.json",
        ])
        .args(server.settings());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("/no/such/directory/r.json"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn several_reports_at_once_go_where_they_should() {
    let server = Server::start(&[]);
    let reports = tempfile::tempdir().unwrap();
    let (json, xml) = (reports.path().join("r.json"), reports.path().join("r.xml"));
    let mut command = fwdrill();
    command
        .args(["probe", "127.0.0.1", "--from=server"])
        .args(server.settings());
    command
        .args(["--format=json", "--out"])
        .arg(&json)
        .args(["--format=junit", "--out"])
        .arg(&xml)
        .arg("--format=text");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}{}", stderr(&output), stdout(&output));
    assert!(stdout(&output).starts_with("PASS"));
    assert!(
        !stdout(&output).contains('\u{1b}'),
        "no colours where there is no terminal"
    );
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert!(read(&json).contains("fwdrill.report/1"));
    assert!(read(&xml).contains("<testsuite"));
}

#[test]
fn a_server_stops_in_order_on_sigterm() {
    let mut server = Server::start(&[]);
    assert_eq!(server.terminate(), Some(0));
    assert!(server.log().contains("stopped"), "{}", server.log());
}

#[test]
fn a_healthcheck_passes_beside_its_server_and_fails_without() {
    let mut server = Server::start(&[]);
    let check = |server: &Server| {
        let mut command = fwdrill();
        command
            .args(["healthcheck", "--set=server.bind=127.0.0.1"])
            .args(server.settings());
        command.output().unwrap()
    };
    let healthy = check(&server);
    assert_eq!(healthy.status.code(), Some(0), "{}", stderr(&healthy));
    server.terminate();
    let gone = check(&server);
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("version service"), "{}", stderr(&gone));
}

#[test]
fn a_healthcheck_of_a_server_at_one_address_asks_loopback_for_the_port_that_is_there() {
    // In a network namespace, because a host's other addresses are its own business.
    let script = "ip link set lo up && ip address add 192.0.2.10/32 dev lo && \
        { \"$0\" serve --announce --state=\"$1\" --set=server.bind=192.0.2.10 > \"$1/line\" & server=$!; } && \
        until [ -s \"$1/line\" ]; do kill -0 $server || exit 9; done; \
        \"$0\" healthcheck --set=server.bind=192.0.2.10 || exit 8; \
        \"$0\" healthcheck --set=server.bind=192.0.2.10 --set=ports.self_events=2228; code=$?; kill $server; exit $code";
    let state = tempfile::tempdir().unwrap();
    let output = std::process::Command::new(support::required("unshare"))
        .args(["--user", "--map-root-user", "--net", "sh", "-c", script])
        .arg(fwdrill().get_program())
        .arg(state.path())
        .output()
        .unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("self-events on 127.0.0.1:2228"), "{told}");
}

#[test]
fn a_depot_signed_with_another_key_is_refused_by_name() {
    let directory = support::published(&[]);
    let other = support::published(&[]);
    std::fs::copy(
        other.path().join("depot/minisign.pub"),
        directory.path().join("depot/minisign.pub"),
    )
    .unwrap();
    let mut command = fwdrill();
    command
        .arg("serve")
        .args(support::FREE_PORTS.iter().map(|setting| format!("--set={setting}")));
    command
        .arg("--depot")
        .arg(directory.path().join("depot"))
        .arg("--state")
        .arg(other.path().join("state"));
    let output = command.output().unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("manifest") && told.contains("sign"), "{told}");
}
