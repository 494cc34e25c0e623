use std::time::Duration;

use fwdrill_protocol::report::Outcome;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use super::*;
use crate::connection::ConnectionError;
use crate::limits::Limits;
use crate::scripted::{FtpFaults, FtpServer, accept, noise, reset, says, tree};

const SHORT: Duration = Duration::from_millis(200);

async fn session(server: &FtpServer) -> Control {
    let limits = Limits {
        stall: SHORT,
        ..Limits::default()
    };
    let mut control = Control::connect(server.address, &limits).await.unwrap();
    control.login("drill", "secret").await.unwrap();
    control.binary().await.unwrap();
    control
}

async fn download(control: &mut Control, path: &str, offset: u64, how: Passive) -> Result<Vec<u8>, FtpError> {
    let (data, _) = control.passive(how).await?;
    let mut file = control.retrieve(path, offset, data).await?;
    let mut bytes = Vec::new();
    while let Some(chunk) = file.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    file.finish().await?;
    Ok(bytes)
}

#[tokio::test]
async fn a_file_comes_over_epsv_and_over_pasv_whole_and_from_an_offset() {
    let content = noise(300_000);
    let server = FtpServer::start(tree([("/f", &content[..])]), FtpFaults::default()).await;
    let mut control = session(&server).await;
    assert_eq!(control.size("/f").await.unwrap(), 300_000);
    for how in [Passive::Epsv, Passive::Pasv, Passive::Auto] {
        assert_eq!(download(&mut control, "/f", 0, how).await.unwrap(), content);
        assert_eq!(
            download(&mut control, "/f", 299_990, how).await.unwrap(),
            content[299_990..]
        );
    }
    assert_eq!(control.quit().await.unwrap().code, 221);
}

#[tokio::test]
async fn the_transcript_has_every_reply_and_no_password() {
    let server = FtpServer::start(tree([("/f", &b"x"[..])]), FtpFaults::default()).await;
    let mut control = session(&server).await;
    download(&mut control, "/f", 0, Passive::Epsv).await.unwrap();
    let said: Vec<_> = control
        .transcript()
        .iter()
        .map(|exchange| (exchange.sent.as_str(), exchange.reply.code))
        .collect();
    assert_eq!(
        said,
        [
            ("", 220),
            ("USER drill", 331),
            ("PASS ****", 230),
            ("TYPE I", 200),
            ("EPSV", 229),
            ("RETR /f", 150),
            ("", 226),
        ]
    );
    assert!(!format!("{control:?}").contains("secret"));
}

#[tokio::test]
async fn a_refused_password_shows_the_reply_and_not_the_password() {
    let faults = FtpFaults {
        replies: vec![("PASS", "530 Login incorrect.")],
        ..FtpFaults::default()
    };
    let server = FtpServer::start(tree([]), faults).await;
    let mut control = Control::connect(server.address, &Limits::default()).await.unwrap();
    let error = control.login("drill", "secret").await.unwrap_err();
    assert_eq!(error.to_string(), "unexpected reply to PASS ****: 530 Login incorrect.");
    assert_eq!(error.reply().unwrap().code, 530);
}

