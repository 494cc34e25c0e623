//! What the server gives a drill: its own state and the drill's sightings, `fwdrill.evidence/1`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::estate::port_set::PortSet;
use crate::flow::Flow;
use crate::host::HostState;
use crate::sighting::Sighting;

/// The server's half of a joined measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Always `fwdrill.evidence/1`.
    pub schema: String,
    /// What the server knows of itself.
    pub server: ServerState,
    /// What its host knew when it was asked; absent where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<Box<HostState>>,
    /// How many connections from the drill's own addresses it accepted since the drill began that never named a drill.
    #[serde(default)]
    pub unnamed: BTreeMap<Flow, u64>,
    /// How many of the drill's sightings it had to forget: if any, what is missing below may have been seen all the same.
    #[serde(default)]
    pub forgotten: u64,
    /// What it saw of this drill, in the order it saw it.
    pub sightings: Vec<Sighting>,
}

/// What the server knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerState {
    /// Its listening sockets.
    pub listening: BTreeMap<Flow, SocketAddr>,
    /// The ports that PASV and EPSV hand out; empty: whatever the kernel gives.
    pub passive_ports: PortSet,
    /// The ports of its estate, whether it listens on them or not.
    #[serde(default)]
    pub estate_ports: PortSet,
}

impl Evidence {
    /// The schema id.
    pub const SCHEMA: &str = "fwdrill.evidence/1";
}
