//! Who may connect to a passive port, for how long, and what is left of it.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::sighting::Event;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

use super::super::client::Client;
use super::super::limits::serve;
use super::super::{in_time, until};
use super::{expect_a_working_session, place};
use fwdrill_protocol::estate::limits::FtpLimits;

fn impatient() -> FtpLimits {
    FtpLimits {
        data_connect: Duration::from_millis(200),
        ..FtpLimits::default()
    }
}

#[tokio::test]
async fn a_new_passive_port_closes_the_one_before() {
    let place = place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let first = client.expect(227, "PASV").await.passive_address().unwrap();
    let second = client.expect(227, "PASV").await.passive_address().unwrap();
    let late = TcpStream::connect(first).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    TcpStream::connect(second).await.unwrap();
}

#[tokio::test]
async fn a_stranger_on_the_data_port_is_refused_and_noted_and_the_client_served() {
    let place = place();
    let server = place.start().await;
    let (mut client, drill) = server.drill().await;
    let told = client.expect(227, "PASV").await.passive_address().unwrap();
    let stranger = TcpSocket::new_v4().unwrap();
    let source: IpAddr = [127, 99, 0, 1].into();
    stranger.bind((source, 0).into()).unwrap();
    let mut stranger = stranger.connect(told.into()).await.unwrap();
    let mut got = Vec::new();
    // By FIN or RST.
    let _ = in_time(stranger.read_to_end(&mut got)).await;
    assert_eq!(got, b"");
    let seen = server.journal.of(drill);
    let noted = seen.iter().find(|sighting| sighting.event == Event::DataSourceMismatch);
    assert_eq!(
        noted.map(|sighting| sighting.peer),
        Some(stranger.local_addr().unwrap())
    );

    let mut data = client.data(told.port()).await;
    client.expect(150, "RETR /signatures/small").await;
    in_time(data.stream.read_to_end(&mut got)).await.unwrap();
    assert_eq!((got.as_slice(), client.reply().await.code), (b"small".as_slice(), 226));
}

#[tokio::test]
async fn a_transfer_without_a_data_connection_gets_one_final_reply() {
    let place = place();
    let (address, _) = serve(&place, impatient()).await;
    let mut client = Client::connect(address).await;
    client.login("anonymous", "x").await;
    for command in ["RETR /signatures/small", "STOR /upload/pc/x", "LIST"] {
        client.expect(425, command).await;
        for passive in ["PASV", "EPSV"] {
            assert!(client.say(passive).await.is_positive());
            client.expect(425, command).await;
        }
    }
    client.expect(200, "NOOP").await;
    assert_eq!(place.unfinished(), 0);
    expect_a_working_session(&mut client).await;
}

#[tokio::test]
async fn lingering_data_connections_do_not_use_up_the_range() {
    let mut place = place();
    place.estate().ftp.passive_ports = "3023-3038".parse().unwrap();
    let server = place.start().await;
    let mut lingering = Vec::new();
    for _ in 0..3 * 16 {
        let (mut client, drill) = server.drill().await;
        let data = client.passive().await;
        until(|| data_connections(&server.journal, drill) == 1).await;
        lingering.push((client, data));
    }
    let mut client = server.anonymous().await;
    expect_a_working_session(&mut client).await;
    for (mut client, data) in lingering {
        let (bytes, _) = client.download(data, "RETR /signatures/small").await;
        assert_eq!(bytes, b"small", "and each is still its session's");
    }
}

fn data_connections(journal: &crate::journal::Journal, drill: DrillId) -> usize {
    let seen = journal.of(drill);
    let accepted = seen.iter().filter(|sighting| sighting.event == Event::Accepted);
    accepted.filter(|sighting| sighting.flow == Flow::FtpPassive).count()
}

#[tokio::test]
async fn abandoned_passive_ports_are_free_again_within_the_limit() {
    let mut place = place();
    place.estate().ftp.passive_ports = "3023-3038".parse().unwrap();
    let (address, _) = serve(&place, impatient()).await;
    let mut sessions = Vec::new();
    for _ in 0..16 {
        let mut client = Client::connect(address).await;
        client.login("anonymous", "x").await;
        client.expect(227, "PASV").await;
        sessions.push(client);
    }
    let mut late = Client::connect(address).await;
    late.login("anonymous", "x").await;
    let mut attempts = 0;
    while late.say("PASV").await.code != 227 {
        attempts += 1;
        assert!(attempts < 1000, "no port is ever free");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    late.expect(226, "ABOR").await;
    for mut client in sessions {
        expect_a_working_session(&mut client).await;
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_session_however_it_ends() {
    let mut place = place();
    place.estate().ftp.passive_ports = "3023".parse().unwrap();
    let server = place.start().await;
    for last in ["QUIT", "REIN", "ABOR", "", "RETR /signatures/small"] {
        let mut client = server.anonymous().await;
        let reply = in_time(async {
            // The one before may still be closing.
            loop {
                let reply = client.say("PASV").await;
                if reply.code == 227 {
                    return reply;
                }
            }
        })
        .await;
        assert_eq!(reply.passive_address().unwrap().port(), 3023);
        client.send(last).await;
        drop(client);
    }
    let mut client = server.anonymous().await;
    in_time(async { while client.say("EPSV").await.code != 229 {} }).await;
}

#[tokio::test]
async fn after_epsv_all_nothing_else_is_accepted() {
    let place = place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    client.expect(200, "EPSV ALL").await;
    client.expect(501, "PASV").await;
    client.expect(229, "EPSV 1").await;
    client.expect(522, "EPSV 2").await;
    expect_a_working_session(&mut client).await;
}

#[tokio::test]
async fn in_a_thousand_passive_replies_every_port_is_of_the_range_and_one_is_held() {
    let mut place = place();
    place.estate().ftp.passive_ports = "3023-3030".parse().unwrap();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let mut ports = BTreeSet::new();
    for _ in 0..1000 {
        ports.insert(client.expect(227, "PASV").await.passive_address().unwrap().port());
    }
    assert_eq!(ports, (3023..=3030).collect());
    let open = |port: &u16| std::net::TcpStream::connect(SocketAddr::new(server.address().ip(), *port)).is_ok();
    assert_eq!(ports.iter().filter(|port| open(port)).count(), 1);
}

#[tokio::test]
async fn a_server_that_stops_does_not_wait_for_a_data_connection() {
    let mut place = place();
    place.config.grace = Duration::from_secs(3600);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    client.expect(229, "EPSV").await;
    // That STAT is answered shows that RETR is waiting.
    client.send("RETR /signatures/small").await;
    client.expect(211, "STAT").await;
    assert_eq!(server.stop().await, 0);
    assert_eq!(client.reply().await.code, 426);
    assert_eq!(client.reply().await.code, 421);
    assert_eq!(client.reply_or_end().await, None);
}
