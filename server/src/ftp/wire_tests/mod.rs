//! FTP on the wire, spoken by raw sockets: one list of tests that every engine passes.

mod client;
mod downloads;
mod full_disk;
mod lifecycle;
mod limits;
mod logins;
mod native;
mod passive;
mod tls;
mod uploads;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use fwdrill_protocol::announcement::Announcement;
use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::estate::{Estate, Tls};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::sighting::Event;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::testing::own_address;
use crate::config::FtpEngine;
use crate::journal::Journal;
use crate::testing::TestDepot;
use crate::{Config, Role, Server};
use client::Client;

/// Nothing on loopback takes this long, unless it never comes.
const ENOUGH: Duration = Duration::from_secs(60);

/// Every engine, for tests that cannot use [`for_every_engine`].
const ENGINES: [FtpEngine; 2] = [FtpEngine::Libunftp, FtpEngine::Native];

/// Runs each of these tests with each engine. They are functions of the engine, and of nothing else.
macro_rules! for_every_engine {
    ($($test:ident),+ $(,)?) => {
        mod libunftp {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(crate::config::FtpEngine::Libunftp).await;
                }
            )+
        }
        mod native {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(crate::config::FtpEngine::Native).await;
                }
            )+
        }
    };
}
use for_every_engine;

/// A server that is not started yet: on an address of its own, every port 0, no passive range, no TLS, and a set in force
/// with the file `/signatures/small`, which says "small".
struct Place {
    depot: TestDepot,
    state: TempDir,
    config: Config,
}

impl Place {
    fn new(engine: FtpEngine) -> Self {
        Place::with(engine, &[])
    }

    /// With more files in the set.
    fn with(engine: FtpEngine, files: &[(&str, &[u8])]) -> Self {
        let (depot, state) = (TestDepot::new(), tempfile::tempdir().unwrap());
        depot.publish(1, &[files, &[("signatures/small", b"small")]].concat());
        let mut estate = Estate::default();
        estate.server.bind = own_address();
        estate.ftp.tls = Tls::Off;
        estate.ftp.passive_ports = Default::default();
        Flow::ALL.into_iter().for_each(|flow| estate.set_port(flow, 0));
        let mut config = Config::new(estate, Role::Server, depot.path(), state.path());
        config.engine = engine;
        Place { depot, state, config }
    }

    fn estate(&mut self) -> &mut Estate {
        &mut self.config.estate
    }

    async fn start(&self) -> Running {
        let server = Server::bind(self.config.clone()).await.unwrap();
        let shutdown = CancellationToken::new();
        Running {
            announcement: server.announcement().clone(),
            journal: server.journal().clone(),
            run: tokio::spawn(server.run(shutdown.clone())),
            shutdown,
        }
    }

    fn dropped(&self, path: &str) -> PathBuf {
        self.state.path().join("dropbox").join(path)
    }

    /// Unfinished uploads on the disk.
    fn unfinished(&self) -> usize {
        std::fs::read_dir(self.dropped(".incoming")).unwrap().count()
    }
}

/// A server that runs until it is stopped or dropped.
struct Running {
    announcement: Announcement,
    journal: Journal,
    shutdown: CancellationToken,
    run: JoinHandle<usize>,
}

impl Running {
    fn address(&self) -> SocketAddr {
        self.announcement.addresses[&Flow::FtpControl]
    }

    /// A client that has read the greeting.
    async fn connect(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// A client that has logged in, as anybody.
    async fn anonymous(&self) -> Client {
        let mut client = self.connect().await;
        client.login("anonymous", "me@example.net").await;
        client
    }

    /// A client that has logged in for a drill.
    async fn drill(&self) -> (Client, DrillId) {
        let (mut client, drill) = (self.connect().await, DrillId::random());
        client.login("drill", &drill.to_string()).await;
        (client, drill)
    }

    fn events(&self, drill: DrillId) -> Vec<Event> {
        let sightings = self.journal.of(drill);
        sightings.into_iter().map(|sighting| sighting.event).collect()
    }

    /// Stops the server; returns how many connections were cut.
    async fn stop(self) -> usize {
        self.shutdown.cancel();
        in_time(self.run).await.unwrap()
    }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(ENOUGH, future).await.expect("it never came")
}

/// Waits for what the server does without telling anybody.
async fn until(mut happened: impl FnMut() -> bool) {
    in_time(async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Bytes that tell where they are from.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 251 + n) as u8).collect()
}
