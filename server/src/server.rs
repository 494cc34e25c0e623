//! The server as a whole: bound, announced, run, drained.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fwdrill_depot::keys::{self, KeyFileError};
use fwdrill_depot::{Depot, DepotError, PublishError, PublishOptions, publish};
use fwdrill_protocol::announcement::Announcement;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::estate::{Estate, Tls};
use fwdrill_protocol::evidence::{ServerRole, ServerState};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::update_set::Sha256;
use jiff::Timestamp;
use rustls::ServerConfig;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::bind::{BindErrors, Bound, bind};
use crate::config::{Config, FtpEngine, Role};
use crate::connection::Connections;
use crate::console::{self, Console, ConsoleError};
use crate::events::{EnrolmentToken, EventDesk, TokenError};
use crate::evidence::EvidenceDesk;
use crate::ftp::libunftp::Libunftp;
use crate::ftp::native::Native;
use crate::ftp::site::SiteError;
use crate::journal::{Journal, JournalFileError};
use crate::shelf::{Shelf, ShelfError};
use crate::store::{Store, StoreError};
use crate::sweep::Sweep;
use crate::task_port::TaskPorts;
use crate::tasks::TaskDesk;
use crate::tls::{self, TlsError};
use crate::{exposure, ftp, http, sentinel};

/// An update server or update agent whose every port is bound.
pub struct Server {
    announcement: Announcement,
    address: IpAddr,
    bound: Vec<Bound>,
    shelf: Shelf,
    journal: Journal,
    store: Option<Store>,
    events: Option<EventDesk>,
    tasks: Option<TaskDesk>,
    estate_ports: PortSet,
    task_ports: Arc<TaskPorts>,
    ftp: Option<Arc<ftp::site::Site>>,
    engine: FtpEngine,
    http: http::Limits,
    https: Option<Arc<ServerConfig>>,
    console: Option<Arc<Console>>,
    console_password: Option<String>,
    role: ServerRole,
    certificate: Option<Sha256>,
    grace: Duration,
}

