//! Active mode: PORT and EPRT.

use std::net::SocketAddr;

use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::sighting::Event;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::super::client::Client;
use super::super::{Place, in_time};
use super::{expect_a_working_session, place};

fn active_place() -> Place {
    let mut place = place();
    place.estate().ftp.active = true;
    place
}

fn port(at: SocketAddr) -> String {
    let SocketAddr::V4(at) = at else {
        panic!("PORT is for IPv4")
    };
    let [a, b, c, d] = at.ip().octets();
    let [high, low] = at.port().to_be_bytes();
    format!("PORT {a},{b},{c},{d},{high},{low}")
}

fn eprt(at: SocketAddr) -> String {
    format!("EPRT |1|{}|{}|", at.ip(), at.port())
}

/// Where a client listens that has the address of its control connection.
async fn listener(client: &Client) -> TcpListener {
    TcpListener::bind((client.local().ip(), 0)).await.unwrap()
}

#[tokio::test]
async fn the_server_connects_to_the_client_from_the_address_that_the_client_has_dialled() {
    let place = active_place();
    let server = place.start().await;
    let (mut client, drill) = server.drill().await;
    client.expect(200, "TYPE I").await;
    for form in [port, eprt] {
        let listener = listener(&client).await;
        let to = listener.local_addr().unwrap();
        client.expect(200, &form(to)).await;
        client.send("RETR /signatures/small").await;
        let (mut data, from) = in_time(listener.accept()).await.unwrap();
        assert_eq!(from.ip(), server.address().ip());
        let mut bytes = Vec::new();
        in_time(data.read_to_end(&mut bytes)).await.unwrap();
        assert_eq!(bytes, b"small");
        assert_eq!((client.reply().await.code, client.reply().await.code), (150, 226));
        let outcome = Outcome::Open;
        assert!(server.events(drill).contains(&Event::ActiveConnection { to, outcome }));
    }
    // For one transfer only.
    client.expect(425, "RETR /signatures/small").await;
    expect_a_working_session(&mut client).await;
}

#[tokio::test]
async fn nobody_else_is_connected_to_and_no_service_of_the_client_is() {
    let place = active_place();
    let server = place.start().await;
    let (mut client, drill) = server.drill().await;
    let elsewhere = TcpListener::bind("127.0.0.99:0").await.unwrap();
    let to = elsewhere.local_addr().unwrap();
    for form in [port, eprt] {
        client.expect(504, &form(to)).await;
        client.expect(425, "RETR /signatures/small").await;
        client.expect(504, &form((client.local().ip(), 1023).into())).await;
    }
    assert!(server.events(drill).contains(&Event::ActiveAddressRefused { to }));
    client.expect(522, "EPRT |3|x|2000|").await;
    client.expect(501, "PORT 127,0,0,1,8").await;
    expect_a_working_session(&mut client).await;
    elsewhere
        .into_std()
        .unwrap()
        .accept()
        .expect_err("somebody was connected to");
}

#[tokio::test]
async fn a_client_that_does_not_listen_is_told_so_and_seen() {
    let place = active_place();
    let server = place.start().await;
    let (mut client, drill) = server.drill().await;
    let to = listener(&client).await.local_addr().unwrap();
    client.expect(200, &port(to)).await;
    client.expect(425, "RETR /signatures/small").await;
    let outcome = Outcome::Refused;
    assert!(server.events(drill).contains(&Event::ActiveConnection { to, outcome }));
    expect_a_working_session(&mut client).await;
}

#[tokio::test]
async fn epsv_all_ends_active_mode_and_pasv_takes_its_place() {
    let place = active_place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let listener = listener(&client).await;
    client.expect(200, &port(listener.local_addr().unwrap())).await;
    expect_a_working_session(&mut client).await;
    client.expect(200, "EPSV ALL").await;
    client.expect(501, &port(listener.local_addr().unwrap())).await;
    assert!(client.expect(211, "FEAT").await.lines.contains(&" EPRT".to_owned()));
}
