//! A client PC's daemon: it asks for updates and gets them, uploads system information and its log, tells the server what happened,
//! and does what the server asks for (port 2222, docs/PROTOCOL.md).
//!
//! ```no_run
//! # async fn example(stop: tokio_util::sync::CancellationToken) -> Result<(), Box<dyn std::error::Error>> {
//! use fwdrill_client::agent::{Agent, Config};
//! use fwdrill_protocol::estate::Estate;
//! let config = Config::new("update.example.net", Estate::default(), "/var/lib/fwdrill/agent", "pc-17".parse()?);
//! let agent = Agent::bind(config).await?;
//! println!("{:?}", agent.announcement().addresses);
//! agent.run(stop).await; // until it is cancelled
//! # Ok(())
//! # }
//! ```
//!
//! | file | does |
//! |---|---|
//! | `port`, `ledger` | takes tasks on 2222; each is done once |
//! | `check_in` | asks the server for tasks that do not get here by themselves, and tells what is done |
//! | `work`, `pace` | update cycles, and tasks between them; when the next one is due |
//! | `self_events`, `proofs` | lends 2222 to drills on this host, by 2227 on loopback |

mod check_in;
mod ledger;
mod pace;
mod port;
mod proofs;
mod self_events;
mod work;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fwdrill_protocol::announcement::Announcement;
use fwdrill_protocol::client_name::ClientName;
use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::estate::expectation::OUTSIDE;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::update_set::PublicKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ftp::Passive;
use crate::sync::{Login, Server, SyncError, UpdateCycle};
pub use check_in::CheckInError;
use ledger::Ledger;
use port::Port;
use proofs::Proofs;
use work::Worker;

/// How many connections each port lives at once; more wait.
const AT_ONCE: usize = 64;
/// Tasks that are done, in the directory of update sets.
const LEDGER_FILE: &str = "tasks.json";

/// What an agent is told before it binds anything. Make one with [`Config::new`] and change what differs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server: a name or an address.
    pub host: String,
    /// What listens where; the mode, and the enrolment token, without which there are no tasks.
    pub estate: Estate,
    /// The directory of update sets; made if it is not there and `key` is set. Events and tasks are kept there too.
    pub into: PathBuf,
    /// Who this is.
    pub client: ClientName,
    /// The key that update sets have to be signed with; unset: the one that `into` has already.
    pub key: Option<PublicKey>,
    /// How FTP data connections are arranged.
    pub passive: Passive,
    /// Who to be on FTP; unset: anonymous.
    pub login: Option<Login>,
    /// Where this client stands, for probes.
    pub vantage: String,
    /// How long between two cycles, and two check-ins, about.
    pub every: Duration,
    /// Where to listen for tasks. Port 0 works.
    pub listen: SocketAddr,
    /// Where to listen for this host's own drills: on loopback.
    pub self_events: SocketAddr,
}

impl Config {
    /// The defaults for an estate: its ports, from outside, every minute.
    pub fn new(host: impl Into<String>, estate: Estate, into: impl Into<PathBuf>, client: ClientName) -> Self {
        Config {
            host: host.into(),
            into: into.into(),
            client,
            key: None,
            passive: Passive::Auto,
            login: None,
            vantage: OUTSIDE.to_owned(),
            every: Duration::from_secs(60),
            listen: SocketAddr::new(estate.server.bind, estate.ports.agent),
            self_events: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), estate.ports.self_events),
            estate,
        }
    }

    fn cycle(&self, server: Server) -> UpdateCycle {
        let mut cycle = UpdateCycle::new(server, &self.into, self.client.clone());
        cycle.mode = self.estate.mode;
        cycle.passive = self.passive;
        cycle.key = self.key.clone();
        if let Some(login) = &self.login {
            cycle.login = login.clone();
        }
        cycle
    }
}

/// A client whose ports are bound.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    tasks: (TcpListener, SocketAddr),
    self_events: (TcpListener, SocketAddr),
    /// Version and serial of the set that is here.
    present: Option<(String, u64)>,
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be bound.
    #[error("failed to bind {address}, where {what}")]
    Port {
        /// What should have come in there, in words.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The directory of update sets cannot be used.
    #[error(transparent)]
    Directory(#[from] SyncError),
}

impl Agent {
    /// Binds the ports, and opens the directory of update sets. From here on tasks are accepted by the kernel; they are read
    /// when [`Agent::run`] is called.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let tasks = listen("the server sends tasks", config.listen).await?;
        let self_events = listen("drills of this host ask", config.self_events).await?;
        // Nothing is dialled yet, and the name may have no address yet.
        let nowhere = Server::at(IpAddr::V4(Ipv4Addr::UNSPECIFIED), &config.estate);
        let present = config.cycle(nowhere).prepare().await?;
        if config.estate.agent.token.is_none() {
            tracing::warn!("there is no enrolment token (agent.token): this client takes no tasks");
        }
        Ok(Agent {
            config,
            tasks,
            self_events,
            present,
        })
    }

    /// Every bound address: [`Flow::Tasks`] and [`Flow::SelfEvents`].
    pub fn announcement(&self) -> Announcement {
        Announcement {
            schema: Announcement::SCHEMA.to_owned(),
            pid: std::process::id(),
            addresses: BTreeMap::from([(Flow::Tasks, self.tasks.1), (Flow::SelfEvents, self.self_events.1)]),
            passive_ports: PortSet::default(),
            public_key: self.config.key.as_ref().map(PublicKey::to_base64),
        }
    }

    /// Lives until `stop` is cancelled. Whatever is in hand is dropped then: the set in force is whole, events and results are on
    /// the disk, and the next agent goes on from there.
    pub async fn run(self, stop: CancellationToken) {
        let Agent {
            config,
            tasks: (tasks, task_address),
            self_events: (self_events, self_address),
            present,
        } = self;
        let ledger = Arc::new(Ledger::open(config.into.join(LEDGER_FILE)));
        let proofs = Proofs::default();
        let port = Arc::new(Port {
            client: config.client.clone(),
            token: config.estate.agent.token.clone(),
            ledger: ledger.clone(),
            proofs: proofs.clone(),
        });
        let mut serving = JoinSet::new();
        serving.spawn(serve(tasks, stop.clone(), move |stream, peer| {
            port.clone().live(stream, peer)
        }));
        serving.spawn(serve(self_events, stop.clone(), move |stream, _| {
            self_events::live(stream, proofs.clone(), task_address)
        }));
        let worker = Worker::new(config, ledger, (task_address.port(), self_address.port()), present);
        stop.run_until_cancelled(Box::pin(worker.work())).await;
        // What they serve ends with `stop`.
        while serving.join_next().await.is_some() {}
        tracing::info!("stopped");
    }
}

async fn listen(what: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Port { what, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    tracing::info!(address = %bound, "listening: {what} here");
    Ok((listener, bound))
}

/// Lives every connection with `live` until `stop`, so many at once.
async fn serve<F>(listener: TcpListener, stop: CancellationToken, live: impl Fn(TcpStream, SocketAddr) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let seats = Arc::new(Semaphore::new(AT_ONCE));
    let serving = async {
        while let Ok(seat) = seats.clone().acquire_owned().await {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let (living, stop) = (live(stream, peer), stop.clone());
                    tokio::spawn(async move {
                        stop.run_until_cancelled(living).await;
                        drop(seat);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                    // Out of files, most likely: not to be asked again at once.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    stop.run_until_cancelled(serving).await;
}
