//! Downloads over HTTPS: the real server, our own client, and curl.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::{Command, Output};

use fwdrill_depot::Depot;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::{Report, Verdict};
use support::{Server, fwdrill, required, stderr, stdout};

const HTTPS: &str = "http.tls=required";

fn sync(server: &Server, into: &Path, more: &[&str]) -> Output {
    let mut command = fwdrill();
    command
        .args(["sync", "127.0.0.1", "--mode", "http", "--into"])
        .arg(into)
        .args(["--public-key", server.public_key()])
        .args(server.settings())
        .args(more);
    command.output().unwrap()
}

/// As the documentation says to get it.
fn fingerprint(server: &Server) -> String {
    let certificate = server.state().join("tls/certificate.pem");
    let output = Command::new(required("openssl"))
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(certificate)
        .output()
        .unwrap();
    stdout(&output).trim().rsplit_once('=').unwrap().1.to_owned()
}

fn pinned(fingerprint: &str) -> String {
    format!("--set=tls.fingerprint={fingerprint}")
}

#[test]
fn a_client_that_knows_of_https_syncs_and_one_that_trusts_another_certificate_does_not() {
    let (server, client) = (Server::start(&[HTTPS]), tempfile::tempdir().unwrap());
    let (any, own) = (client.path().join("any"), client.path().join("own"));
    let output = sync(&server, &any, &["--set", HTTPS]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        Depot::open(&any)
            .unwrap()
            .current()
            .unwrap()
            .unwrap()
            .verify_files()
            .unwrap()
            .is_empty()
    );

    let right = pinned(&fingerprint(&server));
    let output = sync(&server, &own, &["--set", HTTPS, &right]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    let wrong = pinned(&"ab".repeat(32));
    let output = sync(&server, &client.path().join("none"), &["--set", HTTPS, &wrong]);
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(
        told.contains("the certificate is") && told.contains(&"ab".repeat(32)),
        "{told}"
    );
}

#[test]
fn a_client_that_does_not_know_of_https_is_told_that_this_is_not_http() {
    let (server, client) = (Server::start(&[HTTPS]), tempfile::tempdir().unwrap());
    let output = sync(&server, &client.path().join("updates"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("does not speak HTTP"), "{}", stderr(&output));
}

#[test]
fn a_probe_shows_the_certificate_and_gets_its_evidence() {
    let server = Server::start(&[HTTPS]);
    let probe = |more: &[&str]| -> Report {
        let mut command = fwdrill();
        command.args(["probe", "127.0.0.1", "--format=json", "--from=server", "--quick"]);
        let output = command
            .args(server.settings())
            .args(["--set", HTTPS])
            .args(more)
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)))
    };
    let http = |report: &Report| {
        let flow = report.flows.iter().find(|flow| flow.flow == Flow::Http).unwrap();
        flow.detail.clone().unwrap()
    };
    let report = probe(&[]);
    assert_eq!((report.verdict, report.both_ends), (Verdict::Pass, true));
    let own = fingerprint(&server).replace(':', "").to_lowercase();
    assert!(
        http(&report).ends_with(&format!("over TLS, certificate {own}")),
        "{}",
        http(&report)
    );

    let report = probe(&[&pinned(&"ab".repeat(32)), "--set=expect.server.http=open"]);
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(
        http(&report).contains(&format!("the certificate is {own}")),
        "{}",
        http(&report)
    );
}

#[test]
fn a_drill_runs_over_https() {
    let mut command = fwdrill();
    command.args(["drill", "--quick", "--format=json", "--set", HTTPS]);
    for setting in support::FREE_PORTS {
        command.args(["--set", setting]);
    }
    let output = command.args(["--set", "ftp.passive_ports="]).output().unwrap();
    let report: Report =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    assert_eq!(report.verdict, Verdict::Pass, "{report:#?}");
    assert!(report.life.unwrap().iter().all(|step| step.ok));
}

#[test]
fn curl_that_trusts_the_kept_certificate_downloads_by_either_version_and_resumes() {
    let (server, client) = (Server::start(&[HTTPS]), tempfile::tempdir().unwrap());
    let set = server.current_set();
    let (path, content) = support::tree(&set)
        .into_iter()
        .filter(|(path, _)| path.starts_with("signatures/"))
        .max_by_key(|(_, content)| content.len())
        .unwrap();
    for version in ["1.2", "1.3"] {
        let file = client.path().join(version);
        std::fs::write(&file, &content[..content.len() / 3]).unwrap();
        let output = Command::new(required("curl"))
            .args(["--silent", "--show-error", "--fail", "--continue-at", "-", "--cacert"])
            .arg(server.state().join("tls/certificate.pem"))
            .args(["--tls-max", version, &format!("--tlsv{version}"), "--output"])
            .arg(&file)
            .arg(format!("https://localhost:{}/{path}", server.port(Flow::Http)))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(std::fs::read(&file).unwrap() == content, "TLS {version}");
    }
}
