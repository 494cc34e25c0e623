use fwdrill_protocol::drill::{DRILL_HEADER, DrillId, EVIDENCE_PATH};
use fwdrill_protocol::evidence::{Evidence, ServerRole};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::sighting::Event;
use fwdrill_protocol::task_port::{NONCE_HEADER, TASK_PORT_PATH, TaskPortAnswer, proof};
use tokio::net::{TcpListener, TcpSocket};

use super::*;

fn get(path: &str, drill: DrillId) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n{DRILL_HEADER}: {drill}\r\n")
}

async fn evidence(server: &Running, flow: Flow, drill: DrillId) -> Option<Evidence> {
    let answer = server.ask(flow, &get(EVIDENCE_PATH, drill)).await;
    match answer.status {
        404 => None,
        200 => {
            assert_eq!(answer.field("cache-control"), Some("no-store"));
            Some(serde_json::from_slice(&answer.body).unwrap())
        }
        status => panic!("{status}"),
    }
}

#[tokio::test]
async fn a_drill_reads_what_was_seen_of_it_at_either_port_and_nobody_else_does() {
    let place = Place::new();
    place.depot.publish(1, &[("signatures/a", &pattern(300_000))]);
    let server = place.start().await;
    let (ours, theirs) = (DrillId::random(), DrillId::random());
    let mut wire = server.connect(Flow::Http).await;
    let us = wire.stream.local_addr().unwrap();
    wire.ask(&get("/signatures/a", ours)).await;
    wire.ask(&get("/nothing", ours)).await;
    wire.ask(&format!("{}Range: bytes=-5\r\n", get("/sets/1/signatures/a", ours)))
        .await;
    server.ask(Flow::Version, &get("/version", theirs)).await;
    server.get("/signatures/a").await;

    for flow in [Flow::Http, Flow::Version] {
        let Evidence {
            schema,
            server: state,
            host,
            unnamed,
            forgotten,
            set,
            sightings,
        } = evidence(&server, flow, ours).await.unwrap();
        assert_eq!(schema, Evidence::SCHEMA);
        assert_eq!(state.listening, server.announcement.addresses);
        assert_eq!(state.role, Some(ServerRole::Server));
        assert_eq!(set.map(|set| set.serial), Some(1));
        let ports: Vec<u16> = state.estate_ports.iter().collect();
        let listening = host.unwrap().listening;
        assert!(
            ports
                .iter()
                .all(|port| listening.iter().any(|seen| seen.address.port() == *port))
        );
        // The last request above named no drill, and came from the same address.
        assert_eq!((unnamed.get(&Flow::Http), forgotten), (Some(&1), 0));
        let of_the_wire: Vec<_> = sightings.into_iter().filter(|sighting| sighting.peer == us).collect();
        let answered = |request: &str, status| Event::Answered {
            request: request.to_owned(),
            status,
        };
        let transferred = |path: &str, bytes| Event::Transferred {
            path: path.to_owned(),
            bytes,
            complete: true,
        };
        let events: Vec<_> = of_the_wire.iter().map(|sighting| sighting.event.clone()).collect();
        assert_eq!(
            events,
            [
                Event::Accepted,
                answered("GET /signatures/a", 200),
                transferred("/signatures/a", 300_000),
                answered("GET /nothing", 404),
                answered("GET /sets/1/signatures/a", 206),
                transferred("/sets/1/signatures/a", 5),
            ]
        );
        for sighting in of_the_wire {
            assert_eq!((sighting.drill, sighting.flow), (Some(ours), Flow::Http));
            assert_eq!(sighting.local, server.address(Flow::Http));
            let ttl = sighting.syn.map(|syn| syn.ttl);
            assert_eq!(ttl.is_some(), sighting.event == Event::Accepted, "{sighting:?}");
        }
    }
    let of_theirs = evidence(&server, Flow::Http, theirs).await.unwrap().sightings;
    assert!(
        of_theirs.iter().all(|sighting| sighting.drill == Some(theirs)),
        "{of_theirs:?}"
    );
}

