//! Records taken where the two ends could not talk, joined later: `probe --save`, `diagnose --server`.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use std::path::{Path, PathBuf};

use fwdrill_protocol::finding::{Confidence, FindingId};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::{Report, Seen};
use serde_json::Value;
use support::{Server, closed_port, fwdrill, run, stderr};

fn ids(report: &Report) -> Vec<(FindingId, Confidence)> {
    let findings = report.findings.iter();
    findings.map(|finding| (finding.id, finding.confidence)).collect()
}

fn probe(settings: &[String], more: &[&str]) -> Report {
    let mut command = fwdrill();
    command
        .args(["probe", "127.0.0.1", "--format=json"])
        .args(settings)
        .args(more);
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)))
}

fn diagnose(client: &Path, journal: &Path) -> (Option<i32>, Report) {
    let arguments = [
        Path::new("diagnose"),
        client,
        Path::new("--server"),
        journal,
        Path::new("--format=json"),
    ];
    let output = run(arguments);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    (output.status.code(), report)
}

/// Probes on line and off line, then joins the latter: the three reports.
fn three(server: &mut Server, settings: &[String], more: &[&str]) -> (Report, Report, Report) {
    let client = server.directory.path().join("client.json");
    let on_line = probe(settings, more);
    let save = format!("--save={}", client.display());
    let alone = probe(settings, &[&["--no-evidence", &save], more].concat());
    // All of the journal is on disk when its server has ended.
    server.terminate();
    let (code, joined) = diagnose(&client, &journal(server));
    assert_eq!(code, Some(i32::from(!joined.findings.is_empty())), "{joined:#?}");
    assert!(on_line.both_ends && !alone.both_ends && joined.both_ends);
    assert_eq!(joined.drill, alone.drill);
    (on_line, alone, joined)
}

fn journal(server: &Server) -> PathBuf {
    server.state().join("journal.jsonl")
}

#[test]
fn a_healthy_path_is_as_healthy_when_its_ends_are_joined_later() {
    let mut server = Server::start(&["ftp.passive_ports=25400-25449"]);
    let settings = server.settings();
    let (on_line, _, joined) = three(&mut server, &settings, &["--from=server"]);
    assert_eq!(ids(&joined), ids(&on_line));
    assert_eq!(joined.verdict, on_line.verdict);
    let seen = |report: &Report| {
        report
            .flows
            .iter()
            .map(|flow| flow.seen_by_server)
            .collect::<Vec<Seen>>()
    };
    assert_eq!(seen(&joined), seen(&on_line));
}

#[test]
fn what_the_server_saw_makes_an_exposure_certain_later_too() {
    let mut server = Server::start(&[]);
    let settings = server.settings();
    let (on_line, alone, joined) = three(&mut server, &settings, &["--from=outside"]);
    let exposed = (FindingId::ForbiddenPortOpen, Confidence::Certain);
    assert_eq!(ids(&joined), ids(&on_line));
    assert_eq!(ids(&joined), [exposed, exposed]);
    assert_ne!(ids(&alone), ids(&joined));
}

#[test]
fn what_the_server_listened_on_is_in_its_journal() {
    let mut agent = Server::start_in(support::published(&[]), &[], |command| {
        command.args(["--role", "update-agent"]);
    });
    // An update agent has no events port; somebody has expected one.
    let closed = closed_port();
    let port = |flow, key| format!("--set={key}={}", agent.port(flow));
    let mut settings = vec![
        port(Flow::FtpControl, "ftp.port"),
        port(Flow::Version, "ports.version"),
        port(Flow::Agent, "ports.agent"),
        format!("--set=ports.events={closed}"),
    ];
    for flow in ["http", "system", "console", "self_events"] {
        settings.push(format!("--set=expect.server.{flow}=any"));
    }
    let (on_line, alone, joined) = three(&mut agent, &settings, &["--from=server"]);
    assert_eq!(ids(&joined), [(FindingId::ServerNotListening, Confidence::Certain)]);
    assert_eq!(ids(&joined), ids(&on_line));
    assert_ne!(ids(&alone), ids(&joined));
}

