//! The zoo: every path in fixtures/paths, built for real, gives the findings that its file expects.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::Value;
use support::{nothing_is_left_of, required, run, stderr, stdout};

fn fixtures() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/paths")
}

fn path(name: &str) -> String {
    format!("{}/{name}.toml", fixtures())
}

/// Rehearses scenarios that are written here.
fn rehearse(scenarios: &[&str], arguments: &[&str]) -> (Option<i32>, Value) {
    required("ip");
    required("nft");
    let directory = tempfile::tempdir().unwrap();
    for (at, text) in scenarios.iter().enumerate() {
        std::fs::write(directory.path().join(format!("{at}.toml")), text).unwrap();
    }
    let place = directory.path().to_str().unwrap();
    let output = run([&["rehearse", "--format=json", place], arguments].concat());
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    (output.status.code(), document)
}

#[test]
fn every_path_of_the_zoo_is_diagnosed_as_its_file_expects() {
    required("ip");
    required("nft");
    // Paths mostly wait. What a busy machine spoils may be rehearsed again, but not much of it.
    let output = run(["rehearse", fixtures(), "--alone", "--parallel=12", "--again"]);
    let said = stdout(&output);
    let notable: Vec<&str> = said
        .lines()
        .filter(|line| !line.starts_with("right ") || line.ends_with("(the second time)"))
        .collect();
    let notable = notable.join("\n");
    assert_eq!(output.status.code(), Some(0), "{notable}{}", stderr(&output));
    let again = notable.matches("(the second time)").count();
    assert!(again <= 3, "{again} paths did not come right at once:\n{notable}");
}

const DROPPED: &str = "extends = 'routed'\nfirewall.fw.forward = ['tcp dport 2021 drop']\ntitle = 'dropped'\n";

#[test]
fn a_finding_that_was_not_expected_is_wrong_and_one_that_was_is_right() {
    let wrong = format!("{DROPPED}expect = []");
    let right = format!("{DROPPED}expect = ['port-dropped']");
    let (code, document) = rehearse(&[&wrong, &right], &[]);
    assert_eq!(code, Some(1));
    assert_eq!(document["paths"][0]["judgement"], "wrong", "{document:#}");
    assert_eq!(document["paths"][1]["judgement"], "right", "{document:#}");
}

#[test]
fn a_known_gap_is_no_failure_until_it_is_closed() {
    let gap = format!("{DROPPED}expect = ['port-rejected']\nknown_gap = 'not written yet'");
    let (code, document) = rehearse(&[&gap], &[]);
    assert_eq!(
        (code, &document["paths"][0]["judgement"]),
        (Some(0), &"gap".into()),
        "{document:#}"
    );
    let closed = format!("{DROPPED}expect = ['port-dropped']\nknown_gap = 'not written yet'");
    let (code, document) = rehearse(&[&closed], &[]);
    assert_eq!(
        (code, &document["paths"][0]["judgement"]),
        (Some(1), &"gap closed".into()),
        "{document:#}"
    );
}

#[test]
fn a_path_that_cannot_be_built_is_inconclusive_and_says_why() {
    let broken = "title = 'x'\nexpect = []\nhost.fw.run = ['echo there is no such module >&2; exit 7']";
    let (code, document) = rehearse(&[broken], &[]);
    assert_eq!(code, Some(3));
    let complaint = document["paths"][0]["complaints"][0].as_str().unwrap();
    assert!(
        complaint.contains("failed to set up fw") && complaint.contains("no such module"),
        "{complaint}"
    );
}

#[test]
fn mistakes_in_files_are_told_all_at_once_before_anything_is_built() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("a.toml", "title = 'x'\nexpect = ['no-such-finding']");
    write(
        "b.toml",
        "title = 'x'\nexpect = []\nfirewall.fw.without = ['no-such-rule']",
    );
    let output = run(["rehearse", directory.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let told = stderr(&output);
    assert!(
        told.contains("no-such-finding") && told.contains("no-such-rule"),
        "{told}"
    );
}

#[test]
fn a_free_path_needs_nothing_of_the_standard_one() {
    let free = r#"
        title = "two hosts and a cable"
        extends = "none"
        expect = []
        link.cable.ends = ["a:eth0", "b:eth0"]
        host.a.addresses.eth0 = ["192.0.2.1/24"]
        host.b.addresses.eth0 = ["192.0.2.2/24"]
        server.on = "b"
        probe = { on = "a", host = "192.0.2.2", args = ["--from=server"] }
    "#;
    let (code, document) = rehearse(&[free], &[]);
    assert_eq!(code, Some(0), "{document:#}");
}

#[test]
fn nothing_is_left_after_an_interruption_or_a_kill() {
    nothing_is_left_of(&["rehearse", &path("control-port-dropped")]);
}
