//! DELE, RMD, RNFR and RNTO.

use std::fs;

use fwdrill_protocol::estate::User;

use super::super::Place;
use super::{expect_a_working_session, place};

fn place_with_a_user() -> Place {
    let mut place = place();
    place.estate().ftp.users = vec![User {
        name: "scan".to_owned(),
        password: "s3cret".to_owned(),
    }];
    place
}

#[tokio::test]
async fn a_user_renames_and_removes_what_was_dropped() {
    let place = place_with_a_user();
    let server = place.start().await;
    let mut client = server.connect().await;
    client.login("scan", "s3cret").await;
    assert_eq!(client.upload("/upload/pc/mwav.log.part", b"whole").await.code, 226);
    client.expect(250, "CWD /upload/pc").await;
    client.expect(350, "RNFR mwav.log.part").await;
    client.expect(250, "RNTO mwav.log").await;
    assert_eq!(fs::read(place.dropped("pc/mwav.log")).unwrap(), b"whole");
    client.expect(550, "RNFR mwav.log.part").await;
    client.expect(550, "RMD /upload/pc").await;
    client.expect(250, "DELE mwav.log").await;
    client.expect(550, "DELE mwav.log").await;
    client.expect(250, "RMD /upload/pc").await;
    assert!(!place.dropped("pc").exists());
    client.expect(250, "CWD /").await;
    expect_a_working_session(&mut client).await;
}

#[tokio::test]
async fn rnto_comes_right_behind_rnfr_and_stays_in_the_directory() {
    let place = place_with_a_user();
    let server = place.start().await;
    let mut client = server.connect().await;
    client.login("scan", "s3cret").await;
    assert_eq!(client.upload("/upload/pc/a", b"a").await.code, 226);
    client.expect(503, "RNTO /upload/pc/b").await;
    client.expect(350, "RNFR /upload/pc/a").await;
    client.expect(200, "NOOP").await;
    client.expect(503, "RNTO /upload/pc/b").await;
    for elsewhere in [
        "/upload/other/a",
        "/signatures/a",
        "/a",
        "/upload/.incoming/a",
        "/upload/pc/../../a",
    ] {
        client.expect(350, "RNFR /upload/pc/a").await;
        let reply = client.say(&format!("RNTO {elsewhere}")).await;
        assert_eq!(reply.code / 100, 5, "{elsewhere}: {reply:?}");
    }
    client.expect(350, "RNFR /upload/pc/a").await;
    client.expect(553, "RNTO /upload/pc/.a").await;
    assert_eq!(fs::read(place.dropped("pc/a")).unwrap(), b"a");
    for of_the_set in [
        "/signatures/small",
        "/manifest.json",
        "/signatures",
        "/upload/.incoming/a",
    ] {
        client.expect(550, &format!("RNFR {of_the_set}")).await;
        client.expect(550, &format!("DELE {of_the_set}")).await;
        client.expect(550, &format!("RMD {of_the_set}")).await;
    }
}

#[tokio::test]
async fn who_needs_no_password_changes_nothing() {
    let place = place_with_a_user();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    assert_eq!(client.upload("/upload/pc/a", b"a").await.code, 226);
    client.expect(550, "RNFR /upload/pc/a").await;
    client.expect(550, "DELE /upload/pc/a").await;
    client.expect(550, "RMD /upload/pc").await;
    assert_eq!(fs::read(place.dropped("pc/a")).unwrap(), b"a");
}
