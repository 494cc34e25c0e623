//! ABOR and STAT, in whatever state a transfer is.

use std::time::Duration;

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::sighting::Event;
use tokio::io::AsyncReadExt;

use super::super::client::Client;
use super::super::{in_time, pattern, until};
use super::{expect_a_working_session, place, place_with};

/// More than the socket buffers hold, so that a client that does not read stalls the server.
fn large() -> Vec<u8> {
    pattern(12 << 20)
}

async fn expect_aborted(client: &mut Client) {
    assert_eq!(client.reply().await.code, 426);
    assert_eq!(client.reply().await.code, 226);
}

#[tokio::test]
async fn abort_with_nothing_under_way_closes_the_passive_port() {
    let place = place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    client.expect(226, "ABOR").await;
    let port = client.expect(229, "EPSV").await.extended_passive_port().unwrap();
    client.expect(226, "ABOR").await;
    let late = tokio::net::TcpStream::connect((server.address().ip(), port)).await;
    assert_eq!(late.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    client.expect(425, "RETR /signatures/small").await;
    expect_a_working_session(&mut client).await;
}

#[tokio::test]
async fn abort_while_the_data_connection_is_waited_for() {
    let place = place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    for command in ["RETR /signatures/small", "STOR /upload/pc/x", "LIST"] {
        client.expect(229, "EPSV").await;
        client.send(command).await;
        client.send("ABOR").await;
        expect_aborted(&mut client).await;
    }
    assert_eq!(place.unfinished(), 0);
    expect_a_working_session(&mut client).await;
}

#[tokio::test]
async fn abort_of_a_stalled_download_with_and_without_telnet_synch() {
    let place = place_with(&[("signatures/large", &large())]);
    let server = place.start().await;
    let (mut client, drill) = server.drill().await;
    for with_synch in [false, true] {
        let mut data = client.passive().await;
        client.expect(150, "RETR /signatures/large").await;
        let mut begun = [0; 1000];
        in_time(data.stream.read_exact(&mut begun)).await.unwrap();
        if with_synch {
            // As BSD's ftp does: IAC IP IAC, the last of them urgent, then DM and the command.
            client.send_urgently(b"\xff\xf4\xff");
            client.send_bytes(b"\xf2ABOR\r\n").await;
        } else {
            client.send("ABOR").await;
        }
        expect_aborted(&mut client).await;
        expect_a_working_session(&mut client).await;
    }
    let broken = |event: &Event| matches!(event, Event::Transferred { complete: false, .. });
    assert_eq!(server.events(drill).iter().filter(|event| broken(event)).count(), 2);
}

#[tokio::test]
async fn abort_of_a_stalled_upload_leaves_nothing() {
    let place = place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let mut data = client.passive().await;
    client.expect(150, "STOR /upload/pc/mwav.log").await;
    data.send(&pattern(600_000)).await;
    client.send("ABOR").await;
    expect_aborted(&mut client).await;
    assert_eq!(place.unfinished(), 0);
    assert!(!place.dropped("pc/mwav.log").exists());
    expect_a_working_session(&mut client).await;
}

#[tokio::test]
async fn abort_after_the_end_finds_nothing_to_abort() {
    let place = place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    expect_a_working_session(&mut client).await;
    client.expect(226, "ABOR").await;
    expect_a_working_session(&mut client).await;
}

#[tokio::test]
async fn stat_during_a_transfer_says_how_far_it_is() {
    let place = place_with(&[("signatures/large", &large())]);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let mut data = client.passive().await;
    client.expect(150, "RETR /signatures/large").await;
    let mut bytes = vec![0; 1000];
    in_time(data.stream.read_exact(&mut bytes)).await.unwrap();
    let told = client.expect(211, "STAT").await.text();
    let moved: u64 = told.split(' ').next().unwrap().parse().unwrap();
    assert!((1000..large().len() as u64).contains(&moved), "{told}");
    in_time(data.stream.read_to_end(&mut bytes)).await.unwrap();
    assert!(bytes == large());
    assert_eq!(client.reply().await.code, 226);
}

#[tokio::test]
async fn a_client_that_goes_away_during_a_download_ends_it() {
    let place = place_with(&[("signatures/large", &large())]);
    let server = place.start().await;
    let (mut client, drill): (Client, DrillId) = server.drill().await;
    let data = client.passive().await;
    client.expect(150, "RETR /signatures/large").await;
    drop((client, data));
    let broken = |event: &Event| matches!(event, Event::Transferred { complete: false, .. });
    until(|| server.events(drill).iter().any(broken)).await;
    tokio::time::timeout(Duration::from_secs(30), server.stop())
        .await
        .unwrap();
}
