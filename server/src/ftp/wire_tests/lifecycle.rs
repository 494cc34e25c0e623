//! How sessions end when the server does.

use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::{Place, for_every_engine, in_time, pattern, until};
use crate::config::FtpEngine;

for_every_engine!(
    an_idle_session_ends_with_the_server,
    a_transfer_in_hand_is_finished_first,
    a_transfer_that_does_not_end_is_cut_after_the_grace_time,
    a_client_that_goes_away_leaves_no_session_behind,
);

async fn an_idle_session_ends_with_the_server(engine: FtpEngine) {
    let place = Place::new(engine);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    assert_eq!(server.stop().await, 0);
    let last = client.reply_or_end().await;
    assert!(last.is_none_or(|reply| reply.code == 421));
}

/// More than the socket buffers hold (the client's is small), so that the server is still sending when it is told to stop.
fn large() -> Vec<u8> {
    pattern(12 << 20)
}

async fn a_transfer_in_hand_is_finished_first(engine: FtpEngine) {
    let mut place = Place::with(engine, &[("signatures/large", &large())]);
    place.config.grace = Duration::from_secs(60);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let mut data = client.passive().await;
    client.expect(150, "RETR /signatures/large").await;
    let mut begun = [0; 1000];
    in_time(data.stream.read_exact(&mut begun)).await.unwrap();
    server.shutdown.cancel();
    let mut bytes = begun.to_vec();
    in_time(data.stream.read_to_end(&mut bytes)).await.unwrap();
    assert!(bytes == large());
    assert_eq!(server.stop().await, 0);
}

async fn a_transfer_that_does_not_end_is_cut_after_the_grace_time(engine: FtpEngine) {
    let mut place = Place::with(engine, &[("signatures/large", &large())]);
    place.config.grace = Duration::from_millis(100);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let mut data = client.passive().await;
    client.expect(150, "RETR /signatures/large").await;
    let mut begun = [0; 1000];
    in_time(data.stream.read_exact(&mut begun)).await.unwrap();
    assert_eq!(server.stop().await, 1);
    let mut rest = Vec::new();
    // By EOF or reset: it ends.
    let _ = in_time(data.stream.read_to_end(&mut rest)).await;
    assert!(rest.len() + begun.len() < large().len());
}

async fn a_client_that_goes_away_leaves_no_session_behind(engine: FtpEngine) {
    let place = Place::new(engine);
    let server = place.start().await;
    let open_files = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    // Whatever is opened once and kept.
    drop(server.anonymous().await);
    let before = open_files();
    for _ in 0..100 {
        let mut client = server.anonymous().await;
        let data = client.passive().await;
        client.download(data, "RETR /signatures/small").await;
    }
    until(|| open_files() <= before).await;
}
