//! Storms through firewalls with limits, in network namespaces: each limit has its name, and a number.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::Stdio;

use fwdrill_protocol::finding::FindingId;
use fwdrill_protocol::storm::StormReport;
use support::{published, required};

/// Runs in a namespace that is the server's; the client has one of its own. (On one host with both, a SYN that the input chain
/// drops has been let out before, and counts for minutes.)
const SCRIPT: &str = r#"
set -e
unshare --net sleep infinity &
client=/proc/$!/ns/net
until [ "$(readlink $client)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add server type veth peer name client netns "$!"
ip link set lo up
ip address add 10.99.0.1/24 dev server
ip link set server up
nsenter --net=$client sh -c 'ip link set lo up; ip address add 10.99.0.2/24 dev client; ip link set client up'
"$FWDRILL" serve --announce --grace 1 --set server.bind=10.99.0.1 --state "$DIR/state" --depot "$DIR/depot" \
    > "$DIR/announcement" 2> "$DIR/server.log" &
tries=0
until [ -s "$DIR/announcement" ]; do
    tries=$((tries + 1))
    if [ "$tries" -gt 600 ]; then cat "$DIR/server.log" >&2; exit 9; fi
    sleep 0.05
done
nft -f "$DIR/rules.nft"
nsenter --net=$client "$FWDRILL" storm 10.99.0.1 --clients=100 --ramp=0 --format=json --patience=30 "$@"
"#;

/// A storm of a hundred through these rules of the server's input chain.
fn through(rule: &str, more: &[&str]) -> (Option<i32>, StormReport) {
    for program in ["unshare", "nsenter", "ip", "nft"] {
        required(program);
    }
    let directory = published(&["--size", "8KiB"]);
    let rules = format!("table inet path {{\nchain in {{\ntype filter hook input priority 0\n{rule}\n}}\n}}\n");
    std::fs::write(directory.path().join("rules.nft"), rules).unwrap();
    // Whatever is left in the namespace ends with its first process.
    let output = std::process::Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "--mount-proc",
            "--pid",
            "--fork",
            "--kill-child",
        ])
        .args(["sh", "-c", SCRIPT, "sh"])
        .args(more)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("FWDRILL", env!("CARGO_BIN_EXE_fwdrill"))
        .env("DIR", directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), report)
}

/// The one finding, and what the sum counted.
fn found(rule: &str, more: &[&str]) -> (FindingId, u64) {
    let (code, report) = through(rule, more);
    assert_eq!(code, Some(1), "{report:#?}");
    let ids: Vec<FindingId> = report.findings.iter().map(|finding| finding.id).collect();
    assert_eq!(ids.len(), 1, "{report:#?}");
    let sum = report.sum.as_ref().unwrap();
    assert!(
        report.findings[0].evidence.iter().any(|line| line.contains(&sum.text)),
        "{report:#?}"
    );
    (ids[0], sum.counted)
}

#[test]
fn without_rules_everybody_lives() {
    let (code, report) = through("", &["--think=0.1"]);
    assert_eq!(code, Some(0), "{report:#?}");
    assert_eq!((report.lives.lived, report.findings.len()), (100, 0));
}

#[test]
fn a_limit_on_the_control_port_is_named_with_its_number_whether_it_drops_or_resets() {
    for verdict in ["drop", "reject with tcp reset"] {
        let rule = format!("tcp dport 2021 ct state new ct count over 20 {verdict}");
        let (id, counted) = found(&rule, &["--think=0.5", "--timeout=3"]);
        assert_eq!((id, counted), (FindingId::ConnectionLimit, 20), "{verdict}");
    }
}

#[test]
fn a_limit_on_all_connections_is_a_full_table() {
    let rule = "meta l4proto tcp ct state new ct count over 60 drop";
    let (id, _) = found(rule, &["--think=0.5", "--timeout=3"]);
    assert_eq!(id, FindingId::StateTableFull);
}

#[test]
fn a_limit_on_new_connections_a_second_is_one_on_their_rate() {
    let rule = "tcp dport 2021 ct state new limit rate over 10/second burst 5 packets drop";
    let (id, _) = found(rule, &["--timeout=4"]);
    assert_eq!(id, FindingId::ConnectionRateLimit);
}
