//! Limits that are our own engine's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fwdrill_protocol::estate::User;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::super::client::Client;
use super::super::limits::{serve, service};
use super::super::{in_time, until};
use super::{expect_a_working_session, place, resident};
use crate::connection::Accepted;
use crate::ftp::native::Native;
use crate::ftp::witness::Witness;
use crate::ftp::{ControlConnection, Engine};
use fwdrill_protocol::estate::limits::FtpLimits;

#[tokio::test]
async fn one_address_does_not_get_all_the_seats() {
    let place = place();
    let limits = FtpLimits {
        sessions_per_address: 1,
        ..FtpLimits::default()
    };
    let (address, _) = serve(&place, limits).await;
    let _first = Client::connect(address).await;
    assert_eq!(Client::knock(address, None).await.1.code, 421);
    Client::connect_from([127, 99, 0, 2].into(), address).await;
}

#[tokio::test]
async fn who_does_not_log_in_is_told_to_go() {
    let place = place();
    let limits = FtpLimits {
        login: Duration::from_millis(300),
        ..FtpLimits::default()
    };
    let (address, _) = serve(&place, limits).await;
    let mut logged_in = Client::connect(address).await;
    logged_in.login("anonymous", "x").await;
    let mut client = Client::connect(address).await;
    // Talking does not prolong it.
    let mut reply = client.say("NOOP").await;
    for _ in 0..1000 {
        if reply.code == 421 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        reply = match client.try_say("NOOP").await {
            Some(reply) => reply,
            None => break,
        };
    }
    assert_eq!(reply.code, 421);
    assert_eq!(client.reply_or_end().await, None);
    expect_a_working_session(&mut logged_in).await;
}

#[tokio::test]
async fn who_guesses_too_often_is_locked_out_and_those_without_password_are_not() {
    let mut place = place();
    place.estate().ftp.users = vec![User {
        name: "scan".to_owned(),
        password: "s3cret".to_owned(),
    }];
    let limits = FtpLimits {
        login_failures: 3,
        failure_delay: Duration::from_millis(50),
        ..FtpLimits::default()
    };
    let (address, _) = serve(&place, limits).await;
    let mut client = Client::connect(address).await;
    client.login("scan", "s3cret").await;
    for _ in 0..3 {
        let begun = Instant::now();
        client.expect(331, "USER scan").await;
        client.expect(530, "PASS guess").await;
        assert!(begun.elapsed() >= limits.failure_delay);
    }
    client.expect(331, "USER scan").await;
    client.expect(530, "PASS s3cret").await;
    client.login("anonymous", "x").await;
    let mut elsewhere = Client::connect_from([127, 99, 0, 3].into(), address).await;
    elsewhere.login("scan", "s3cret").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections_that_come_and_go_leave_neither_files_nor_memory() {
    let mut place = place();
    // So that what the journal keeps is complete before anything is measured.
    place.config.journal.without_drill = 100;
    let (address, _) = serve(&place, FtpLimits::default()).await;
    let open_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    come_and_go(address, 1_000).await;
    let files = open_files();
    let before = resident();
    come_and_go(address, 9_000).await;
    until(|| open_files() <= files).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more");
    expect_a_working_session(&mut logged_in(address).await).await;
}

async fn logged_in(address: SocketAddr) -> Client {
    let mut client = Client::connect(address).await;
    client.login("anonymous", "x").await;
    client
}

/// By FIN and by RST, before the greeting and after.
async fn come_and_go(address: SocketAddr, count: usize) {
    for n in 0..count {
        let stream = in_time(TcpStream::connect(address)).await.unwrap();
        if n % 2 == 0 {
            in_time(stream.readable()).await.unwrap();
        }
        if n % 4 < 3 {
            socket2::SockRef::from(&stream)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        }
    }
}

/// A task holds its future as it is at its largest, so whatever is not needed while a session waits must be in a box.
#[tokio::test]
async fn a_session_that_waits_is_small() {
    let place = place();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let service = service(&place, FtpLimits::default()).await;
    let connection = ControlConnection {
        stream,
        local: peer,
        peer,
        stopping: CancellationToken::new(),
        witness: Arc::new(Witness::new(service.site().journal.clone(), peer, peer, None)),
    };
    let size = size_of_val(&*Native::new(service.site().clone()).live(connection));
    assert!(size <= 2048, "{size}");
    let (stream, _) = (
        TcpStream::connect(listener.local_addr().unwrap()).await.unwrap(),
        listener.accept().await,
    );
    let size = size_of_val(&service.live(Accepted {
        stream,
        local: peer,
        peer,
        syn: None,
    }));
    assert!(size <= 2048, "{size}");
}

#[tokio::test]
async fn the_longest_line_is_what_the_estate_says() {
    let mut place = place();
    place.estate().ftp.limits.line_bytes = 512;
    let server = place.start().await;
    let mut client = server.anonymous().await;
    client.expect(200, &format!("NOOP {}", "x".repeat(507))).await;
    client.expect(500, &format!("NOOP {}", "x".repeat(508))).await;
    expect_a_working_session(&mut client).await;
}
