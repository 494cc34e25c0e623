use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::event::{ClientEvent, EVENTS_PATH, MOST_EVENTS, MOST_REQUEST_BYTES, Receipt, What};
use fwdrill_protocol::storm::{STORMS_PATH, StormReport};

use super::*;
use crate::TOKEN_FILE;

fn event(client: &str) -> ClientEvent {
    let what = What::Started {
        program: "0.1.0".to_owned(),
        role: "sync".to_owned(),
    };
    ClientEvent::now(client.parse().unwrap(), what)
}

fn post(header: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {EVENTS_PATH} HTTP/1.1\r\nHost: a\r\n{header}Content-Length: {length}\r\n\r\n{body}")
}

fn receipt(answer: &Answer) -> Receipt {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).unwrap()
}

/// A server, and the header that shows its enrolment token.
async fn enrolled() -> (Place, Running, String) {
    let place = Place::new();
    place.depot.publish(1, &[]);
    let server = place.start().await;
    let token = std::fs::read_to_string(place.state.path().join(TOKEN_FILE)).unwrap();
    (place, server, format!("Authorization: Bearer {}\r\n", token.trim()))
}

impl Running {
    async fn post(&self, header: &str, body: &str) -> Answer {
        let mut wire = self.connect(Flow::Events).await;
        wire.send(&post(header, body)).await;
        wire.answer(false).await
    }
}

#[tokio::test]
async fn events_are_on_the_disk_when_the_answer_says_so_and_once_however_often_they_come() {
    let (place, server, token) = enrolled().await;
    let (first, second) = (event("pc-1"), event("pc-2"));
    let both = serde_json::to_string(&[&first, &second]).unwrap();
    let stored = receipt(&server.post(&token, &both).await);
    assert_eq!((stored.stored, stored.known, stored.refused.len()), (2, 0, 0));
    // On the same connection, and one without an array around it.
    let mut wire = server.connect(Flow::Events).await;
    for _ in 0..2 {
        wire.send(&post(&token, &serde_json::to_string(&first).unwrap())).await;
        let again = receipt(&wire.answer(false).await);
        assert_eq!((again.stored, again.known), (0, 1));
    }
    drop(wire);
    server.stop().await;
    let server = Server::bind(place.config.clone()).await.unwrap();
    let kept = server.store().unwrap().events(None, None, 10).await.unwrap();
    let kept: Vec<_> = kept.into_iter().map(|stored| (stored.event, stored.enrolled)).collect();
    assert_eq!(kept, [(second, true), (first, true)]);
}

#[tokio::test]
async fn who_has_neither_the_token_nor_a_drill_that_is_known_stores_nothing() {
    let (_place, server, _token) = enrolled().await;
    let drill = DrillId::random();
    let named = format!("X-Fwdrill-Drill: {drill}\r\n");
    let body = serde_json::to_string(&event("pc-1")).unwrap();
    for header in [
        "",
        "Authorization: Bearer 00\r\n",
        "Authorization: Basic 00\r\n",
        "X-Fwdrill-Drill: 00\r\n",
        &named,
    ] {
        let answer = server.post(header, &body).await;
        assert_eq!(answer.status, 401, "{header}");
        assert_eq!(answer.field("www-authenticate"), Some("Bearer realm=\"fwdrill\""));
    }
    assert_eq!(server.store().count().await.unwrap(), 0);
    // The drill shows itself on another port.
    server
        .ask(Flow::Version, &format!("GET /version HTTP/1.1\r\nHost: a\r\n{named}"))
        .await;
    assert_eq!(receipt(&server.post(&named, &body).await).stored, 1);
    assert!(!server.store().client("pc-1").await.unwrap().unwrap().enrolled);
}

#[tokio::test]
async fn one_event_that_is_none_does_not_keep_the_others_out() {
    let (_place, server, token) = enrolled().await;
    let good = serde_json::to_value(event("pc-1")).unwrap();
    let mut nameless = good.clone();
    nameless["client"] = "../x".into();
    let mut foreign = good.clone();
    foreign["schema"] = "somebody.event/1".into();
    let mut later = serde_json::to_value(event("pc-1")).unwrap();
    later["event"] = "self-healed".into();
    let body = serde_json::to_string(&[&nameless, &good, &17.into(), &foreign, &later]).unwrap();
    let receipt = receipt(&server.post(&token, &body).await);
    assert_eq!(receipt.stored, 2);
    let refused: Vec<usize> = receipt.refused.iter().map(|refused| refused.index).collect();
    assert_eq!(refused, [0, 2, 3]);
    assert!(receipt.refused[0].why.contains("not a client name"), "{receipt:?}");
    let newest = &server.store().events(None, None, 1).await.unwrap()[0];
    assert_eq!(newest.event.what, What::Other);
}

