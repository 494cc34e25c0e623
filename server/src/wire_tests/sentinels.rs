use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::sighting::{Event, Sighting};

use super::*;

const SENTINELS: [Flow; 3] = [Flow::System, Flow::SelfEvents, Flow::Console];

#[tokio::test]
async fn a_drill_is_answered_where_it_should_be_and_noted_everywhere() {
    let server = Place::new().start_with_a_set().await;
    for flow in SENTINELS.into_iter().chain([Flow::Agent, Flow::Events]) {
        let drill = DrillId::random();
        let mut wire = server.connect(flow).await;
        let us = wire.stream.local_addr().unwrap();
        wire.send(&drill.first_line()).await;
        let heard = String::from_utf8(wire.rest().await).unwrap();
        let port = server.address(flow).port();
        let expected = match flow {
            Flow::System | Flow::SelfEvents => String::new(),
            _ => format!("FWDRILL {flow} {port} {us}\r\n"),
        };
        assert_eq!(heard, expected, "{flow}");
        let seen: Vec<Sighting> = server.journal.of(drill);
        assert_eq!(seen.len(), 1, "{flow}");
        assert_eq!((seen[0].flow, seen[0].local.port(), seen[0].peer), (flow, port, us));
        assert_eq!(seen[0].event, Event::Accepted);
    }
}

#[tokio::test]
async fn nobody_else_hears_a_word_and_everybody_is_noted() {
    let mut place = Place::new();
    // One of them looks like a TLS handshake to the console.
    place.config.http.handshake = Duration::from_millis(100);
    let server = place.start_with_a_set().await;
    let garbage = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "\x16\x03\x01\x02".to_owned(),
        "FWDRILL nonsense\r\n".to_owned(),
        format!("FWDRILL {}\r\n", "g".repeat(32)),
        format!("fwdrill {}\r\n", "0".repeat(32)),
        format!("FWDRILL {}", "0".repeat(100_000)),
        "\r\n".to_owned(),
    ];
    for flow in SENTINELS {
        for text in &garbage {
            let mut wire = server.connect(flow).await;
            // The server may close before all is written.
            let _ = in_time(wire.stream.write_all(text.as_bytes())).await;
            assert_eq!(wire.rest().await, b"", "{flow} {text:.20}");
        }
    }
    let seen = server.journal.without_drill();
    assert_eq!(seen.len(), SENTINELS.len() * garbage.len());
}

#[tokio::test]
async fn a_line_in_pieces_is_a_line_and_a_client_that_says_nothing_is_let_go() {
    let server = Place::new().start_with_a_set().await;
    let drill = DrillId::random();
    let mut wire = server.connect(Flow::Events).await;
    for piece in drill.first_line().as_bytes().chunks(7) {
        wire.send(std::str::from_utf8(piece).unwrap()).await;
        tokio::task::yield_now().await;
    }
    assert!(wire.rest().await.starts_with(b"FWDRILL events "));
    let mut silent = server.connect(Flow::Console).await;
    assert_eq!(silent.rest().await, b"");
    let mut half = server.connect(Flow::Console).await;
    half.send("FWDRILL 00").await;
    half.stream.shutdown().await.unwrap();
    assert_eq!(half.rest().await, b"");
}

#[tokio::test]
async fn the_port_of_self_events_is_on_loopback_whatever_the_server_binds() {
    for (bind, loopback) in [("0.0.0.0", vec!["127.0.0.1"]), ("::", vec!["::1", "127.0.0.1"])] {
        let mut place = Place::new();
        place.config.estate.server.bind = bind.parse().unwrap();
        let server = place.start_with_a_set().await;
        let port = server.address(Flow::SelfEvents).port();
        for address in loopback {
            let at = SocketAddr::new(address.parse().unwrap(), port);
            let mut wire = Wire::new(TcpStream::connect(at).await.unwrap());
            assert_eq!(wire.rest().await, b"", "{at}");
        }
        // An address of this host that the other ports answer on.
        let elsewhere = SocketAddr::from(([127, 0, 0, 2], port));
        let refused = TcpStream::connect(elsewhere).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{bind}");
        let system = SocketAddr::from(([127, 0, 0, 2], server.address(Flow::System).port()));
        TcpStream::connect(system).await.unwrap();
        // This host has business there.
        assert!(server.journal.census().snapshot().totals.exposed.is_empty());
    }
}

impl Place {
    /// The depot's directory may go: what is served here does not need it.
    async fn start_with_a_set(self) -> Running {
        self.depot.publish(1, &[]);
        self.start().await
    }
}
