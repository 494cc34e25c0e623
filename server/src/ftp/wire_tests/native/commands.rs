//! The conversation on the control connection.

use fwdrill_protocol::evidence::Evidence;
use fwdrill_protocol::sighting::Event;

use super::super::{in_time, pattern};
use super::{expect_a_working_session, place, place_with, resident};

#[tokio::test]
async fn a_thousand_pipelined_commands_are_answered_in_order() {
    let place = place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let commands: Vec<String> = (0..1000)
        .map(|n| match n % 3 {
            0 => "CWD /signatures".to_owned(),
            1 => format!("REST {n}"),
            _ => "PWD".to_owned(),
        })
        .collect();
    client.send(&commands.join("\r\n")).await;
    for (n, command) in commands.iter().enumerate() {
        let reply = client.reply().await;
        match n % 3 {
            0 => assert_eq!(reply.code, 250, "{command}"),
            1 => assert_eq!(
                (reply.code, reply.text()),
                (350, format!("The next transfer starts at {n}"))
            ),
            _ => assert_eq!(reply.code, 257, "{command}"),
        }
    }
    client.expect(350, "REST 0").await;
    expect_a_working_session(&mut client).await;
}

#[tokio::test]
async fn commands_behind_a_transfer_wait_for_its_end() {
    let place = place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let data = client.extended_passive().await;
    client
        .send("RETR /signatures/small\r\nNOOP\r\nPWD\r\nRETR /none\r\nQUIT")
        .await;
    let mut codes = Vec::new();
    while let Some(reply) = client.reply_or_end().await {
        codes.push(reply.code);
    }
    assert_eq!(codes, [150, 226, 200, 257, 550, 221]);
    drop(data);
}

#[tokio::test]
async fn an_endless_line_costs_a_500_and_no_memory() {
    const PIECES: usize = 2_000;
    let place = place();
    let server = place.start().await;
    let mut client = server.connect().await;
    let piece = "x".repeat(8 * 1024);
    let before = resident();
    for _ in 0..PIECES {
        client.send_bytes(piece.as_bytes()).await;
    }
    client.send("").await;
    assert_eq!(client.reply().await.code, 500);
    client.expect(200, "NOOP").await;
    let grown = resident().saturating_sub(before);
    assert!(grown < PIECES as u64 * 8 * 1024 / 4, "{grown} bytes more");
    client.login("anonymous", "x").await;
    expect_a_working_session(&mut client).await;
}

#[tokio::test]
async fn every_command_is_answered_as_the_rfcs_say_and_none_costs_the_session() {
    let place = place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    for (line, code) in [
        ("SYST", 215),
        ("noop", 200),
        ("NOOP really", 200),
        ("HELP", 214),
        ("FEAT", 211),
        ("STAT", 211),
        ("ALLO 1000", 202),
        ("OPTS UTF8 ON", 200),
        ("OPTS UTF8 MAYBE", 501),
        ("OPTS NOTHING", 501),
        ("OPTS MLST type;size;", 200),
        ("MODE S", 200),
        ("MODE B", 504),
        ("MODE Z", 501),
        ("STRU F", 200),
        ("STRU R", 504),
        ("TYPE A", 200),
        ("TYPE A N", 200),
        ("TYPE E", 504),
        ("TYPE Q", 501),
        ("TYPE", 501),
        ("TYPE L 8", 200),
        ("REST minus", 501),
        ("PORT 127,0,0,1,10,10", 502),
        ("EPRT |1|127.0.0.1|2570|", 502),
        ("EPSV 9", 522),
        ("EPSV x", 501),
        ("PBSZ 0", 503),
        ("PROT P", 503),
        ("PASS again", 503),
        ("RNTO x", 503),
        ("RNFR /signatures/small", 550),
        ("CWD /none", 550),
        ("CWD", 501),
        ("CDUP", 250),
        ("XCWD /signatures", 250),
        ("XPWD", 257),
        ("XCUP", 250),
        ("SIZE /signatures", 550),
        ("MDTM /none", 550),
        ("RETR /none", 550),
        ("RETR", 501),
        ("RETR a\0b", 501),
        ("LIST /none", 550),
        ("MLSD /signatures/small", 501),
        ("STOU", 502),
        ("SITE CHMOD 777 x", 504),
        ("BOGUS", 500),
        ("", 500),
    ] {
        client.expect(code, line).await;
    }
    expect_a_working_session(&mut client).await;
}

