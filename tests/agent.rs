//! A client PC as a daemon, through the real binary, and a server that has it do something.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::{Report, State, Verdict};
use fwdrill_protocol::task::{Order, SIGNATURE_HEADER, Task, TaskReceipt, sign};
use fwdrill_server::store::{Limits, Store};
use rustix::process::Signal;
use serde_json::{Value, json};
use support::agent::{ANYWHERE, Agent, token};
use support::program::program;
use support::{Server, exit_within, required, run, signal, stderr};

/// Nothing here takes longer, unless it never comes.
const ENOUGH: Duration = Duration::from_secs(30);

/// Posts a task to an agent's port, signed with this token: the status, and what it says.
fn post(agent: &Agent, token: &str, task: &Task) -> (String, String) {
    let body = serde_json::to_string(task).unwrap();
    let output = Command::new(required("curl"))
        .args(["--silent", "--write-out", "\n%{http_code}", "--data", &body, "--header"])
        .arg(format!("{SIGNATURE_HEADER}: {}", sign(token, body.as_bytes())))
        .arg(format!("http://{}/tasks", agent.announcement.addresses[&Flow::Tasks]))
        .output()
        .unwrap();
    let said = support::stdout(&output);
    let (said, status) = said.rsplit_once('\n').unwrap();
    (status.to_owned(), said.to_owned())
}

/// Gives the agent an order; what became of it in a few seconds.
fn give(server: &Server, order: &str) -> Value {
    server.api("/api/tasks", Some(&json!({ "task": order, "client": "pc-1" })))[0].clone()
}

/// Looks until there is something.
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < ENOUGH, "{what} never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn checked_in(server: &Server) -> Value {
    until("an agent", || server.api("/api/agents", None).get(0).cloned())
}

/// The task, once it is done or failed.
fn ended(server: &Server, given: &Value) -> Value {
    until("an end of the task", || {
        let tasks = server.api("/api/tasks", None);
        let task = tasks.as_array().unwrap().iter().find(|task| task["id"] == given["id"]);
        let ended = |task: &&Value| task["state"] == "done" || task["state"] == "failed";
        task.filter(ended).cloned()
    })
}

async fn reports(server: &Server) -> Vec<Report> {
    // A second connection may read while the server writes.
    let store = Store::open(&server.state(), Limits::default()).unwrap();
    let mut reports = Vec::new();
    for row in store.reports(100).await.unwrap() {
        reports.push(store.report(row.seq).await.unwrap().unwrap().1);
    }
    reports
}

#[tokio::test]
async fn an_agent_updates_uploads_and_carries_out_each_task_that_is_posted_to_it() {
    let server = Server::start(&[]);
    // Whatever happens after the first minute happens because it is told.
    let mut agent = Agent::start(&server, &["--every=3600"]);
    assert_eq!(agent.announcement.pid, agent.child.id());
    assert!(agent.announcement.addresses[&Flow::SelfEvents].ip().is_loopback());
    until("the first update", || agent.current().exists().then_some(()));
    let uploads = server.dropbox().join("pc-1");
    until("the log", || uploads.join("mwav.log").exists().then_some(()));
    assert_eq!(checked_in(&server)["name"], "pc-1");

    server.publish(&["--version", "22.0.test"]);
    let given = give(&server, "sync");
    assert!(given["state"] == "delivered" || given["state"] == "done", "{given}");
    let done = ended(&server, &given);
    assert_eq!(done["state"], "done", "{done}");
    assert!(
        done["detail"]
            .as_str()
            .unwrap()
            .starts_with("version 22.0.test, serial 2"),
        "{done}"
    );
    assert_eq!(std::fs::read_link(agent.current()).unwrap(), PathBuf::from("sets/2"));
    // It says so itself when it checks in with the result.
    assert_eq!(checked_in(&server)["serial"], 2);

    std::fs::remove_dir_all(&uploads).unwrap();
    let done = ended(&server, &give(&server, "send-log"));
    assert_eq!(
        (&done["state"], done["detail"].as_str().unwrap()),
        (
            &json!("done"),
            "uploaded /upload/pc-1/sysinfo.json and /upload/pc-1/mwav.log"
        )
    );
    let log = std::fs::read_to_string(uploads.join("mwav.log")).unwrap();
    assert!(log.ends_with("Total Errors: 0\r\n"), "{log}");
    let information: Value = serde_json::from_slice(&std::fs::read(uploads.join("sysinfo.json")).unwrap()).unwrap();
    assert_eq!(
        (&information["client"], &information["update_set"]["serial"]),
        (&json!("pc-1"), &json!(2))
    );

    assert!(reports(&server).await.is_empty());
    let done = ended(&server, &give(&server, "probe"));
    assert_eq!(done["state"], "done", "{done}");
    let reports = reports(&server).await;
    assert_eq!(reports.len(), 1);
    assert!(
        done["detail"].as_str().unwrap().starts_with(reports[0].verdict.name()),
        "{done}"
    );
    assert_eq!(agent.terminate(), Some(0), "{}", agent.log());
}