/// Why a server does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Ports that cannot be bound, all of them.
    #[error(transparent)]
    Ports(#[from] BindErrors),
    /// The state directory cannot be made.
    #[error("failed to create the state directory {}", path.display())]
    State {
        /// The directory.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The journal cannot be kept.
    #[error(transparent)]
    Journal(#[from] JournalFileError),
    /// The key that the first set is to be signed with.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The depot cannot be used.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// There is no update set, and none can be made.
    #[error("failed to make a first update set in {}", depot.display())]
    Publish {
        /// The depot.
        depot: PathBuf,
        /// The reason.
        #[source]
        source: Box<PublishError>,
    },
    /// The set in force cannot be served.
    #[error("failed to verify the update set in force")]
    Set(#[from] ShelfError),
    /// The FTP service.
    #[error(transparent)]
    Ftp(#[from] SiteError),
    /// What clients tell of themselves cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The enrolment token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The certificate of HTTPS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The console.
    #[error("failed to open the console")]
    Console(#[from] ConsoleError),
    /// libunftp tells clients where it listens, whatever is configured.
    #[error(
        "ftp.passive_listen is not possible with --ftp-engine libunftp, which tells clients the ports it listens on"
    )]
    Renumbered,
    /// What was to be done on a thread of its own was not.
    #[error("failed to prepare the depot")]
    CutShort(#[source] io::Error),
}

impl Server {
    /// Binds every port of the estate, then prepares what is served: the depot's set in force is verified, every file of
    /// it. A server whose depot is empty makes a first set, signed with the key in the state directory; an update agent
    /// serves nothing (503, 550) until somebody brings it one.
    ///
    /// From here on clients can connect; they are served when [`Server::run`] is called. Must be called within a tokio
    /// runtime with timers and I/O.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        if config.engine == FtpEngine::Libunftp && !config.estate.ftp.passive_listen.is_empty() {
            return Err(StartError::Renumbered);
        }
        let bound = bind(&config)?;
        std::fs::create_dir_all(&config.state).map_err(|source| StartError::State {
            path: config.state.clone(),
            source,
        })?;
        let journal = Journal::open(&config.state, config.journal)?;
        if config.role == Role::Server {
            ensure_set(config.depot.clone(), config.state.clone()).await?;
        }
        let shelf = Shelf::new(&config.depot);
        if shelf.load().await?.is_none() {
            warn!(depot = %config.depot.display(), "no update set yet; clients are told to come back");
        }
        let estate = as_bound(&config, &bound);
        let ftp = match config.flows().any(|flow| flow == Flow::FtpControl) {
            true => Some(ftp::site::Site::open(&estate, &config.state, shelf.clone(), journal.clone()).await?),
            false => None,
        };
        let https = match config.flows().any(|flow| flow == Flow::Http) {
            true => tls::https_config(&estate, &config.state)?,
            false => None,
        };
        let store = match config.flows().any(|flow| flow == Flow::Events) {
            true => Some(Store::open(&config.state, config.store)?),
            false => None,
        };
        let token = match &store {
            Some(_) => Some(EnrolmentToken::open(&estate, &config.state)?),
            None => None,
        };
        let desks = store.clone().zip(token);
        let events = desks.clone().map(|(store, token)| EventDesk::new(store, token));
        let tasks = desks.map(|(store, token)| TaskDesk::new(store, token));
        let certificate = (https.is_some() || ftp.is_some() && estate.ftp.tls != Tls::Off)
            .then(|| tls::fingerprint(&estate, &config.state))
            .flatten();
        let (console, console_password) = match config.flows().any(|flow| flow == Flow::Console) {
            true => {
                let (console, made) = Console::open(
                    &estate,
                    &config.state,
                    config.http,
                    journal.clone(),
                    shelf.clone(),
                    store.clone(),
                    tasks.clone(),
                )?;
                (Some(Arc::new(console)), made)
            }
            false => (None, None),
        };
        let announcement = Announcement {
            schema: Announcement::SCHEMA.to_owned(),
            pid: std::process::id(),
            addresses: addresses(&bound),
            passive_ports: ftp
                .as_ref()
                .map_or_else(PortSet::default, |_| estate.handed_out_ports()),
            public_key: shelf.public_key().map(|key| key.to_base64()),
        };
        warn_of_a_key_nobody_trusts(&estate, announcement.public_key.as_deref());
        for Bound { flow, address, .. } in &bound {
            info!(%flow, %address, "listening");
        }
        Ok(Server {
            announcement,
            address: estate.server.bind,
            bound,
            shelf,
            task_ports: TaskPorts::new(&estate.ports, journal.clone()),
            journal,
            store,
            events,
            tasks,
            estate_ports: Flow::ALL
                .iter()
                .filter_map(|flow| estate.port(*flow))
                .chain(estate.ftp.passive_ports.iter())
                .collect(),
            ftp: ftp.map(Arc::new),
            engine: config.engine,
            http: config.http,
            certificate,
            https,
            console,
            console_password,
            role: match config.role {
                Role::Server => ServerRole::Server,
                Role::UpdateAgent => ServerRole::UpdateAgent,
            },
            grace: config.grace,
        })
    }

    /// Every bound address, and what a client needs besides.
    pub fn announcement(&self) -> &Announcement {
        &self.announcement
    }

    /// The console's password, if it was made at this start: it is kept nowhere, so this is the time to tell it.
    pub fn console_password(&self) -> Option<&str> {
        self.console_password.as_deref()
    }

    /// What the server sees. Clones stay readable while the server runs and after.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// What clients told of themselves; `None` for an update agent, which has no port for it. Clones stay readable while the
    /// server runs and after.
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// What clients are to do; `None` for an update agent, which has nothing to say. Clones work while the server runs.
    pub fn tasks(&self) -> Option<&TaskDesk> {
        self.tasks.as_ref()
    }

    /// What the server serves.
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Serves until `shutdown` is cancelled. Then accepts no more, lets every connection end within the grace time, cuts
    /// the rest, and returns how many those were. Dropping the future cuts all of them at once.
    pub async fn run(self, shutdown: CancellationToken) -> usize {
        self.journal.begun(&self.state());
        let connections = Connections::new(shutdown);
        let _cut = connections.cut_on_drop();
        let mut loops = JoinSet::new();
        let services = self.services(connections.stopping());
        if let Some(ftp) = services.ftp.clone() {
            loops.spawn(async move { ftp.keep_fresh().await });
        }
        for Bound { flow, listeners, .. } in self.bound {
            for listener in listeners {
                loops.spawn(services.clone().accept(flow, listener, connections.clone()));
            }
        }
        while let Some(ended) = loops.join_next().await {
            if let Err(error) = ended {
                error!(%error, "a service died");
            }
        }
        info!(connections = connections.alive(), grace = ?self.grace, "stopping: accepting no more");
        let cut = connections.drain(self.grace).await;
        if let Some(store) = &self.store {
            store.close().await;
        }
        self.journal.close().await;
        info!(cut, "stopped");
        cut
    }

    fn state(&self) -> ServerState {
        let passive = self.ftp.as_ref().map(|ftp| &ftp.passive);
        ServerState {
            listening: self.announcement.addresses.clone(),
            passive_ports: self.announcement.passive_ports.clone(),
            passive_listen: passive.map_or_else(PortSet::default, |passive| passive.listened()),
            estate_ports: self.estate_ports.clone(),
            role: Some(self.role),
            certificate: self.certificate,
        }
    }

    fn services(&self, stopping: &CancellationToken) -> Services {
        let evidence = EvidenceDesk::new(self.journal.clone(), self.state(), self.shelf.clone());
        let sweep = self.ftp.as_ref().map(|ftp| {
            Sweep::new(
                ftp.passive.clone(),
                self.address,
                self.journal.clone(),
                stopping.clone(),
            )
        });
        let site = |flow| {
            Arc::new(http::Site {
                flow,
                shelf: self.shelf.clone(),
                journal: self.journal.clone(),
                evidence: evidence.clone(),
                sweep: sweep.clone(),
                task_ports: self.task_ports.clone(),
                limits: self.http,
                events: self.events.clone().filter(|_| flow == Flow::Events),
                tasks: self.tasks.clone().filter(|_| flow == Flow::Agent),
                tls: self.https.clone().filter(|_| flow == Flow::Http),
            })
        };
        let ftp = self.ftp.clone().map(|site| {
            let engine: Box<dyn ftp::Engine> = match self.engine {
                FtpEngine::Libunftp => Box::new(Libunftp::new(site.clone())),
                FtpEngine::Native => Box::new(Native::new(site.clone()).with_evidence(evidence.clone())),
            };
            ftp::Service::new(site, engine, stopping.clone())
        });
        Services {
            http: site(Flow::Http),
            version: site(Flow::Version),
            events: site(Flow::Events),
            agents: self.tasks.is_some().then(|| site(Flow::Agent)),
            ftp,
            console: self.console.clone(),
            journal: self.journal.clone(),
            stopping: stopping.clone(),
        }
    }
}

/// What lives accepted connections, by flow.
#[derive(Clone)]
struct Services {
    http: Arc<http::Site>,
    version: Arc<http::Site>,
    events: Arc<http::Site>,
    agents: Option<Arc<http::Site>>,
    ftp: Option<Arc<ftp::Service>>,
    console: Option<Arc<Console>>,
    journal: Journal,
    stopping: CancellationToken,
}

impl Services {
    async fn accept(self, flow: Flow, listener: TcpListener, connections: Connections) {
        let stopping = self.stopping;
        match (flow, self.ftp, self.console) {
            (Flow::Http | Flow::Version, _, _) => {
                let site = if flow == Flow::Http { self.http } else { self.version };
                let live = |accepted| http::live(site.clone(), accepted, stopping.clone());
                connections.serve(listener, live).await;
            }
            (Flow::Console, _, Some(console)) => {
                let live = |accepted| console::live_connection(console.clone(), accepted, stopping.clone());
                connections.serve(listener, live).await;
            }
            (Flow::Events, _, _) => {
                let live = |accepted| sentinel::or_http(self.events.clone(), accepted, stopping.clone());
                connections.serve(listener, live).await;
            }
            (Flow::Agent, _, _) if let Some(agents) = self.agents => {
                let live = |accepted| sentinel::or_http(agents.clone(), accepted, stopping.clone());
                connections.serve(listener, live).await;
            }
            (Flow::FtpControl, Some(ftp), _) => {
                let live = |accepted| {
                    let ftp = ftp.clone();
                    async move { ftp.live(accepted).await }
                };
                connections.serve(listener, live).await;
            }
            (Flow::System | Flow::SelfEvents, _, _) => {
                let live = |accepted| exposure::live(flow, self.journal.clone(), accepted, stopping.clone());
                connections.serve(listener, live).await;
            }
            (_, _, _) => {
                let live = |accepted| sentinel::live(flow, self.journal.clone(), accepted, stopping.clone());
                connections.serve(listener, live).await;
            }
        }
    }
}

/// Makes a first set where there is none.
async fn ensure_set(depot: PathBuf, state: PathBuf) -> Result<(), StartError> {
    let made = tokio::task::spawn_blocking(move || {
        match Depot::open(&depot) {
            Ok(there) if there.current_serial()?.is_some() => return Ok(()),
            Err(error) if !error.is_not_found() => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
        let key = keys::load_or_create(&state)?;
        let there = Depot::create(&depot, key.public())?;
        match publish(&there, &key, &PublishOptions::at(Timestamp::now())) {
            Ok(set) => info!(depot = %depot.display(), serial = set.serial(), "made a first update set"),
            Err(source) => {
                let source = Box::new(source);
                return Err(StartError::Publish { depot, source });
            }
        }
        Ok(())
    });
    made.await
        .map_err(|error| StartError::CutShort(io::Error::other(error)))?
}

/// The estate with the ports that were really bound.
fn as_bound(config: &Config, bound: &[Bound]) -> Estate {
    let mut estate = config.estate.clone();
    for Bound { flow, address, .. } in bound {
        estate.set_port(*flow, address.port());
    }
    estate
}

fn addresses(bound: &[Bound]) -> BTreeMap<Flow, SocketAddr> {
    bound.iter().map(|bound| (bound.flow, bound.address)).collect()
}

fn warn_of_a_key_nobody_trusts(estate: &Estate, ours: Option<&str>) {
    if let (Some(trusted), Some(ours)) = (estate.update.public_key.as_deref(), ours)
        && trusted != ours
    {
        warn!(%trusted, %ours, "clients of this estate trust another key than the depot's: they will refuse every set");
    }
}
