//! A probe against the real server, with real faults on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use fwdrill_protocol::finding::Confidence;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::{Report, Verdict};
use support::{Server, closed_port, fwdrill, stderr};

fn probe(server: &Server, more: &[&str]) -> (Option<i32>, Report) {
    let mut command = fwdrill();
    command
        .args(["probe", "127.0.0.1", "--format=json"])
        .args(server.settings())
        .args(more);
    if !more.iter().any(|argument| argument.starts_with("--from")) {
        command.arg("--from=server");
    }
    let output = command.output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    (output.status.code(), report)
}

fn ids(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.id.name()).collect()
}

#[test]
fn a_healthy_server_passes_and_both_ends_are_joined() {
    for engine in ["native", "libunftp"] {
        let server = Server::start_with(&["ftp.passive_ports=25000-25099"], |command| {
            command.args(["--ftp-engine", engine]);
        });
        let (code, report) = probe(&server, &["--full-range"]);
        assert_eq!((code, ids(&report)), (Some(0), vec![]), "{engine}");
        assert!(report.both_ends);
        assert_eq!(report.passive_range.unwrap().open.to_string(), "25000-25099");
    }
}

#[test]
fn without_evidence_the_same_server_passes_from_the_clients_end_alone() {
    let server = Server::start(&["ftp.passive_ports=25100-25199"]);
    let (code, report) = probe(&server, &["--no-evidence"]);
    assert_eq!((code, ids(&report), report.both_ends), (Some(0), vec![], false));
}

#[test]
fn from_outside_the_system_ports_are_an_exposure_that_the_server_confirms() {
    let server = Server::start(&[]);
    let (code, report) = probe(&server, &["--from=outside"]);
    assert_eq!(
        (code, ids(&report)),
        (Some(1), vec!["forbidden-port-open", "forbidden-port-open"])
    );
    assert!(
        report
            .findings
            .iter()
            .all(|finding| finding.confidence == Confidence::Certain)
    );
}

#[test]
fn a_port_that_the_server_lacks_is_the_servers_not_the_firewalls() {
    // An update agent has no events port, and says so.
    let agent = Server::start_in(support::published(&[]), &[], |command| {
        command.args(["--role", "update-agent"]);
    });
    let closed = closed_port();
    let port = |flow| agent.port(flow);
    let mut command = fwdrill();
    command.args(["probe", "127.0.0.1", "--format=json", "--from=server"]);
    command.arg(format!("--set=ftp.port={}", port(Flow::FtpControl)));
    command.arg(format!("--set=ports.version={}", port(Flow::Version)));
    command.arg(format!("--set=ports.agent={}", port(Flow::Agent)));
    command.arg(format!("--set=ports.events={closed}"));
    for flow in ["http", "system", "console", "self_events"] {
        command.arg(format!("--set=expect.server.{flow}=any"));
    }
    let output = command.output().unwrap();
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(ids(&report), ["server-not-listening"]);
    let finding = &report.findings[0];
    assert_eq!((finding.flow, finding.confidence), (Flow::Events, Confidence::Certain));
    assert!(finding.alternatives.is_empty());
}

#[test]
fn an_advertised_address_where_the_server_is_not_is_named() {
    // Another address of this host: what is dialled there never leaves it, and nobody listens there.
    let server = Server::start(&["ftp.advertised_address=127.0.0.99", "ftp.passive_ports=25200-25249"]);
    let (code, report) = probe(&server, &[]);
    // The target is loopback, private itself: a private address in the 227 is no explanation there.
    assert_eq!((code, ids(&report)), (Some(1), vec!["advertised-address-wrong"]));
    assert_eq!(report.findings[0].confidence, Confidence::Certain);
}

#[test]
fn an_advertised_address_where_somebody_else_listens_is_named_too() {
    let other = std::net::TcpListener::bind("127.0.0.98:0").unwrap();
    let port = other.local_addr().unwrap().port();
    // Accepts, and never says a word.
    let silent = std::thread::spawn(move || other.accept().map(|(stream, _)| stream));
    let server = Server::start(&[
        "ftp.advertised_address=127.0.0.98",
        &format!("ftp.passive_ports={port}"),
    ]);
    let (code, report) = probe(&server, &["--timeout=1", "--quick"]);
    assert_eq!(
        (code, ids(&report)),
        (Some(1), vec!["advertised-address-wrong"]),
        "{report:#?}"
    );
    drop(silent);
}

#[test]
fn bytes_changed_on_the_servers_disk_are_seen() {
    let server = Server::start(&[]);
    // A published set is never changed; who does it all the same is found out.
    let signatures = server.current_set().join("signatures");
    for entry in std::fs::read_dir(signatures).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        // A new file of the same name: hard links of clients stay as they are.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, bytes).unwrap();
    }
    let (code, report) = probe(&server, &[]);
    assert_eq!((code, report.verdict), (Some(1), Verdict::Fail));
    assert_eq!(ids(&report), ["content-altered"]);
    // Both roads bring the same wrong bytes, so the path is not certain to be to blame.
    assert_ne!(report.findings[0].confidence, Confidence::Certain);
}

#[test]
fn drills_one_after_the_other_at_several_addresses_of_a_server_do_not_disturb_each_other() {
    let server = Server::start(&["server.bind=0.0.0.0", "ftp.passive_ports=25300-25399"]);
    for address in ["127.0.0.1", "127.0.0.2", "127.0.0.1"] {
        let mut command = fwdrill();
        command.args(["probe", address, "--format=json", "--from=server", "--full-range"]);
        let output = command.args(server.settings()).output().unwrap();
        let report: Report = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (output.status.code(), ids(&report)),
            (Some(0), vec![]),
            "{address}: {report:#?}"
        );
        assert_eq!(report.passive_range.unwrap().open.to_string(), "25300-25399");
    }
}
