//! What goes into the drop box: whole or not at all, and never out again.

use std::fs;

use fwdrill_protocol::sighting::Event;

use super::{Place, for_every_engine, pattern, until};
use crate::config::FtpEngine;

for_every_engine!(
    an_upload_appears_whole_and_not_before_its_end,
    an_upload_that_ends_by_reset_leaves_nothing,
    an_upload_whose_client_is_gone_leaves_nothing,
    an_upload_replaces_the_one_before_only_when_it_is_whole,
    what_was_dropped_can_be_neither_read_nor_seen,
    names_that_would_leave_or_hide_are_refused,
    the_clients_directory_is_there_when_it_is_needed,
);

async fn an_upload_appears_whole_and_not_before_its_end(engine: FtpEngine) {
    let place = Place::new(engine);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let (log, file) = (pattern(1_000_000), place.dropped("pc-017/mwav.log"));
    let mut data = client.passive().await;
    client.expect(150, "STOR /upload/pc-017/mwav.log").await;
    data.send(&log[..600_000]).await;
    until(|| place.unfinished() == 1).await;
    assert!(!file.exists());
    data.send(&log[600_000..]).await;
    assert!(!file.exists());
    drop(data);
    assert_eq!(client.reply().await.code, 226);
    assert!(fs::read(&file).unwrap() == log);
    assert_eq!(place.unfinished(), 0);
}

async fn an_upload_that_ends_by_reset_leaves_nothing(engine: FtpEngine) {
    let place = Place::new(engine);
    let server = place.start().await;
    let (mut client, drill) = server.drill().await;
    let mut data = client.passive().await;
    client.expect(150, "STOR /upload/pc/mwav.log").await;
    data.send(&pattern(200_000)).await;
    until(|| place.unfinished() == 1).await;
    data.reset();
    let reply = client.reply().await;
    assert_eq!(reply.code / 100, 4, "{reply:?}");
    assert!(!place.dropped("pc/mwav.log").exists());
    assert_eq!(place.unfinished(), 0);
    let broken = |event: &Event| matches!(event, Event::Transferred { complete: false, .. });
    assert!(server.events(drill).iter().any(broken));
    assert_eq!(client.upload("/upload/pc/mwav.log", b"again").await.code, 226);
}

/// A client that is killed closes all its connections; its data connection ends as if everything had been sent.
async fn an_upload_whose_client_is_gone_leaves_nothing(engine: FtpEngine) {
    let place = Place::new(engine);
    let server = place.start().await;
    let (mut client, drill) = server.drill().await;
    let mut data = client.passive().await;
    client.expect(150, "STOR /upload/pc/mwav.log").await;
    data.send(&pattern(200_000)).await;
    until(|| place.unfinished() == 1).await;
    drop(client);
    drop(data);
    let broken = |event: &Event| matches!(event, Event::Transferred { complete: false, .. });
    until(|| server.events(drill).iter().any(broken)).await;
    assert!(!place.dropped("pc/mwav.log").exists());
    assert_eq!(place.unfinished(), 0);
}

async fn an_upload_replaces_the_one_before_only_when_it_is_whole(engine: FtpEngine) {
    let place = Place::new(engine);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let file = place.dropped("pc/mwav.log");
    assert_eq!(client.upload("/upload/pc/mwav.log", b"first").await.code, 226);
    let mut data = client.passive().await;
    client.expect(150, "STOR /upload/pc/mwav.log").await;
    data.send(b"half of the sec").await;
    until(|| place.unfinished() == 1).await;
    data.reset();
    assert_eq!(client.reply().await.code / 100, 4);
    assert_eq!(fs::read(&file).unwrap(), b"first");
    assert_eq!(client.upload("/upload/pc/mwav.log", b"second").await.code, 226);
    assert_eq!(fs::read(&file).unwrap(), b"second");
    assert_eq!(client.upload("/upload/pc/empty", b"").await.code, 226);
    assert_eq!(fs::read(place.dropped("pc/empty")).unwrap(), b"");
}

async fn what_was_dropped_can_be_neither_read_nor_seen(engine: FtpEngine) {
    let place = Place::new(engine);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    assert_eq!(client.upload("/upload/pc-017/mwav.log", b"secret").await.code, 226);
    for path in ["/upload/pc-017/mwav.log", "/upload/pc-017/none", "/upload/.incoming/x"] {
        let data = client.passive().await;
        let (bytes, reply) = client.download(data, &format!("RETR {path}")).await;
        assert_eq!((bytes.len(), reply.code), (0, 550), "{path}: {reply:?}");
        client.expect(550, &format!("SIZE {path}")).await;
        client.expect(550, &format!("DELE {path}")).await;
    }
    assert_eq!(client.listing("NLST /upload").await, "pc-017\r\n");
    for command in ["NLST /upload/pc-017", "LIST /upload/pc-017", "MLSD /upload/pc-017"] {
        assert_eq!(client.listing(command).await, "");
    }
    client.expect(550, "RMD /upload/pc-017").await;
    assert_eq!(fs::read(place.dropped("pc-017/mwav.log")).unwrap(), b"secret");
}

async fn names_that_would_leave_or_hide_are_refused(engine: FtpEngine) {
    let place = Place::new(engine);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    for path in [
        "/upload/.incoming/x",
        "/upload/pc/.profile",
        "/upload/a b/x",
        "/upload/pc/é",
        "/upload/pc/a/b",
        "/upload/x",
        "/upload",
    ] {
        let reply = client.upload(path, b"x").await;
        assert!(matches!(reply.code, 550 | 553), "{path}: {reply:?}");
    }
    let left: Vec<_> = fs::read_dir(place.dropped("")).unwrap().collect();
    assert!(left.len() <= 2, "{left:?}");
    assert_eq!(place.unfinished(), 0);
}

async fn the_clients_directory_is_there_when_it_is_needed(engine: FtpEngine) {
    let place = Place::new(engine);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    client.expect(250, "CWD /upload/pc-1").await;
    assert!(!place.dropped("pc-1").exists());
    assert_eq!(client.upload("sysinfo.json", b"{}").await.code, 226);
    assert!(place.dropped("pc-1/sysinfo.json").exists());
    client.expect(257, "MKD /upload/pc-2").await;
    client.expect(550, "MKD /upload/pc-2").await;
    assert!(place.dropped("pc-2").is_dir());
    client.expect(550, "CWD /upload/pc-2/deeper").await;
}