#[tokio::test]
async fn the_passive_reply_is_journalled_byte_for_byte() {
    use fwdrill_protocol::sighting::Event;
    let place = place();
    let server = place.start().await;
    let (mut client, drill) = server.drill().await;
    for command in ["PASV", "EPSV"] {
        let told = client.say(command).await.to_string().trim_end().to_owned();
        assert!(server.events(drill).contains(&Event::PassiveReply { reply: told }));
    }
}

#[tokio::test]
async fn a_restart_is_for_one_transfer_even_if_that_fails() {
    let place = place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    for failing in ["RETR /none", "STOR /upload/pc/x", "LIST /none"] {
        client.expect(350, "REST 3").await;
        assert_eq!(client.say(failing).await.code / 100, 5, "{failing}");
        expect_a_working_session(&mut client).await;
    }
    client.expect(350, "REST 6").await;
    client.expect(554, "RETR /signatures/small").await;
}

#[tokio::test]
async fn text_is_converted_in_ascii_and_nothing_else_is() {
    let place = place_with(&[("policies/text", b"one\ntwo\r\nthree")]);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    client.expect(200, "TYPE A").await;
    client.expect(550, "SIZE /policies/text").await;
    let data = client.passive().await;
    let (bytes, _) = client.download(data, "RETR /policies/text").await;
    assert_eq!(bytes, b"one\r\ntwo\r\nthree");
    assert_eq!(client.upload("/upload/pc/mwav.log", b"a\r\nb\rc\r\n").await.code, 226);
    assert_eq!(std::fs::read(place.dropped("pc/mwav.log")).unwrap(), b"a\nb\rc\n");
    client.expect(200, "TYPE I").await;
    client.expect(213, "SIZE /policies/text").await;
    let data = client.passive().await;
    let (bytes, _) = client.download(data, "RETR /policies/text").await;
    assert_eq!(bytes, b"one\ntwo\r\nthree");
}

#[tokio::test]
async fn what_is_appended_goes_behind_what_is_there() {
    let place = place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let log = pattern(300_000);
    for part in log.chunks(100_000) {
        let mut data = client.passive().await;
        client.expect(150, "APPE /upload/pc/mwav.log").await;
        data.send(part).await;
        drop(data);
        assert_eq!(client.reply().await.code, 226);
    }
    assert!(std::fs::read(place.dropped("pc/mwav.log")).unwrap() == log);
    client.expect(550, "APPE /signatures/small").await;
}

#[tokio::test]
async fn rein_forgets_who_it_was_and_quit_ends() {
    let place = place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    client.expect(250, "CWD /signatures").await;
    client.expect(220, "REIN").await;
    client.expect(530, "PWD").await;
    client.login("anonymous", "x").await;
    assert!(client.expect(257, "PWD").await.text().starts_with("\"/\""));
    client.expect(221, "QUIT").await;
    assert_eq!(in_time(client.reply_or_end()).await, None);
}

#[tokio::test]
async fn a_drill_gets_its_evidence_over_the_control_connection_and_nobody_else_does() {
    let place = place();
    let server = place.start().await;
    let (mut client, drill) = server.drill().await;
    client.expect(200, "TYPE I").await;
    for _ in 0..20 {
        let data = client.extended_passive().await;
        assert_eq!(client.download(data, "RETR /signatures/small").await.1.code, 226);
    }
    let reply = client.expect(211, "SITE SIGHTINGS").await;
    let [_, json @ .., _] = reply.lines.as_slice() else {
        panic!("{reply:?}")
    };
    let json: String = json.iter().map(|line| line.strip_prefix(' ').unwrap()).collect();
    let evidence: Evidence = serde_json::from_str(&json).unwrap();
    assert_eq!(evidence.sightings, server.journal.of(drill));
    let moved = |event: &Event| matches!(event, Event::Transferred { complete: true, .. });
    assert_eq!(
        evidence
            .sightings
            .iter()
            .filter(|sighting| moved(&sighting.event))
            .count(),
        20
    );

    let mut other = server.anonymous().await;
    other.expect(550, "SITE SIGHTINGS").await;
    other.expect(504, "SITE CHMOD 777 x").await;
}
