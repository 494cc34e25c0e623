use std::net::{IpAddr, Ipv6Addr};

use fwdrill_protocol::flow::Flow;

use super::*;
use crate::StartError;
use crate::journal::JournalFileError;

const BIG: usize = 20 << 20;

async fn in_mid_download(server: &Running) -> Wire {
    let mut wire = server.connect_narrow(Flow::Http).await;
    wire.send("GET /signatures/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(
        wire.head().await.field("content-length"),
        Some(BIG.to_string().as_str())
    );
    wire
}

#[tokio::test]
async fn a_client_in_mid_download_keeps_its_set_when_a_new_one_is_published() {
    let place = Place::new();
    let (old, new) = (pattern(BIG), vec![7; BIG]);
    place.depot.publish(1, &[("signatures/a", &old)]);
    let server = place.start().await;
    let mut wire = in_mid_download(&server).await;
    let beginning = wire.take(1000).await;
    place.depot.publish(2, &[("signatures/a", &new)]);
    assert!(server.get("/signatures/a").await.body == new);
    let rest = wire.take(BIG - 1000).await;
    assert!([beginning, rest].concat() == old);
    assert!(server.get("/sets/1/signatures/a").await.body == old);
}

#[tokio::test]
async fn a_long_download_can_be_watched_while_it_runs_though_no_drill_asked_for_it() {
    let place = Place::new();
    place
        .depot
        .publish(1, &[("signatures/a", &pattern(BIG)), ("signatures/b", &pattern(1000))]);
    let server = place.start().await;
    assert_eq!(server.get("/signatures/b").await.status, 200);
    let mut wire = in_mid_download(&server).await;
    wire.take(1000).await;
    let now = server.journal.census().snapshot();
    let [running] = now.running.as_slice() else {
        panic!("{:?}", now.running);
    };
    assert_eq!(running.path, "/signatures/a");
    assert!((1000..BIG as u64).contains(&running.bytes()), "{}", running.bytes());
    assert!(now.finished.is_empty(), "the small one is nobody's");

    let mut changes = server.journal.census().changes();
    wire.take(BIG - 1000).await;
    in_time(async {
        while !server.journal.census().snapshot().running.is_empty() {
            changes.changed().await.unwrap();
        }
    })
    .await;
    let finished = server.journal.census().snapshot().finished;
    assert!(finished[0].bytes == BIG as u64 && finished[0].complete);
}

