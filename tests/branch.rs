//! A branch in network namespaces: the headquarters' server behind its NAT, an update agent behind the branch's, three clients
//! who update from the agent. What each broken link of it is called is in the zoo: `fixtures/paths/update-agent-*.toml`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use fwdrill_protocol::report::{Report, Verdict};

use support::program::program;
use support::{required, stderr};

#[test]
fn two_updates_reach_the_agent_and_every_client_of_its_branch_over_ftp() {
    two_updates_reach_everybody("ftp");
}

#[test]
fn two_updates_reach_the_agent_and_every_client_of_its_branch_over_http() {
    two_updates_reach_everybody("http");
}

fn two_updates_reach_everybody(mode: &str) {
    for program in ["ip", "nft", "unshare", "minisign"] {
        required(program);
    }
    let directory = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/branch/branch.sh");
    let output = program("timeout", directory.path())
        .args(["90", "unshare", "-Urnm", "bash", script, env!("CARGO_BIN_EXE_fwdrill")])
        .arg(directory.path())
        .arg(mode)
        .output()
        .unwrap();
    let log = |file: &str| {
        let text = std::fs::read_to_string(directory.path().join(file)).unwrap_or_default();
        format!("== {file}\n{text}")
    };
    let logs = ["server.log", "ua-sync.log", "ua-serve.log", "pc1.log"]
        .map(log)
        .concat();
    let said = support::stdout(&output);
    assert!(output.status.success(), "{said}{}{logs}", stderr(&output));

    let (reports, reached): (Vec<&str>, Vec<&str>) = said.lines().partition(|line| line.starts_with('{'));
    let expected: Vec<String> = (1..=2)
        .flat_map(|serial| ["ua", "pc1", "pc2", "pc3"].map(|who| format!("publication {who} {serial}")))
        .collect();
    assert_eq!(reached, expected, "{logs}");

    // A client of the branch finds nothing amiss: the agent has what its server has.
    assert_eq!(reports.len(), 3, "{said}{logs}");
    for report in reports {
        let report: Report = serde_json::from_str(report).unwrap();
        assert_eq!((report.verdict, report.findings), (Verdict::Pass, vec![]), "{logs}");
        assert!(report.both_ends, "{logs}");
    }
}
