//! Who gets in, and what the rest is told.

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::estate::User;
use fwdrill_protocol::sighting::Event;

use super::{Place, for_every_engine};
use crate::config::FtpEngine;

for_every_engine!(
    each_kind_of_user_gets_in_with_the_right_password,
    unknown_users_and_wrong_passwords_are_told_the_same,
    anonymous_stays_outside_where_the_estate_says_so,
    nothing_is_to_be_had_before_a_login,
    a_drill_finds_its_session_in_the_journal,
    any_session_can_belong_to_a_drill,
);

fn with_user(engine: FtpEngine) -> Place {
    let mut place = Place::new(engine);
    place.estate().ftp.users = vec![User {
        name: "scan".to_owned(),
        password: "s3cret".to_owned(),
    }];
    place
}

async fn each_kind_of_user_gets_in_with_the_right_password(engine: FtpEngine) {
    let place = with_user(engine);
    let server = place.start().await;
    let drill = DrillId::random().to_string();
    let logins = [
        ("anonymous", "me@example.net"),
        ("ftp", "x"),
        ("drill", &drill),
        ("scan", "s3cret"),
    ];
    for (name, password) in logins {
        let mut client = server.connect().await;
        client.login(name, password).await;
        let data = client.passive().await;
        let (bytes, reply) = client.download(data, "RETR /signatures/small").await;
        assert_eq!((bytes.as_slice(), reply.code), (b"small".as_slice(), 226), "{name}");
        client.expect(221, "QUIT").await;
        assert_eq!(client.reply_or_end().await, None);
    }
}

async fn unknown_users_and_wrong_passwords_are_told_the_same(engine: FtpEngine) {
    let place = with_user(engine);
    let server = place.start().await;
    let mut told = Vec::new();
    for (name, password) in [
        ("scan", "wrong"),
        ("nobody", "wrong"),
        ("drill", "no id"),
        ("scan", "S3CRET"),
    ] {
        let mut client = server.connect().await;
        let asked = client.expect(331, &format!("USER {name}")).await;
        let refused = client.expect(530, &format!("PASS {password}")).await;
        client.expect(530, "PWD").await;
        told.push((asked, refused));
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
}

async fn anonymous_stays_outside_where_the_estate_says_so(engine: FtpEngine) {
    let mut place = with_user(engine);
    place.estate().ftp.anonymous = false;
    let server = place.start().await;
    for name in ["anonymous", "ftp"] {
        let mut client = server.connect().await;
        client.say(&format!("USER {name}")).await;
        client.expect(530, "PASS me@example.net").await;
    }
    server.connect().await.login("scan", "s3cret").await;
}

async fn nothing_is_to_be_had_before_a_login(engine: FtpEngine) {
    let place = with_user(engine);
    let server = place.start().await;
    let mut client = server.connect().await;
    for command in [
        "PASV",
        "EPSV",
        "RETR /signatures/small",
        "STOR /upload/pc/x",
        "CWD /",
        "SITE DRILL x",
    ] {
        client.expect(530, command).await;
    }
}

async fn a_drill_finds_its_session_in_the_journal(engine: FtpEngine) {
    let place = with_user(engine);
    let server = place.start().await;
    let (mut client, drill) = server.drill().await;
    let data = client.passive().await;
    let port = data.stream.peer_addr().unwrap().port();
    client.download(data, "RETR /signatures/small").await;
    assert_eq!(client.upload("/upload/pc/mwav.log", b"clean").await.code, 226);

    let events = server.events(drill);
    let moved = |path: &str| Event::Transferred {
        path: path.to_owned(),
        bytes: 5,
        complete: true,
    };
    assert_eq!(events[0], Event::Accepted);
    assert!(events.contains(&Event::PassivePort { port }), "{events:?}");
    assert!(events.contains(&moved("/signatures/small")), "{events:?}");
    assert!(events.contains(&moved("/upload/pc/mwav.log")), "{events:?}");
    assert_eq!(server.events(DrillId::random()), []);
}

async fn any_session_can_belong_to_a_drill(engine: FtpEngine) {
    let place = with_user(engine);
    let server = place.start().await;
    let (mut client, drill) = (server.anonymous().await, DrillId::random());
    client.expect(501, "SITE DRILL 12").await;
    client.expect(200, &format!("SITE DRILL {drill}")).await;
    client.extended_passive().await;
    let events = server.events(drill);
    assert!(
        matches!(events[..], [Event::Accepted, Event::PassivePort { .. }, ..]),
        "{events:?}"
    );
}