/// As pyftpdlib does, for three seconds.
#[tokio::test]
async fn a_refusal_that_is_held_back_is_a_refusal_and_not_silence() {
    let (address, _server) = accept(|stream| async move {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 ready\r\n").await.unwrap();
        for (held_back, reply) in [(Duration::ZERO, "331 password?\r\n"), (2 * SHORT, "530 no\r\n")] {
            stream.read_line(&mut String::new()).await.unwrap();
            tokio::time::sleep(held_back).await;
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    })
    .await;
    let mut control = Control::connect(address, &Limits::all(SHORT)).await.unwrap();
    let error = control.login("drill", "secret").await.unwrap_err();
    assert_eq!(error.reply().unwrap().code, 530);
}

#[tokio::test]
async fn a_greeting_that_sends_us_away_is_an_unexpected_reply() {
    let faults = FtpFaults {
        greeting: Some("421 Too many connections"),
        ..FtpFaults::default()
    };
    let server = FtpServer::start(tree([]), faults).await;
    let error = Control::connect(server.address, &Limits::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "unexpected reply to the greeting: 421 Too many connections"
    );
}

#[tokio::test]
async fn a_greeting_announced_by_120_is_waited_for() {
    let (address, _server) = says(b"120 in a minute\r\n220 here I am\r\n", false).await;
    let control = Control::connect(address, &Limits::default()).await.unwrap();
    assert_eq!(control.transcript().len(), 2);
}

#[tokio::test]
async fn what_is_not_ftp_is_shown() {
    for (bytes, closes, shown) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], false, "SSH-2.0-OpenSSH_9.2"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", true, "HTTP/1.1 400 Bad Request"),
        // No line end: a TLS alert, and a service that waits.
        (b"\x15\x03\x01\x00\x02\x02\x46", true, "\u{15}\u{3}\u{1}\0\u{2}\u{2}F"),
        (b"login: ", false, "login:"),
    ] {
        let (address, _server) = says(bytes, closes).await;
        let error = Control::connect(address, &Limits::all(SHORT)).await.unwrap_err();
        assert!(
            matches!(&error, FtpError::NotFtp { first, .. } if first == shown),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn an_endless_greeting_is_not_read_to_its_end() {
    static ENDLESS: [u8; 1 << 20] = [b'2'; 1 << 20];
    let (address, _server) = says(&ENDLESS, false).await;
    let error = Control::connect(address, &Limits::default()).await.unwrap_err();
    assert!(matches!(error, FtpError::NotFtp { .. }), "{error:?}");
}

#[tokio::test]
async fn silence_an_early_close_and_half_a_greeting_are_told_apart() {
    let connect = async |bytes, closes| {
        let (address, _server) = says(bytes, closes).await;
        let error = Control::connect(address, &Limits::all(SHORT)).await.unwrap_err();
        let (channel, source) = error.connection().unwrap();
        assert_eq!(channel, Channel::Control);
        (
            error.to_string().contains("greeting"),
            source.outcome(),
            format!("{source:?}"),
        )
    };
    let (in_greeting, outcome, source) = connect(b"", false).await;
    assert!(
        in_greeting && outcome == Outcome::Silent && source.starts_with("Silent"),
        "{source}"
    );
    let (_, outcome, source) = connect(b"", true).await;
    assert!(outcome == Outcome::Reset && source == "Closed", "{source}");
    let (_, outcome, source) = connect(b"220-half", false).await;
    assert!(outcome == Outcome::Silent && source.starts_with("Stalled"), "{source}");
}

#[tokio::test]
async fn a_reset_before_the_greeting_is_a_reset() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move { reset(listener.accept().await.unwrap().0) });
    let error = Control::connect(address, &Limits::default()).await.unwrap_err();
    server.await.unwrap();
    assert!(
        matches!(error.connection(), Some((Channel::Control, ConnectionError::Reset(_)))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_refused_control_port_is_told_as_such() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Control::connect(address, &Limits::default()).await.unwrap_err();
    assert!(
        matches!(
            error.connection(),
            Some((Channel::Control, ConnectionError::Refused(_)))
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn auto_falls_back_to_pasv_when_epsv_is_refused_or_leads_nowhere() {
    let refused = FtpFaults {
        replies: vec![("EPSV", "502 not here")],
        ..FtpFaults::default()
    };
    let nowhere = FtpFaults {
        epsv_leads_nowhere: true,
        ..FtpFaults::default()
    };
    let server = FtpServer::start(tree([("/f", &b"x"[..])]), FtpFaults::default()).await;
    let mut control = session(&server).await;
    for faults in [refused, nowhere] {
        server.set_faults(faults);
        let (_, worked) = control.passive(Passive::Auto).await.unwrap();
        assert_eq!(worked, Passive::Pasv);
        assert!(control.passive(Passive::Epsv).await.is_err());
    }
    server.set_faults(FtpFaults::default());
    assert_eq!(control.passive(Passive::Auto).await.unwrap().1, Passive::Epsv);
}

#[tokio::test]
async fn the_address_of_a_227_is_dialled_as_it_was_sent() {
    let content = noise(10);
    let server = FtpServer::start(tree([("/f", &content[..])]), FtpFaults::default()).await;
    let mut control = session(&server).await;
    // Port 1 of another loopback address: nobody is there.
    server.set_faults(FtpFaults {
        replies: vec![("PASV", "227 Entering Passive Mode (127,0,0,2,0,1)")],
        ..FtpFaults::default()
    });
    let error = control.passive(Passive::Pasv).await.unwrap_err();
    match &error {
        FtpError::Data { peer, source, .. } => {
            assert_eq!(peer.to_string(), "127.0.0.2:1");
            assert_eq!(source.outcome(), Outcome::Refused);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(error.connection(), Some((Channel::Data, _))));
    // The session goes on.
    server.set_faults(FtpFaults::default());
    assert_eq!(download(&mut control, "/f", 0, Passive::Pasv).await.unwrap(), content);
}

#[tokio::test]
async fn a_227_without_parentheses_is_read_and_one_without_an_address_is_not() {
    let server = FtpServer::start(tree([]), FtpFaults::default()).await;
    let mut control = session(&server).await;
    for (reply, address) in [
        ("227 Entering Passive Mode 127,0,0,1,11,207", Some("127.0.0.1:3023")),
        ("227 Entering Passive Mode", None),
        ("425 no port left", None),
    ] {
        server.set_faults(FtpFaults {
            replies: vec![("PASV", reply)],
            ..FtpFaults::default()
        });
        match (control.pasv().await, address) {
            (Ok((_, seen)), Some(address)) => assert_eq!(seen.to_string(), address),
            (Err(FtpError::Unexpected { .. }), None) => {}
            (other, _) => panic!("{reply}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_cut_data_connection_leaves_the_bytes_and_then_the_servers_reason() {
    let content = noise(5_000);
    let server = FtpServer::start(tree([("/f", &content[..])]), FtpFaults::default()).await;
    let mut control = session(&server).await;
    server.set_faults(FtpFaults {
        cuts: [1_000].into(),
        ..FtpFaults::default()
    });
    let (data, _) = control.passive(Passive::Epsv).await.unwrap();
    let mut file = control.retrieve("/f", 0, data).await.unwrap();
    while file.chunk().await.unwrap().is_some() {}
    assert_eq!(file.received(), 1_000);
    let error = file.finish().await.unwrap_err();
    assert_eq!(error.to_string(), "unexpected reply to RETR /f: 426 cut as told");
    // The same session takes up the rest.
    assert_eq!(
        download(&mut control, "/f", 1_000, Passive::Epsv).await.unwrap(),
        content[1_000..]
    );
}

#[tokio::test]
async fn a_reset_data_connection_is_not_a_reset_control_connection() {
    let content = noise(5_000);
    let faults = FtpFaults {
        cuts: [1_000].into(),
        cuts_reset: true,
        ..FtpFaults::default()
    };
    let server = FtpServer::start(tree([("/f", &content[..])]), faults).await;
    let mut control = session(&server).await;
    let error = download(&mut control, "/f", 0, Passive::Epsv).await.unwrap_err();
    assert!(
        matches!(error.connection(), Some((Channel::Data, ConnectionError::Reset(_)))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_data_connection_without_a_byte_is_silent() {
    let faults = FtpFaults {
        data_silent: true,
        ..FtpFaults::default()
    };
    let server = FtpServer::start(tree([("/f", &b"x"[..])]), faults).await;
    let mut control = session(&server).await;
    let error = download(&mut control, "/f", 0, Passive::Epsv).await.unwrap_err();
    assert!(
        matches!(error.connection(), Some((Channel::Data, ConnectionError::Silent(limit))) if *limit == SHORT),
        "{error:?}"
    );
}

#[tokio::test]
async fn all_bytes_without_a_final_reply_are_all_bytes_and_an_error() {
    let faults = FtpFaults {
        no_final_reply: true,
        ..FtpFaults::default()
    };
    let server = FtpServer::start(tree([("/f", &b"all"[..])]), faults).await;
    let mut control = session(&server).await;
    let (data, _) = control.passive(Passive::Epsv).await.unwrap();
    let mut file = control.retrieve("/f", 0, data).await.unwrap();
    assert_eq!(file.chunk().await.unwrap().unwrap(), "all");
    assert_eq!(file.chunk().await.unwrap(), None);
    let error = file.finish().await.unwrap_err();
    assert!(
        error.to_string().ends_with("while waiting for the final reply"),
        "{error}"
    );
}

#[tokio::test]
async fn an_upload_arrives_whole() {
    let server = FtpServer::start(tree([]), FtpFaults::default()).await;
    let mut control = session(&server).await;
    let content = noise(300_000);
    for how in [Passive::Epsv, Passive::Pasv] {
        let (data, _) = control.passive(how).await.unwrap();
        let reply = control.store("/upload/a/log", data, &content[..]).await.unwrap();
        assert_eq!(reply.code, 226);
        assert_eq!(server.uploads()["/upload/a/log"], content);
    }
}

#[tokio::test]
async fn a_server_that_takes_no_more_is_quoted() {
    let faults = FtpFaults {
        store_limit: Some(1_000),
        ..FtpFaults::default()
    };
    let server = FtpServer::start(tree([]), faults).await;
    let mut control = session(&server).await;
    let (data, _) = control.passive(Passive::Epsv).await.unwrap();
    let error = control.store("/big", data, &noise(8 << 20)[..]).await.unwrap_err();
    assert_eq!(error.to_string(), "unexpected reply to STOR /big: 552 quota exceeded");
}

#[tokio::test]
async fn an_upload_that_is_given_up_half_way_is_not_taken_for_a_whole_one() {
    struct Breaks(bool);
    impl tokio::io::AsyncRead for Breaks {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buf: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            if std::mem::replace(&mut self.0, true) {
                return std::task::Poll::Ready(Err(std::io::Error::other("disk on fire")));
            }
            buf.put_slice(b"half");
            std::task::Poll::Ready(Ok(()))
        }
    }
    let server = FtpServer::start(tree([]), FtpFaults::default()).await;
    let mut control = session(&server).await;
    let (data, _) = control.passive(Passive::Epsv).await.unwrap();
    let error = control.store("/half", data, Breaks(false)).await.unwrap_err();
    assert!(matches!(error, FtpError::Source { .. }), "{error:?}");
    assert!(server.uploads().is_empty());
}

#[tokio::test]
async fn a_line_break_never_becomes_a_second_command() {
    let server = FtpServer::start(tree([]), FtpFaults::default()).await;
    let mut control = session(&server).await;
    server.forget_commands();
    assert!(matches!(
        control.command("SIZE /f\r\nDELE /f").await,
        Err(FtpError::NotALine(_))
    ));
    assert!(matches!(
        control.login("a", "b\nDELE /f").await,
        Err(FtpError::NotALine(shown)) if shown == "PASS ****"
    ));
    assert_eq!(server.commands(), ["USER a"]);
}
