use fwdrill_protocol::event::EVENTS_PATH;
use fwdrill_protocol::task::{
    CHECK_IN_PATH, CheckIn, MOST_TASK_BYTES, Order, Orders, SIGNATURE_HEADER, Task, TaskReceipt, TaskResult, is_signed,
};
use jiff::Timestamp;
use tokio::net::TcpListener;

use super::*;
use crate::TOKEN_FILE;
use crate::store::TaskState;

/// A server, and its enrolment token.
struct Estate(Place, Running, String);

impl Estate {
    async fn start() -> Self {
        let place = Place::new();
        place.depot.publish(1, &[]);
        let server = place.start().await;
        let token = std::fs::read_to_string(place.state.path().join(TOKEN_FILE)).unwrap();
        Estate(place, server, token.trim().to_owned())
    }

    async fn post(&self, authorization: &str, body: &str) -> Answer {
        let length = body.len();
        let mut wire = self.1.connect(Flow::Agent).await;
        wire.send(&format!(
            "POST {CHECK_IN_PATH} HTTP/1.1\r\nHost: a\r\n{authorization}Content-Length: {length}\r\n\r\n{body}"
        ))
        .await;
        wire.answer(false).await
    }

    async fn check_in(&self, check_in: &CheckIn) -> Vec<Task> {
        let body = serde_json::to_string(check_in).unwrap();
        let answer = self.post(&format!("Authorization: Bearer {}\r\n", self.2), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let signature = answer.field(SIGNATURE_HEADER).unwrap();
        assert!(is_signed(&self.2, &answer.body, signature));
        serde_json::from_slice::<Orders>(&answer.body).unwrap().tasks
    }

    async fn give(&self, order: Order, to: &str) -> crate::store::TaskRow {
        let given = in_time(self.desk().give(order, Some(to.parse().unwrap())))
            .await
            .unwrap();
        assert_eq!(given.len(), 1);
        given.into_iter().next().unwrap()
    }

    fn desk(&self) -> &TaskDesk {
        self.1.tasks.as_ref().unwrap()
    }
}

fn check_in(client: &str, task_port: Option<u16>, results: Vec<TaskResult>) -> CheckIn {
    CheckIn {
        schema: CheckIn::SCHEMA.to_owned(),
        client: client.parse().unwrap(),
        program: "0.1.0".to_owned(),
        version: None,
        serial: None,
        task_port,
        results,
    }
}

fn result(task: &Task, ok: bool) -> TaskResult {
    TaskResult {
        id: task.id,
        at: Timestamp::now(),
        ok,
        detail: "it was".to_owned(),
        elapsed_ms: 1,
    }
}

async fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// Somebody at a client's port who answers one request as `answered` says; returns what was asked, and its body.
async fn client(
    answered: impl FnOnce(&Task) -> (u16, String) + Send + 'static,
) -> (u16, tokio::task::JoinHandle<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = tokio::spawn(async move {
        let mut wire = Wire::new(in_time(listener.accept()).await.unwrap().0);
        let head = loop {
            if let Some(end) = wire.unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break String::from_utf8(wire.unread.drain(..end + 4).collect()).unwrap();
            }
            wire.more().await;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        let body = wire.take(length.parse().unwrap()).await;
        let (status, said) = answered(&serde_json::from_slice(&body).unwrap());
        let length = said.len();
        wire.send(&format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{said}"
        ))
        .await;
        (head, body)
    });
    (port, asked)
}

fn receipt(task: &Task, known: bool, result: Option<TaskResult>) -> String {
    let receipt = TaskReceipt {
        schema: TaskReceipt::SCHEMA.to_owned(),
        id: task.id,
        known,
        result,
    };
    serde_json::to_string(&receipt).unwrap()
}

#[tokio::test]
async fn a_task_is_posted_to_the_agent_and_signed_with_a_token_that_is_not_shown() {
    let estate = Estate::start().await;
    let (port, asked) = client(|task| (200, receipt(task, false, None))).await;
    assert_eq!(estate.check_in(&check_in("pc-1", Some(port), vec![])).await, []);
    let given = estate.give(Order::Sync, "pc-1").await;
    assert_eq!(given.state, TaskState::Delivered, "{given:?}");
    let (head, body) = in_time(asked).await.unwrap();
    assert!(
        head.starts_with("POST /tasks HTTP/1.1\r\n") && !head.contains(&estate.2),
        "{head}"
    );
    let signature = head.split_once(&format!("{SIGNATURE_HEADER}: ")).unwrap().1;
    assert!(is_signed(&estate.2, &body, signature.split_once("\r\n").unwrap().0));
    // Until there is a result it comes with each check-in; the first result counts.
    for results in [
        vec![],
        vec![result(&given.task, false)],
        vec![result(&given.task, true)],
    ] {
        let last = results.is_empty();
        let left = estate.check_in(&check_in("pc-1", Some(port), results)).await;
        assert_eq!(left.len(), usize::from(last));
    }
    let row = estate.desk().task(given.task.id).await.unwrap().unwrap();
    assert_eq!((row.state, row.detail.as_str()), (TaskState::Failed, "it was"));
}