#[tokio::test]
async fn who_only_asks_for_evidence_does_not_become_known_by_it() {
    let place = Place::new();
    place.depot.publish(1, &[]);
    let server = place.start().await;
    let stranger = DrillId::random();
    for _ in 0..2 {
        assert_eq!(evidence(&server, Flow::Version, stranger).await, None);
    }
    for field in ["", "x-fwdrill-drill: 12\r\n", "x-fwdrill-drill: ../../etc/passwd\r\n"] {
        server
            .ask(Flow::Version, &format!("GET /version HTTP/1.1\r\nHost: a\r\n{field}"))
            .await;
        let head = format!("GET {EVIDENCE_PATH} HTTP/1.1\r\nHost: a\r\n{field}");
        assert_eq!(server.ask(Flow::Version, &head).await.status, 404, "{field}");
    }
}

#[tokio::test]
async fn the_journal_on_disk_has_every_line_when_the_server_has_stopped() {
    let place = Place::new();
    place.depot.publish(1, &[]);
    let server = place.start().await;
    let drill = DrillId::random();
    server.ask(Flow::Version, &get("/version", drill)).await;
    let seen = server.journal.of(drill);
    server.stop().await;
    let text = std::fs::read_to_string(place.state.path().join("journal.jsonl")).unwrap();
    let lines: Vec<fwdrill_protocol::sighting::Sighting> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (own, of_the_start): (Vec<_>, Vec<_>) = lines.into_iter().partition(|line| line.drill.is_some());
    assert_eq!(own, seen);
    assert_eq!(seen.len(), 2);
    // What it listens on, in the file only.
    let listening = of_the_start
        .iter()
        .filter(|line| matches!(line.event, Event::Listening { .. }));
    assert!(listening.map(|line| line.flow).any(|flow| flow == Flow::Version));
}

#[tokio::test]
async fn a_drill_has_its_own_task_port_dialled_and_finds_that_among_its_evidence() {
    let place = Place::new();
    place.depot.publish(1, &[]);
    let server = place.start().await;
    // A client with an address of its own, so that it can have the same port.
    let port = server.address(Flow::Agent).port();
    let listener = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let drill = DrillId::random();
    let client = tokio::spawn(async move {
        let mut wire = Wire::new(listener.accept().await.unwrap().0);
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            request.push(char::from(in_time(wire.stream.read_u8()).await.unwrap()));
        }
        let nonce = request.split_once(&format!("{NONCE_HEADER}: ")).unwrap().1;
        let nonce = nonce.split_once("\r\n").unwrap().0;
        assert!(!request.contains(&drill.to_string()), "the drill id is told to nobody");
        wire.send(&format!("HTTP/1.1 200 OK\r\n\r\n{}", proof(drill, nonce)))
            .await;
    });
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut wire = Wire::new(socket.connect(server.address(Flow::Version)).await.unwrap());
    let answer = wire.ask(&get(TASK_PORT_PATH, drill)).await;
    let answer: TaskPortAnswer = serde_json::from_slice(&answer.body).unwrap();
    client.await.unwrap();
    let to = ([127, 0, 0, 2], port).into();
    assert_eq!(
        (answer.to, answer.outcome, answer.proved),
        (to, Outcome::Open, Some(true))
    );
    let seen = evidence(&server, Flow::Http, drill).await.unwrap().sightings;
    let dialled = Event::TaskPortDialled {
        to,
        outcome: Outcome::Open,
        proved: Some(true),
    };
    assert!(seen.iter().any(|sighting| sighting.event == dialled), "{seen:?}");
    let stranger = server
        .ask(Flow::Http, &format!("GET {TASK_PORT_PATH} HTTP/1.1\r\nHost: a\r\n"))
        .await;
    assert_eq!(stranger.status, 403);
}
