use std::fs;

use fwdrill_protocol::drill::{DRILL_HEADER, DrillId};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::sighting::Event;

use super::*;

async fn serving(change: impl FnOnce(&mut Config)) -> (Place, Running) {
    let mut place = Place::new();
    place
        .depot
        .publish(1, &[("signatures/a", b"one"), ("signatures/big", &pattern(20 << 20))]);
    change(&mut place.config);
    let server = place.start().await;
    (place, server)
}

#[tokio::test]
async fn a_request_has_one_well_formed_host() {
    let (_place, server) = serving(|_| ()).await;
    for (head, expected) in [
        ("GET /signatures/a HTTP/1.1\r\n", 400),
        ("GET /signatures/a HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400),
        ("GET /signatures/a HTTP/1.1\r\nHost: a b\r\n", 400),
        ("GET /signatures/a HTTP/1.1\r\nHost: a/b\r\n", 400),
        ("GET /signatures/a HTTP/1.1\r\nHost: user@a\r\n", 400),
        ("GET /signatures/a HTTP/1.1\r\nHost: a:99999\r\n", 400),
        ("GET /signatures/a HTTP/1.1\r\nHost: [::1\r\n", 400),
        ("GET /signatures/a HTTP/1.1\r\nHost : a\r\n", 400),
        ("POST /signatures/a HTTP/1.1\r\nContent-Length: 0\r\n", 400),
        ("GET http://user@a/signatures/a HTTP/1.1\r\nHost: a\r\n", 400),
        ("GET /signatures/a HTTP/1.1\r\nHost:\r\n", 200),
        ("GET /signatures/a HTTP/1.1\r\nHost: update.example.net:2221\r\n", 200),
        ("GET /signatures/a HTTP/1.1\r\nhOsT: [::1]:2221\r\n", 200),
        ("GET http://anybody/signatures/a HTTP/1.1\r\nHost: other\r\n", 200),
        ("GET /signatures/a HTTP/1.0\r\n", 200),
        ("GET /signatures/a HTTP/1.0\r\nHost: a\r\nHost: b\r\n", 400),
    ] {
        let mut wire = server.connect(Flow::Http).await;
        assert_eq!(wire.ask(head).await.status, expected, "{head}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_told_so_and_the_connection_closed() {
    let (_place, server) = serving(|_| ()).await;
    for text in [
        "\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n",
        "USER anonymous\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut wire = server.connect(Flow::Http).await;
        wire.send(text).await;
        let rest = String::from_utf8(wire.rest().await).unwrap();
        assert!(rest.starts_with("HTTP/1.1 400 "), "{text:?}: {rest:?}");
    }
}

#[tokio::test]
async fn an_endless_head_is_refused_when_it_is_too_long_and_the_refusal_arrives() {
    let (_place, server) = serving(|_| ()).await;
    let line = format!("X-Long: {}\r\n", "x".repeat(1000));
    let endless: [(&str, String, &str); 3] = [
        (
            "field",
            format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}", "x".repeat(200_000)),
            "431",
        ),
        (
            "fields",
            format!("GET / HTTP/1.1\r\nHost: a\r\n{}", line.repeat(200)),
            "431",
        ),
        ("request line", format!("GET /{}", "x".repeat(200_000)), "4"),
    ];
    for (name, text, status) in endless {
        let mut wire = server.connect(Flow::Http).await;
        // The server may stop reading before all is written.
        let _ = in_time(wire.stream.write_all(text.as_bytes())).await;
        let rest = String::from_utf8(wire.rest().await).unwrap();
        assert!(rest.starts_with(&format!("HTTP/1.1 {status}")), "{name}: {rest:?}");
    }
    let many: String = (0..101).map(|n| format!("X-{n}: x\r\n")).collect();
    let answer = server
        .ask(Flow::Http, &format!("GET / HTTP/1.1\r\nHost: a\r\n{many}"))
        .await;
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn a_head_that_never_ends_and_an_idle_connection_are_closed_in_time() {
    let (_place, server) = serving(|config| config.http.header_time = Duration::from_millis(100)).await;
    let mut slow = server.connect(Flow::Http).await;
    slow.send("GET / HTTP/1.1\r\nHo").await;
    assert_eq!(slow.rest().await, b"");
    let mut silent = server.connect(Flow::Http).await;
    assert_eq!(silent.rest().await, b"");
    let mut idle = server.connect(Flow::Http).await;
    assert_eq!(idle.ask("GET /signatures/a HTTP/1.1\r\nHost: a\r\n").await.status, 200);
    assert_eq!(idle.rest().await, b"");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up_and_what_it_took_is_noted() {
    let (_place, server) = serving(|config| config.http.write_stall = Duration::from_millis(100)).await;
    let drill = DrillId::random();
    let mut wire = server.connect_narrow(Flow::Http).await;
    wire.send(&format!(
        "GET /signatures/big HTTP/1.1\r\nHost: a\r\n{DRILL_HEADER}: {drill}\r\n\r\n"
    ))
    .await;
    let moved = in_time(async {
        loop {
            let seen = server.journal.of(drill);
            if let Some(Event::Transferred { path, bytes, complete }) =
                seen.last().map(|sighting| sighting.event.clone())
            {
                assert_eq!((path.as_str(), complete), ("/signatures/big", false));
                break bytes;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let head = wire.head().await;
    assert_eq!(head.field("content-length"), Some("20971520"));
    let got = wire.rest().await;
    assert!(
        got.len() < 20 << 20 && got.len() as u64 <= moved,
        "{} of {moved}",
        got.len()
    );
    assert!(got == pattern(20 << 20)[..got.len()]);
}

#[tokio::test]
async fn a_file_cut_short_on_disk_in_mid_download_shows_as_a_cut_connection() {
    let (place, server) = serving(|_| ()).await;
    let mut wire = server.connect_narrow(Flow::Http).await;
    wire.send("GET /signatures/big HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(wire.head().await.status, 200);
    let file = place.depot.path().join("sets/1/signatures/big");
    fs::OpenOptions::new()
        .write(true)
        .open(file)
        .unwrap()
        .set_len(0)
        .unwrap();
    assert!(
        wire.rest_or_reset().await.len() < 20 << 20,
        "fewer bytes than promised, then the end"
    );
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let (_place, server) = serving(|_| ()).await;
    let mut wire = server.connect(Flow::Http).await;
    let paths = ["/signatures/a", "/nothing", "/healthz", "/signatures/a"];
    let requests: String = paths
        .map(|path| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .concat();
    wire.send(&requests.repeat(250)).await;
    for _ in 0..250 {
        let mut bodies = Vec::new();
        for _ in paths {
            bodies.push(String::from_utf8(wire.answer(false).await.body).unwrap());
        }
        assert_eq!(bodies, ["one", "there is no such file\n", "ok\n", "one"]);
    }
}

#[tokio::test]
async fn a_client_that_has_ended_its_side_still_gets_everything() {
    let (_place, server) = serving(|_| ()).await;
    let mut wire = server.connect(Flow::Http).await;
    wire.send("GET /signatures/big HTTP/1.1\r\nHost: a\r\n\r\n").await;
    wire.stream.shutdown().await.unwrap();
    assert!(wire.answer(false).await.body == pattern(20 << 20));
    assert_eq!(wire.rest().await, b"");
}

#[tokio::test]
async fn connections_opened_and_dropped_leave_nothing_behind() {
    let (_place, server) = serving(|_| ()).await;
    let open_files = || fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open_files();
    for round in 0..500 {
        let mut wire = server.connect(Flow::Http).await;
        match round % 3 {
            0 => {}
            1 => wire.send("GET /signatures/big HTTP/1.1\r\nHost: a\r\n\r\n").await,
            _ => wire.send("GET /sig").await,
        }
    }
    in_time(async {
        while open_files() > before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