#[tokio::test]
async fn a_stopping_server_finishes_what_is_in_hand_and_accepts_no_more() {
    let place = Place::new();
    place.depot.publish(1, &[("signatures/a", &pattern(BIG))]);
    let server = place.start().await;
    let mut downloading = in_mid_download(&server).await;
    let mut idle = server.connect(Flow::Http).await;
    assert_eq!(idle.ask("GET /healthz HTTP/1.1\r\nHost: a\r\n").await.status, 200);
    let mut silent = server.connect(Flow::Http).await;
    let mut knocking = server.connect(Flow::Console).await;
    let address = server.address(Flow::Http);
    server.shutdown.cancel();
    assert_eq!(idle.rest().await, b"", "closed without waiting for the download");
    // These two may not have been accepted yet: then the kernel resets them.
    for wire in [&mut silent, &mut knocking] {
        assert_eq!(wire.rest_or_reset().await, b"");
    }
    let refused = in_time(async {
        loop {
            if let Err(error) = TcpStream::connect(address).await {
                break error;
            }
        }
    })
    .await;
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(!server.run.is_finished(), "the download is in hand");
    assert!(downloading.take(BIG).await == pattern(BIG));
    assert_eq!(server.stop().await, 0, "nothing was cut");
    assert_eq!(downloading.rest().await, b"");
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_time_is_cut_and_counted() {
    let mut place = Place::new();
    place.config.grace = Duration::from_millis(50);
    place.depot.publish(1, &[("signatures/a", &pattern(BIG))]);
    let server = place.start().await;
    let mut wires = [in_mid_download(&server).await, in_mid_download(&server).await];
    assert_eq!(server.stop().await, 2);
    for wire in &mut wires {
        assert!(wire.rest_or_reset().await.len() < BIG);
    }
}

#[tokio::test]
async fn a_server_without_a_set_makes_one_and_keeps_it_over_a_restart() {
    let mut place = Place::new();
    place.config.depot = place.state.path().join("depot");
    let server = place.start().await;
    let manifest = server.get("/manifest.json").await;
    let key = server.announcement.public_key.clone().unwrap();
    let signature = server.get("/manifest.json.minisig").await;
    let public = fwdrill_protocol::update_set::PublicKey::parse(&key).unwrap();
    fwdrill_protocol::update_set::verify(&manifest.body, signature.text(), &public).unwrap();
    let parsed = fwdrill_protocol::update_set::Manifest::parse(&manifest.body).unwrap();
    for entry in parsed.files() {
        let answer = server.get(&format!("/{}", entry.path.as_str())).await;
        assert_eq!((answer.status, answer.body.len() as u64), (200, entry.size));
    }
    server.stop().await;
    let again = place.start().await;
    assert_eq!(again.get("/manifest.json").await.body, manifest.body);
    assert_eq!(again.announcement.public_key, Some(key));
}

#[tokio::test]
async fn a_damaged_set_keeps_a_server_from_starting_and_says_what_is_wrong() {
    let place = Place::new();
    let set = place.depot.stage(1, &[("signatures/a", b"one")]);
    std::fs::write(set.join("signatures/a"), "two").unwrap();
    place.depot.put_in_force(1);
    let error = Server::bind(place.config.clone()).await.err().unwrap();
    let text = crate::chain(&error);
    assert!(
        text.contains("update set 1 is damaged: 1 of its files, the first: signatures/a has SHA-256"),
        "{text}"
    );
}

#[tokio::test]
async fn two_servers_cannot_share_ports_or_state() {
    let mut place = Place::new();
    place.depot.publish(1, &[]);
    let server = place.start().await;
    let error = Server::bind(place.config.clone()).await.err().unwrap();
    assert!(
        matches!(error, StartError::Journal(JournalFileError::InUse(_))),
        "{error}"
    );
    let taken = server.address(Flow::Version).port();
    place.config.estate.set_port(Flow::Version, taken);
    let error = Server::bind(place.config.clone()).await.err().unwrap();
    let StartError::Ports(errors) = error else {
        panic!("{error}")
    };
    assert_eq!(errors.errors().len(), 1);
    assert_eq!(errors.errors()[0].flow, Flow::Version);
}

#[tokio::test]
async fn a_dual_stack_server_knows_ipv4_clients_by_their_ipv4_address() {
    let mut place = Place::new();
    place.config.estate.server.bind = Ipv6Addr::UNSPECIFIED.into();
    place.depot.publish(1, &[]);
    let server = place.start().await;
    let port = server.address(Flow::Agent).port();
    for host in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let drill = fwdrill_protocol::drill::DrillId::random();
        let mut wire = Wire::new(TcpStream::connect((host, port)).await.unwrap());
        let us = wire.stream.local_addr().unwrap();
        wire.send(&drill.first_line()).await;
        assert_eq!(
            String::from_utf8(wire.rest().await).unwrap(),
            format!("FWDRILL agent {port} {us}\r\n")
        );
        assert_eq!(server.journal.of(drill)[0].peer, us);
    }
}

#[tokio::test]
async fn an_estate_with_ftp_serves_it_and_an_update_agent_binds_no_more_than_its_ports() {
    let mut place = Place::new();
    place.config.estate.ftp.enabled = true;
    place.config.role = Role::UpdateAgent;
    place.depot.publish(1, &[]);
    let server = place.start().await;
    let flows: Vec<Flow> = server.announcement.addresses.keys().copied().collect();
    assert_eq!(flows, [Flow::FtpControl, Flow::Version, Flow::Agent, Flow::SelfEvents]);
    let mut wire = server.connect(Flow::FtpControl).await;
    while !wire.unread.ends_with(b"\r\n") {
        assert!(wire.more().await > 0);
    }
    assert!(
        wire.unread.starts_with(b"220"),
        "{:?}",
        wire.unread.escape_ascii().to_string()
    );
    wire.unread.clear();
    assert_eq!(server.stop().await, 0);
}
