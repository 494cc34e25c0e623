//! What the server gives a drill: its own state and the drill's sightings, `fwdrill.evidence/1`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::estate::port_set::PortSet;
use crate::flow::Flow;
use crate::sighting::Sighting;

/// The server's half of a joined measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Always `fwdrill.evidence/1`.
    pub schema: String,
    /// What the server knows of itself.
    pub server: ServerState,
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
}

impl Evidence {
    /// The schema id.
    pub const SCHEMA: &str = "fwdrill.evidence/1";
}
