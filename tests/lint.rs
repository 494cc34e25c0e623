//! `fwdrill lint` against the guide's own text, and what scripts rely on.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use fwdrill_protocol::report::Report;
use support::{run, stderr, stdout};

fn fixture(name: &str) -> String {
    format!("{}/fixtures/lint/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Exit code and findings.
fn lint(arguments: &[&str]) -> (i32, Vec<String>) {
    let output = run(["lint", "--format=json"].iter().chain(arguments));
    let report: Report = serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    let ids = report.findings.iter().map(|finding| finding.id.name().to_owned());
    (output.status.code().unwrap(), ids.collect())
}

/// The text for people, without the machine's paths and the time.
fn told(arguments: &[&str]) -> String {
    let text = stdout(&run(["lint"].iter().chain(arguments)));
    let home = format!("{}/", env!("CARGO_MANIFEST_DIR"));
    let lines = text.lines().map(|line| match line.split_once("traffic; ") {
        Some((before, _)) => format!("{before}traffic; TIME"),
        None => line.replace(&home, ""),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_guides_estate_passes_with_one_note() {
    assert_eq!(lint(&[]), (0, vec!["range-contains-service-port".to_owned()]));
    insta::assert_snapshot!("guide", told(&[]));
}

#[test]
fn the_guides_ini_beside_its_list_for_ftp_shows_what_it_got_wrong() {
    let (ini, list) = (fixture("guide-eserv.ini"), fixture("guide-ports-ftp.txt"));
    let arguments = ["--eserv-ini", &ini, "--port-list", &list];
    let ids = ["range-count-mismatch", "range-contains-service-port"];
    assert_eq!(lint(&arguments), (0, ids.map(str::to_owned).to_vec()));
    insta::assert_snapshot!("guide_ftp", told(&arguments));
}

#[test]
fn the_guides_list_for_http_fails_for_the_version_port() {
    let list = fixture("guide-ports-http.txt");
    let arguments = ["--set=mode=http", "--port-list", &list];
    assert_eq!(lint(&arguments), (1, vec!["http-mode-drops-version-port".to_owned()]));
    insta::assert_snapshot!("guide_http", told(&arguments));
}

#[test]
fn a_range_smaller_than_the_clients_is_told_with_the_sum() {
    let range = "--set=ftp.passive_ports=3334-3383";
    assert_eq!(lint(&[range, "--clients=50"]), (0, vec![]));
    assert_eq!(lint(&[range, "--clients=51"]), (0, vec!["range-too-small".to_owned()]));
    insta::assert_snapshot!("too_small", told(&[range, "--clients=51"]));
}

/// Whatever this host's kernel says of its own ports.
#[test]
fn the_ephemeral_ports_of_this_host_are_compared() {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let low: u16 = text.split_whitespace().next().unwrap().parse().unwrap();
    let within = format!("--set=ftp.passive_ports={low}-{}", low + 199);
    assert_eq!(lint(&[&within]), (0, vec!["range-in-ephemeral-ports".to_owned()]));
    let below = format!("--set=ftp.passive_ports={}-{}", low - 200, low - 1);
    assert_eq!(lint(&[&below]), (0, vec![]));
}

#[test]
fn an_address_that_nobody_can_reach_fails() {
    let healthy = "--set=ftp.passive_ports=3334-4333";
    let arguments = [
        healthy,
        "--set=server.host=203.0.113.2",
        "--set=ftp.advertised_address=10.20.0.10",
    ];
    assert_eq!(lint(&arguments), (1, vec!["advertised-address-unroutable".to_owned()]));
}

#[test]
fn what_contradicts_itself_fails_and_every_form_tells_of_it() {
    let arguments = [
        "--set=ftp.passive_ports=3334-4333",
        "--set=expect.outside.ftp_passive=closed",
    ];
    assert_eq!(lint(&arguments), (1, vec!["port-list-contradiction".to_owned()]));
    for format in ["text", "junit", "tap", "markdown", "html", "sarif"] {
        let output = run(["lint", "--format", format].iter().chain(&arguments));
        assert_eq!(output.status.code(), Some(1), "{format}");
        assert!(stdout(&output).contains("port-list-contradiction"), "{format}");
    }
}

#[test]
fn a_list_that_is_none_is_a_mistake_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("ports.txt");
    std::fs::write(&list, "TCP port 2021\nopen everything\n").unwrap();
    let output = run(["lint".as_ref(), "--port-list".as_ref(), list.as_os_str()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("line 2 = open everything"),
        "{}",
        stderr(&output)
    );
}
