//! What the server gives a drill: its own state and the drill's sightings, `fwdrill.evidence/1`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::estate::port_set::PortSet;
use crate::estate::renumbering::Renumbering;
use crate::flow::Flow;
use crate::host::HostState;
use crate::sighting::Sighting;
use crate::update_set::{Manifest, Sha256};

/// The server's half of a joined measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Always `fwdrill.evidence/1`.
    pub schema: String,
    /// What the server knows of itself.
    pub server: Box<ServerState>,
    /// What its host knew when it was asked; absent where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub host: Option<Box<HostState>>,
    /// How many connections from the drill's own addresses it accepted since the drill began that never named a drill.
    #[serde(default)]
    pub unnamed: BTreeMap<Flow, u64>,
    /// The update set in force when it was asked; absent where it has none, or does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Box<SetInForce>>,
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
    /// Where it listens for them, the first for the first and so on; empty: there.
    #[serde(default, skip_serializing_if = "PortSet::is_empty")]
    pub passive_listen: PortSet,
    /// The ports of its estate, whether it listens on them or not.
    #[serde(default)]
    pub estate_ports: PortSet,
    /// Which of the two servers of an estate it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<ServerRole>,
    /// The SHA-256 of the certificate that it shows under HTTPS and FTPS; absent where it has neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Sha256>,
}

impl ServerState {
    /// Which ports it listens on for the passive ports that it tells.
    pub fn renumbering(&self) -> Renumbering {
        Renumbering::new(&self.passive_ports, &self.passive_listen)
    }
}

/// Which of the two servers of an estate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ServerRole {
    /// The update server.
    Server,
    /// A PC that passes updates on.
    UpdateAgent,
    /// One that this version does not know.
    #[serde(other)]
    Unknown,
}

/// The update set that a server has in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetInForce {
    /// Its serial.
    pub serial: u64,
    /// Its version.
    pub version: String,
    /// When it was published.
    pub published: Timestamp,
    /// Until when it is good.
    pub expires: Timestamp,
    /// The minisign public key that the server's sets are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl SetInForce {
    /// The set of this manifest.
    pub fn of(manifest: &Manifest, key: Option<String>) -> Self {
        SetInForce {
            serial: manifest.serial(),
            version: manifest.version().to_owned(),
            published: manifest.published(),
            expires: manifest.expires(),
            key,
        }
    }
}

impl Evidence {
    /// The schema id.
    pub const SCHEMA: &str = "fwdrill.evidence/1";
}
