//! The one JSON line that `serve --announce` prints when every port is bound.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::estate::port_set::PortSet;
use crate::flow::Flow;

/// Every address a server has bound, by flow, and what a client needs besides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    /// Always `fwdrill.announcement/1`.
    pub schema: String,
    /// The server's process id.
    pub pid: u32,
    /// Bound addresses; [`Flow::FtpPassive`] is not among them (see `passive_ports`).
    pub addresses: BTreeMap<Flow, SocketAddr>,
    /// The ports that PASV and EPSV hand out; the kernel's ephemeral ports when empty.
    pub passive_ports: PortSet,
    /// The minisign public key that update sets are signed with, in base64 (`RW...`).
    pub public_key: Option<String>,
}

impl Announcement {
    /// The schema id.
    pub const SCHEMA: &str = "fwdrill.announcement/1";
}