#[tokio::test]
async fn a_task_that_does_not_reach_its_agent_waits_for_the_next_check_in_and_says_why() {
    let estate = Estate::start().await;
    let closed = closed_port().await;
    let (elsewhere, _asked) = client(|_| (421, String::new())).await;
    let (stranger, _asked) = client(|_| (200, "<html>".to_owned())).await;
    let (unsigned, _asked) = client(|_| (401, String::new())).await;
    for (port, why) in [
        (None, "listens nowhere"),
        (Some(closed), "refused"),
        (Some(elsewhere), "another client"),
        (Some(stranger), "no receipt"),
        (Some(unsigned), "another enrolment token"),
    ] {
        estate.check_in(&check_in("pc-1", port, vec![])).await;
        let given = estate.give(Order::Probe, "pc-1").await;
        assert_eq!(given.state, TaskState::Waiting, "{why}");
        assert!(given.detail.contains(why), "{given:?}");
        // Who presses twice gives one task.
        assert_eq!(estate.give(Order::Probe, "pc-1").await.task.id, given.task.id);
        assert_eq!(
            estate
                .check_in(&check_in("pc-2", None, vec![result(&given.task, true)]))
                .await,
            []
        );
        let fetched = estate.check_in(&check_in("pc-1", port, vec![])).await;
        assert_eq!(fetched.iter().map(|task| task.id).collect::<Vec<_>>(), [given.task.id]);
        let row = estate.desk().task(given.task.id).await.unwrap().unwrap();
        assert_eq!(
            row.state,
            TaskState::Delivered,
            "the result of a stranger counts nothing"
        );
        estate
            .check_in(&check_in("pc-1", port, vec![result(&given.task, true)]))
            .await;
        let row = estate.desk().task(given.task.id).await.unwrap().unwrap();
        assert_eq!(row.state, TaskState::Done);
    }
    assert!(
        estate
            .desk()
            .give(Order::Probe, Some("pc-3".parse().unwrap()))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn what_waits_survives_the_server_and_a_known_task_brings_its_result() {
    let estate = Estate::start().await;
    estate.check_in(&check_in("pc-1", None, vec![])).await;
    estate.check_in(&check_in("pc-2", None, vec![])).await;
    let given = estate.desk().give(Order::SendLog, None).await.unwrap();
    assert_eq!(given.len(), 2);
    let Estate(place, server, token) = estate;
    server.stop().await;
    let server = place.start().await;
    let estate = Estate(place, server, token);
    let fetched = estate.check_in(&check_in("pc-2", None, vec![])).await;
    assert_eq!(
        fetched.iter().map(|task| task.id).collect::<Vec<_>>(),
        [given[1].task.id]
    );
    // Somebody else has done theirs before.
    let (port, asked) = client(|task| (200, receipt(task, true, Some(result(task, true))))).await;
    estate.check_in(&check_in("pc-3", Some(port), vec![])).await;
    let done = estate.give(Order::SendLog, "pc-3").await;
    assert_eq!((done.state, done.detail.as_str()), (TaskState::Done, "it was"));
    in_time(asked).await.unwrap();
    let row = estate.desk().task(given[0].task.id).await.unwrap().unwrap();
    assert_eq!(row.state, TaskState::Waiting);
}

#[tokio::test]
async fn who_does_not_have_the_token_or_says_something_else_checks_nobody_in() {
    let estate = Estate::start().await;
    let good = serde_json::to_string(&check_in("pc-1", None, vec![])).unwrap();
    for authorization in [
        "",
        "Authorization: Bearer 00\r\n",
        "Authorization: Basic 00\r\n",
        "X-Fwdrill-Drill: 00000000000000000000000000000000\r\n",
    ] {
        let answer = estate.post(authorization, &good).await;
        assert_eq!(answer.status, 401, "{authorization}");
        assert_eq!(answer.field("www-authenticate"), Some("Bearer realm=\"fwdrill\""));
    }
    let token = format!("Authorization: Bearer {}\r\n", estate.2);
    let huge = "x".repeat(MOST_TASK_BYTES + 1);
    for (body, status) in [
        ("", 400),
        ("{}", 400),
        (good.replace("check-in/1", "check-in/9").as_str(), 400),
        (good.replace("pc-1", "../pc").as_str(), 400),
        (huge.as_str(), 413),
    ] {
        assert_eq!(estate.post(&token, body).await.status, status, "{body:.40}");
    }
    assert!(estate.1.store().agents().await.unwrap().is_empty());
    for (path, status) in [
        (CHECK_IN_PATH, 405),
        (EVENTS_PATH, 404),
        ("/manifest.json", 404),
        ("/healthz", 200),
    ] {
        let get = format!("GET {path} HTTP/1.1\r\nHost: a\r\n");
        assert_eq!(estate.1.ask(Flow::Agent, &get).await.status, status, "{path}");
    }
}
