//! Limits that are our own engine's.

use std::time::{Duration, Instant};

use fwdrill_protocol::estate::User;

use super::super::client::Client;
use super::super::limits::serve;
use super::{expect_a_working_session, place};
use crate::ftp::site::SessionLimits;

#[tokio::test]
async fn one_address_does_not_get_all_the_seats() {
    let place = place();
    let limits = SessionLimits {
        sessions_per_address: 1,
        ..SessionLimits::default()
    };
    let (address, _) = serve(&place, limits).await;
    let _first = Client::connect(address).await;
    assert_eq!(Client::knock(address, None).await.1.code, 421);
    Client::connect_from([127, 99, 0, 2].into(), address).await;
}

#[tokio::test]
async fn who_does_not_log_in_is_told_to_go() {
    let place = place();
    let limits = SessionLimits {
        login: Duration::from_millis(300),
        ..SessionLimits::default()
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
    let limits = SessionLimits {
        login_failures: 3,
        failure_delay: Duration::from_millis(50),
        ..SessionLimits::default()
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