#[tokio::test]
async fn who_cannot_be_reached_gets_its_tasks_when_it_checks_in() {
    let server = Server::start(&[]);
    // The server dials where the agent comes from, which is 127.0.0.1.
    let mut agent = Agent::listening(&server, "127.0.0.3:0", &token(&server), &["--every=2"]);
    checked_in(&server);
    let given = give(&server, "sync");
    let (state, detail) = (given["state"].as_str().unwrap(), given["detail"].as_str().unwrap());
    assert!(
        state == "waiting" && detail.contains("cannot be reached: refused"),
        "{given}"
    );
    let done = ended(&server, &given);
    assert_eq!(done["state"], "done", "{done}");
    // So many at once, to all.
    for order in ["send-log", "probe"] {
        let given = server.api("/api/tasks", Some(&json!({ "task": order })))[0].clone();
        assert_eq!(ended(&server, &given)["state"], "done", "{order}");
    }
    assert_eq!(agent.terminate(), Some(0), "{}", agent.log());
}

#[tokio::test]
async fn another_token_is_refused_on_both_sides_and_a_task_that_is_repeated_is_done_once() {
    let server = Server::start(&[]);
    let agent = Agent::listening(&server, ANYWHERE, "0123456789abcdef", &["--every=3600"]);
    until("the refusal", || {
        agent
            .log()
            .contains("does not know this client's enrolment token")
            .then_some(())
    });
    assert_eq!(server.api("/api/agents", None), json!([]));
    let task = Task::now("pc-1".parse().unwrap(), Order::Probe);
    assert_eq!(post(&agent, &token(&server), &task).0, "401");
    let other = Task::now("pc-2".parse().unwrap(), Order::Probe);
    assert_eq!(post(&agent, "0123456789abcdef", &other).0, "421");
    drop(agent);

    let agent = Agent::start(&server, &["--every=3600"]);
    let receipt = || {
        let (status, said) = post(&agent, &token(&server), &task);
        assert_eq!(status, "200", "{said}");
        serde_json::from_str::<TaskReceipt>(&said).unwrap()
    };
    assert!(!receipt().known);
    assert!(receipt().known);
    let result = until("the result", || receipt().result);
    assert!(result.ok, "{result:?}");
    assert_eq!(receipt().result, Some(result));
    assert_eq!(reports(&server).await.len(), 1);
}

#[tokio::test]
async fn an_agent_goes_on_when_its_server_was_killed_and_is_back() {
    let server = Server::start(&[]);
    let mut agent = Agent::start(&server, &["--every=1"]);
    checked_in(&server);
    until("the first update", || agent.current().exists().then_some(()));
    // The same ports, whatever range the passive ones are of.
    let settings: Vec<String> = server
        .settings()
        .into_iter()
        .map(|setting| setting.strip_prefix("--set=").unwrap().to_owned())
        .collect();
    let directory = server.kill();
    until("a failure", || agent.log().contains("no check-in").then_some(()));
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let server = Server::start_in(directory, &settings, |_| {});
    let done = ended(&server, &give(&server, "sync"));
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(agent.terminate(), Some(0), "{}", agent.log());
}

#[tokio::test]
async fn a_drill_beside_an_agent_shares_its_port_and_so_does_the_agents_own() {
    // The server sees its client as 127.0.0.1, where the same ports are free.
    let server = Server::start(&["server.bind=127.0.0.2"]);
    let self_events = format!("--set=ports.self_events={}", server.port(Flow::SelfEvents));
    let listen = format!("127.0.0.1:{}", server.port(Flow::Agent));
    let expected = "--set=expect.outside.tasks=open";
    let agent = Agent::listening(
        &server,
        &listen,
        &token(&server),
        &["--every=3600", expected, &self_events],
    );
    let probe = || -> Report {
        let mut arguments = vec!["probe".to_owned(), "127.0.0.2".to_owned(), "--quick".to_owned()];
        arguments.extend(["--format=json", "--send-report=off", expected].map(str::to_owned));
        arguments.extend(server.settings());
        let probed = run(arguments);
        serde_json::from_slice(&probed.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(&probed)))
    };
    let tasks = |report: &Report| {
        report
            .flows
            .iter()
            .find(|flow| flow.flow == Flow::Tasks)
            .cloned()
            .unwrap()
    };
    let shared = tasks(&probe());
    assert_eq!(
        (shared.verdict, shared.state),
        (Verdict::Pass, State::Open),
        "{shared:?}"
    );
    checked_in(&server);
    // An address is dialled every two seconds at most, so the first one may come too early.
    let begun = Instant::now();
    loop {
        let done = ended(&server, &give(&server, "probe"));
        assert_eq!(done["state"], "done", "{done}");
        let own = tasks(&reports(&server).await[0]);
        if (own.verdict, own.state) == (Verdict::Pass, State::Open) {
            break;
        }
        assert!(begun.elapsed() < ENOUGH, "{own:?}");
    }
    drop(agent);
    let alone = tasks(&probe());
    assert_eq!(alone.verdict, Verdict::Inconclusive, "nobody listens: {alone:?}");
}