#[test]
fn the_estate_goes_with_the_record_and_passwords_do_not() {
    let mut server = Server::start(&[]);
    let client = server.directory.path().join("client.json");
    let estate = server.directory.path().join("fwdrill.toml");
    std::fs::write(
        &estate,
        "[[ftp.users]]\nname = \"scan\"\npassword = \"a-secret-word\"\n",
    )
    .unwrap();
    let (save, file) = (
        format!("--save={}", client.display()),
        format!("--estate={}", estate.display()),
    );
    probe(&server.settings(), &["--no-evidence", "--from=server", &save, &file]);
    server.terminate();
    let text = std::fs::read_to_string(&client).unwrap();
    assert!(!text.contains("a-secret-word") && !text.contains("\"scan\""));
    let (code, report) = diagnose(&client, &journal(&server));
    assert_eq!((code, report.flows[0].to), (Some(0), Some(server.at(Flow::FtpControl))));
}

#[test]
fn what_cannot_be_joined_is_told_in_clear_words() {
    let server = Server::start(&[]);
    let directory = server.directory.path().to_owned();
    let file = |name: &str| directory.join(name).display().to_string();
    let save = format!("--save={}", file("client.json"));
    let report = format!("--out={}", file("report.json"));
    let mut command = fwdrill();
    command.args([
        "probe",
        "127.0.0.1",
        "--quick",
        "--no-evidence",
        "--format=json",
        &save,
        &report,
    ]);
    command.args(server.settings()).output().unwrap();
    let fails = |client: &str, journal: &str, words: &[&str]| {
        let output = run(["diagnose", &file(client), "--server", &file(journal)]);
        let told = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{told}");
        for word in words {
            assert!(told.contains(word), "{word:?} is not in: {told}");
        }
        assert!(!told.contains("panicked"), "{told}");
    };
    let write = |name: &str, text: &str| std::fs::write(directory.join(name), text).unwrap();
    let mut other = Server::start(&[]);
    probe(&other.settings(), &["--quick"]);
    other.terminate();
    let line = std::fs::read_to_string(journal(&other)).unwrap();
    write("other.jsonl", &line);
    write("empty.jsonl", "");
    write("damaged.jsonl", &format!("{line}{{\"schema\":\n{line}"));
    write("text.txt", "no journal, and no record\n");
    write("older.json", "{\"schema\":\"fwdrill.record/0\"}");

    fails("client.json", "no-such.jsonl", &["no-such.jsonl", "No such file"]);
    fails("no-such.json", "other.jsonl", &["no-such.json", "No such file"]);
    fails(
        "client.json",
        "other.jsonl",
        &["knows nothing of drill", "its lines are from", "another server's"],
    );
    fails("client.json", "empty.jsonl", &["knows nothing of drill", "no lines"]);
    let damaged = format!("line {}", line.lines().count() + 1);
    fails("client.json", "damaged.jsonl", &["damaged.jsonl", &damaged]);
    fails("client.json", "text.txt", &["text.txt", "line 1"]);
    fails("text.txt", "other.jsonl", &["text.txt", "no JSON"]);
    fails("report.json", "other.jsonl", &["is a report", "--save"]);
    fails("older.json", "other.jsonl", &["fwdrill.record/0"]);
    drop(server);
}

/// docs/schema is what readers of reports and journals rely on.
#[test]
fn reports_and_journals_are_valid_by_their_published_schemas() {
    let validator = |name: &str| {
        let file = format!("{}/docs/schema/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
        let schema: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        jsonschema::draft202012::new(&schema).unwrap()
    };
    let check = |validator: &jsonschema::Validator, value: &Value| {
        let errors: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?} in {value:#}");
    };
    let (report, sighting) = (validator("report"), validator("sighting"));
    let mut server = Server::start(&["ftp.passive_ports=25450-25499"]);
    for more in [["--from=server", "--full-range"], ["--from=outside", "--no-evidence"]] {
        let value = serde_json::to_value(probe(&server.settings(), &more)).unwrap();
        check(&report, &value);
        // A schema that takes everything would be none.
        let mut wrong = value.clone();
        wrong["verdict"] = "perhaps".into();
        assert!(!report.is_valid(&wrong));
    }
    let lost = run(["probe", "no-such-host.invalid", "--format=json"]);
    check(&report, &serde_json::from_slice(&lost.stdout).unwrap());
    server.terminate();
    let lines = std::fs::read_to_string(journal(&server)).unwrap();
    assert!(lines.lines().count() > 50);
    for line in lines.lines() {
        check(&sighting, &serde_json::from_str(line).unwrap());
    }
}