#[tokio::test]
async fn what_is_no_request_with_events_is_told_why() {
    let (_place, server, token) = enrolled().await;
    let one = serde_json::to_string(&event("pc-1")).unwrap();
    let many = format!("[{}]", vec!["{}"; MOST_EVENTS + 1].join(","));
    for (body, status) in [("", 400), ("[", 400), ("17", 400), (many.as_str(), 413)] {
        assert_eq!(server.post(&token, body).await.status, status, "{body:.20}");
    }
    let head = format!("POST {EVENTS_PATH} HTTP/1.1\r\nHost: a\r\n{token}");
    let huge = format!("{head}Content-Length: {}\r\n", MOST_REQUEST_BYTES + 1);
    assert_eq!(server.ask(Flow::Events, &huge).await.status, 413);
    let chunked = format!("{head}Transfer-Encoding: chunked\r\n");
    assert_eq!(server.ask(Flow::Events, &chunked).await.status, 411);
    let hostless = post(&token, &one).replace("Host: a\r\n", "");
    let mut wire = server.connect(Flow::Events).await;
    wire.send(&hostless).await;
    assert_eq!(wire.answer(false).await.status, 400);
    let get = server
        .ask(Flow::Events, &format!("GET {EVENTS_PATH} HTTP/1.1\r\nHost: a\r\n"))
        .await;
    assert_eq!((get.status, get.field("allow")), (405, Some("POST")));
    // Nothing is served here but what drills need.
    for path in ["/manifest.json", "/version", "/"] {
        let answer = server
            .ask(Flow::Events, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n"))
            .await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert_eq!(
        server
            .ask(Flow::Events, "GET /healthz HTTP/1.1\r\nHost: a\r\n")
            .await
            .status,
        200
    );
    assert_eq!(server.store().count().await.unwrap(), 0);
}

#[tokio::test]
async fn storms_are_shown_to_who_has_the_token_and_are_of_those_who_have_it() {
    let (_place, server, token) = enrolled().await;
    let shown = async |header: &str| {
        server
            .ask(
                Flow::Events,
                &format!("GET {STORMS_PATH} HTTP/1.1\r\nHost: a\r\n{header}"),
            )
            .await
    };
    assert_eq!(shown("").await.status, 401);
    assert_eq!(shown("Authorization: Bearer wrong\r\n").await.status, 401);
    assert_eq!(shown(&token).await.body, b"[]");
    let of = |client: &str| {
        let report = serde_json::json!({
            "schema": StormReport::SCHEMA, "target": "a", "client": client, "started": "2026-11-24T07:00:00Z",
            "elapsed_ms": 1, "verdict": "pass", "mode": "ftp", "plan": {"clients": 1, "ramp_s": 0.0, "think_s": 0.0},
            "stopped": false, "passive_ports": "3023-4022", "both_ends": true,
            "lives": {"begun": 1, "lived": 1, "failed": 0},
            "most": {"agents": 1, "control_connections": 1, "passive_ports": 1}, "received": 0, "steps": [],
            "events": {"made": 1, "acknowledged": 1, "refused": 0, "given_up": 0, "repeated": 0},
            "machine": {"open_files": null, "local_ports": null, "short_of": []}, "findings": [],
        });
        let report: StormReport = serde_json::from_value(report).unwrap();
        let what = What::StormReport {
            report: Box::new(report),
        };
        serde_json::to_string(&ClientEvent::now(client.parse().unwrap(), what)).unwrap()
    };
    for client in ["a", "b"] {
        assert_eq!(receipt(&server.post(&token, &of(client)).await).stored, 1);
    }
    let drill = DrillId::random();
    let met = format!("GET /version HTTP/1.1\r\nHost: a\r\nX-Fwdrill-Drill: {drill}\r\n");
    server.ask(Flow::Version, &met).await;
    let stranger = format!("X-Fwdrill-Drill: {drill}\r\n");
    assert_eq!(receipt(&server.post(&stranger, &of("c")).await).stored, 1);
    let storms: Vec<StormReport> = serde_json::from_slice(&shown(&token).await.body).unwrap();
    let clients: Vec<&str> = storms.iter().map(|storm| storm.client.as_str()).collect();
    assert_eq!(clients, ["b", "a"], "the newest first");
}

#[tokio::test]
async fn a_drill_gets_its_evidence_here_too() {
    let (_place, server, _token) = enrolled().await;
    let drill = DrillId::random();
    let mut wire = server.connect(Flow::Events).await;
    wire.send(&drill.first_line()).await;
    assert!(wire.rest().await.starts_with(b"FWDRILL events "));
    let asked = format!("GET /evidence HTTP/1.1\r\nHost: a\r\nX-Fwdrill-Drill: {drill}\r\n");
    let answer = server.ask(Flow::Events, &asked).await;
    assert_eq!(answer.status, 200);
    assert!(String::from_utf8(answer.body).unwrap().contains("\"accepted\""));
}

#[tokio::test]
async fn a_body_that_ends_early_stores_nothing() {
    let (_place, server, token) = enrolled().await;
    let body = serde_json::to_string(&event("pc-1")).unwrap();
    let text = post(&token, &body);
    let mut wire = server.connect(Flow::Events).await;
    wire.send(&text[..text.len() - 5]).await;
    wire.stream.shutdown().await.unwrap();
    wire.rest_or_reset().await;
    assert_eq!(server.store().count().await.unwrap(), 0);
}

#[tokio::test]
async fn an_update_agent_keeps_no_events() {
    let mut place = Place::new();
    place.depot.publish(1, &[]);
    place.config.role = Role::UpdateAgent;
    let server = Server::bind(place.config.clone()).await.unwrap();
    assert!(server.store().is_none() && !place.state.path().join(TOKEN_FILE).exists());
}