#[test]
fn over_http_an_agent_gets_the_same_files_and_ends_in_order_wherever_it_is_interrupted() {
    let server = Server::start(&[]);
    let mut agent = Agent::start(&server, &["--mode=http", "--every=3600"]);
    until("the first update", || agent.current().exists().then_some(()));
    until("the log", || {
        server.dropbox().join("pc-1/mwav.log").exists().then_some(())
    });
    assert_eq!(support::tree(&agent.current()), support::tree(&server.current_set()));
    signal(&agent.child, Signal::INT);
    assert_eq!(exit_within(&mut agent.child, ENOUGH).code(), Some(0), "{}", agent.log());
    // In the middle of its first update, or before.
    for pause in [0, 20, 60] {
        let mut agent = Agent::start(&server, &["--every=3600"]);
        std::thread::sleep(Duration::from_millis(pause));
        assert_eq!(agent.terminate(), Some(0), "{}", agent.log());
        if agent.current().exists() {
            assert_eq!(support::tree(&agent.current()), support::tree(&server.current_set()));
        }
    }
    // Whole or not at all.
    assert!(
        support::tree(&server.dropbox())
            .keys()
            .all(|file| ["pc-1/mwav.log", "pc-1/sysinfo.json"].contains(&file.as_str()))
    );
}

/// In network namespaces, which need no privilege.
#[test]
fn behind_a_nat_tasks_come_by_check_in_and_drills_say_why_they_do_not_come_otherwise() {
    let directory = tempfile::tempdir().unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/agent/behind_nat.sh");
    for program in ["ip", "nft", "curl", "unshare"] {
        required(program);
    }
    let output = program("timeout", directory.path())
        .args(["60", "unshare", "-Urnm", "bash", script, env!("CARGO_BIN_EXE_fwdrill")])
        .arg(directory.path())
        .output()
        .unwrap();
    let log = |file: &str| std::fs::read_to_string(directory.path().join(file)).unwrap_or_default();
    let told = format!("{}{}{}", stderr(&output), log("server.log"), log("agent.log"));
    let said = support::stdout(&output);
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{told}")))
        .collect();
    let [given, ended, own, beside, _] = lines.as_slice() else {
        panic!("{said}{told}")
    };
    let detail = given[0]["detail"].as_str().unwrap();
    assert!(
        given[0]["state"] == "waiting" && detail.contains("203.0.113.9:2222 cannot be reached: timeout"),
        "{given}"
    );
    assert_eq!(
        (&ended[0]["id"], &ended[0]["state"]),
        (&given[0]["id"], &json!("done")),
        "{ended}"
    );
    for report in [own, beside] {
        let report: Report = serde_json::from_value(report.clone()).unwrap();
        let found: Vec<&str> = report.findings.iter().map(|finding| finding.id.name()).collect();
        assert!(found.contains(&"task-port-behind-nat"), "{found:?}");
        let flow = report.flows.iter().find(|flow| flow.flow == Flow::Tasks).unwrap();
        assert_eq!((flow.verdict, flow.state), (Verdict::Fail, State::Filtered), "{flow:?}");
    }
}

#[test]
fn an_agent_without_a_key_or_with_a_taken_port_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let agent = |more: &str| {
        let into = format!("--into={}", directory.path().join("updates").display());
        let output = run(["agent", "127.0.0.1", &into, "--set=ports.self_events=0", more]);
        (output.status.code(), stderr(&output))
    };
    let (code, said) = agent("--listen=127.0.0.1:0");
    assert!(code == Some(2) && said.contains("--public-key"), "{said}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (code, said) = agent(&format!("--listen={address}"));
    assert!(code == Some(2) && said.contains(&address.to_string()), "{said}");
}
