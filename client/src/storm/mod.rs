//! An update storm: many agents at once from one process, each living one update as a real client does, and the first limit
//! that broke.
//!
//! ```text
//! Storm -> one agent alone -> a crowd of agents -> facts (+ what the server saw) -> limit -> StormReport
//! ```
//! The one agent alone settles what works here, and tells a path that does not work at all from one that does not carry many.
//! Agents do not try again: the first refusal is what a storm is for. Only an event is repeated until it is acknowledged.
//! Nothing is stored: files are checked against the manifest as they come.

mod agent;
mod crowd;
mod facts;
mod gathered;
mod limit;
mod over_ftp;
mod over_http;
mod passive_book;
mod port_book;
mod summary;
mod tally;
mod telling;
mod trouble;
mod witness;

use std::sync::Arc;
use std::time::Duration;

use fwdrill_protocol::client_name::ClientName;
use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::storm::{LifeLine, Machine, StormReport};
use fwdrill_protocol::update_set::PublicKey;
use tokio::sync::mpsc::Sender;
use tokio_util::sync::CancellationToken;

use crate::ftp::Passive;
use crate::limits::Limits;
use crate::sync::{Login, Server};

pub use gathered::{GatherError, gathered};
pub use tally::Live;

/// What a storm needs to know.
#[derive(Debug, Clone)]
pub struct Storm {
    /// Where to go.
    pub server: Server,
    /// Ports, mode, token.
    pub estate: Estate,
    /// What the agents' names begin with.
    pub client: ClientName,
    /// How many agents.
    pub clients: u32,
    /// No more of them at work at the same time.
    pub at_once: Option<u32>,
    /// Over how long their starts are spread.
    pub ramp: Duration,
    /// How long each goes on.
    pub course: Course,
    /// How long an agent waits between the passive port it is told and its connection there.
    pub think: Duration,
    /// How FTP data connections are asked for.
    pub passive: Passive,
    /// Who to be on FTP; unset: each agent a drill of its own, or anonymous where the server knows no drills.
    pub login: Option<Login>,
    /// The key that the set has to be signed with; unset: the signature is not checked.
    pub key: Option<PublicKey>,
    /// Whether system information is stored in the drop box.
    pub uploads: bool,
    /// How long each step may take.
    pub limits: Limits,
    /// For how long an event is repeated.
    pub patience: Duration,
    /// What this machine has; see [`Machine::short_of`].
    pub machine: Machine,
}

/// How long each agent goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// So many updates.
    Rounds(u32),
    /// It begins new updates for so long.
    Lasting(Duration),
}

/// The files that an agent has open at once: the control and the data connection.
const FILES_EACH: u64 = 2;
/// The files of the process itself, about.
const FILES_BESIDES: u64 = 64;

impl Storm {
    /// Works out what this machine has less of than so many agents need, in words.
    pub fn sized(mut self) -> Self {
        let agents = u64::from(self.agents_at_once());
        let files = agents * FILES_EACH + FILES_BESIDES;
        let mut short_of = Vec::new();
        if let Some(open) = self.machine.open_files.filter(|open| *open < files) {
            short_of.push(format!(
                "{agents} agents x {FILES_EACH} connections + {FILES_BESIDES} = {files} open files, and this process may have {open} (ulimit -Hn)"
            ));
        }
        if let Some(ports) = self.machine.local_ports.filter(|ports| *ports < agents) {
            short_of.push(format!(
                "{agents} agents need as many local ports to one port of the server, and there are {ports} (net.ipv4.ip_local_port_range)"
            ));
        }
        self.machine.short_of = short_of;
        self
    }

    fn agents_at_once(&self) -> u32 {
        self.at_once.map_or(self.clients, |most| most.min(self.clients))
    }
}

/// Runs a storm to its end. `live` can be read meanwhile; `lives` gets a line for every life. When `stop` is cancelled no life
/// is begun any more; those that are lived end.
pub async fn run(
    storm: Storm,
    live: Arc<Live>,
    lives: Option<Sender<LifeLine>>,
    stop: &CancellationToken,
) -> StormReport {
    let started = jiff::Timestamp::now();
    let facts = match crowd::alone(storm).await {
        Ok(ready) => crowd::gather(ready, live, lives, stop).await,
        Err(facts) => *facts,
    };
    summary::report(started, facts)
}
