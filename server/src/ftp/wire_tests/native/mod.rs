//! What our own engine does and libunftp does not (docs/ARCHITECTURE.md lists the differences).

mod aborts;
mod active;
mod changes;
mod commands;
mod data_connections;
mod limits;
mod listings;
mod privacy;

use super::Place;
use super::client::Client;
use crate::config::FtpEngine;

fn place() -> Place {
    Place::new(FtpEngine::Native)
}

fn place_with(files: &[(&str, &[u8])]) -> Place {
    Place::with(FtpEngine::Native, files)
}

/// The session is as good as new: a whole transfer goes through.
async fn expect_a_working_session(client: &mut Client) {
    client.expect(200, "TYPE I").await;
    let data = client.extended_passive().await;
    let (bytes, reply) = client.download(data, "RETR /signatures/small").await;
    assert_eq!((bytes.as_slice(), reply.code), (b"small".as_slice(), 226), "{reply:?}");
}

/// The memory of this process, in bytes.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
