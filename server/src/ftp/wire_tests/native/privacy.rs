//! TLS: what must not pass from clear to cipher, and how connections end under it.

use std::sync::Arc;
use std::time::Duration;

use fwdrill_protocol::estate::Tls;
use rustls::ClientConfig;
use rustls::version::TLS13;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::client::Client;
use super::super::limits::serve;
use super::super::tls::trusting;
use super::super::{Place, in_time, pattern};
use super::{expect_a_working_session, place};
use crate::config::FtpEngine;
use fwdrill_protocol::estate::limits::FtpLimits;

fn secure_place(tls: Tls) -> Place {
    let mut place = place();
    place.estate().ftp.tls = tls;
    place
}

fn trust(place: &Place) -> Arc<ClientConfig> {
    trusting(place, &TLS13)
}

#[tokio::test]
async fn what_is_injected_in_clear_behind_auth_is_never_heard() {
    let place = secure_place(Tls::Optional);
    let server = place.start().await;
    let mut client = server.connect().await;
    client.expect(234, "AUTH TLS\r\nUSER anonymous\r\nPASS x\r\nNOOP").await;
    client.shake_hands(trust(&place)).await;
    client.expect(530, "PWD").await;
    client.expect(503, "PASS x").await;
    client.login("anonymous", "x").await;
    expect_a_working_session(&mut client).await;
}

#[tokio::test]
async fn auth_forgets_the_login_and_everything_set_before() {
    let place = secure_place(Tls::Optional);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    client.expect(250, "CWD /signatures").await;
    client.expect(350, "REST 3").await;
    client.secure(trust(&place)).await;
    client.expect(530, "PWD").await;
    client.login("anonymous", "x").await;
    assert!(client.expect(257, "PWD").await.text().starts_with("\"/\""));
    expect_a_working_session(&mut client).await;
    client.expect(503, "AUTH TLS").await;
    client.expect(534, "CCC").await;
    client.expect(504, "PROT X").await;
    client.expect(536, "PROT S").await;
    client.expect(200, "PROT C").await;
}

#[tokio::test]
async fn where_tls_is_required_data_in_clear_is_refused() {
    let place = secure_place(Tls::Required);
    let server = place.start().await;
    let mut client = server.connect().await;
    client.expect(530, "USER anonymous").await;
    client.expect(504, "AUTH KERBEROS").await;
    client.expect(234, "AUTH TLS").await;
    client.shake_hands(trust(&place)).await;
    client.login("anonymous", "x").await;
    client.expect(229, "EPSV").await;
    for command in ["RETR /signatures/small", "STOR /upload/pc/x", "LIST", "NLST", "MLSD"] {
        client.expect(521, command).await;
    }
    client.expect(200, "PBSZ 0").await;
    client.expect(534, "PROT C").await;
    client.expect(200, "PROT P").await;
}

#[tokio::test]
async fn the_end_of_a_private_download_is_told_and_so_is_the_end_of_the_session() {
    let place = secure_place(Tls::Optional);
    let server = place.start().await;
    let mut client = server.connect().await;
    client.secure(trust(&place)).await;
    client.login("anonymous", "x").await;
    let data = client.passive().await;
    client.expect(150, "RETR /signatures/small").await;
    let mut stream = client.wrap(data.stream).await;
    let mut bytes = Vec::new();
    // rustls gives an error where close_notify is missing.
    in_time(stream.read_to_end(&mut bytes)).await.unwrap();
    assert_eq!(
        (bytes.as_slice(), client.reply().await.code),
        (b"small".as_slice(), 226)
    );
    client.expect(221, "QUIT").await;
    assert!(client.ends_in_order().await);
}

#[tokio::test]
async fn a_private_upload_that_is_cut_is_discarded() {
    let place = secure_place(Tls::Optional);
    let server = place.start().await;
    let mut client = server.connect().await;
    client.secure(trust(&place)).await;
    client.login("anonymous", "x").await;
    let data = client.passive().await;
    client.expect(150, "STOR /upload/pc/mwav.log").await;
    let mut stream = client.wrap(data.stream).await;
    in_time(stream.write_all(&pattern(100_000))).await.unwrap();
    in_time(stream.flush()).await.unwrap();
    // FIN without close_notify: anybody could have sent it.
    drop(stream);
    assert_eq!(client.reply().await.code, 426);
    assert!(!place.dropped("pc/mwav.log").exists());
    assert_eq!(client.upload("/upload/pc/mwav.log", b"whole").await.code, 226);
}

#[tokio::test]
async fn a_handshake_that_never_comes_has_a_limit() {
    let place = secure_place(Tls::Optional);
    let limits = FtpLimits {
        handshake: Duration::from_millis(300),
        ..FtpLimits::default()
    };
    let (address, _) = serve(&place, limits).await;
    let mut silent = Client::connect(address).await;
    silent.expect(234, "AUTH TLS").await;
    assert_eq!(silent.reply_or_end().await, None);

    let mut client = Client::connect(address).await;
    client.secure(trust(&place)).await;
    client.login("anonymous", "x").await;
    for command in ["RETR /signatures/small", "STOR /upload/pc/x"] {
        let _silent = client.passive().await;
        client.expect(150, command).await;
        assert_eq!(client.reply().await.code, 425);
    }
    assert_eq!(place.unfinished(), 0);
    let mut data = client.passive().await;
    client.expect(150, "RETR /signatures/small").await;
    data.send(b"this is no handshake").await;
    assert_eq!(client.reply().await.code, 425);
    expect_a_working_session(&mut client).await;
}

#[tokio::test]
async fn abort_while_the_data_connection_shakes_hands() {
    let place = secure_place(Tls::Optional);
    let server = place.start().await;
    let mut client = server.connect().await;
    client.secure(trust(&place)).await;
    client.login("anonymous", "x").await;
    for command in ["RETR /signatures/small", "STOR /upload/pc/x"] {
        let _silent = client.passive().await;
        client.expect(150, command).await;
        client.expect(426, "ABOR").await;
        assert_eq!(client.reply().await.code, 226);
    }
    assert_eq!(place.unfinished(), 0);
    expect_a_working_session(&mut client).await;
}

#[tokio::test]
async fn a_private_download_that_stalls_ends_with_a_final_reply() {
    let mut place = Place::with(FtpEngine::Native, &[("signatures/large", &pattern(12 << 20))]);
    place.estate().ftp.tls = Tls::Optional;
    let limits = FtpLimits {
        stall: Duration::from_millis(300),
        ..FtpLimits::default()
    };
    let (address, _) = serve(&place, limits).await;
    let mut client = Client::connect(address).await;
    client.secure(trust(&place)).await;
    client.login("anonymous", "x").await;
    let data = client.passive().await;
    client.expect(150, "RETR /signatures/large").await;
    let _nobody_reads = client.wrap(data.stream).await;
    assert_eq!(client.reply().await.code, 426);
    expect_a_working_session(&mut client).await;
}
