//! What the server saw: the lines of its journal, schema `fwdrill.sighting/1`.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::drill::DrillId;
use crate::estate::port_set::PortSet;
use crate::evidence::ServerRole;
use crate::flow::Flow;
use crate::report::Outcome;
use crate::update_set::Sha256;

/// One thing the server saw. Lines of a journal are these, one JSON object each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sighting {
    /// Always `fwdrill.sighting/1`.
    pub schema: String,
    /// When, RFC 3339.
    #[cfg_attr(test, schemars(with = "crate::schema::Instant"))]
    pub at: Timestamp,
    /// The drill it belongs to; absent for a connection that never said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub drill: Option<DrillId>,
    /// The conversation it was part of.
    pub flow: Flow,
    /// The server's end of the connection.
    pub local: SocketAddr,
    /// The other end as the server sees it: behind NAT, the NAT's address.
    pub peer: SocketAddr,
    /// What the SYN looked like that an accepted connection began with; absent where the system does not keep it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub syn: Option<Syn>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Sighting {
    /// The schema id.
    pub const SCHEMA: &str = "fwdrill.sighting/1";

    /// Whether somebody led this connection from another host to the server's loopback. `local` is then no address of the
    /// server that others know.
    pub fn was_led_to_loopback(&self) -> bool {
        self.local.ip().to_canonical().is_loopback() && !self.peer.ip().to_canonical().is_loopback()
    }
}

/// The SYN of a connection as it arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Syn {
    /// What was left of its TTL (IPv6: hop limit).
    pub ttl: u8,
    /// The maximum segment size it asked for (RFC 9293 section 3.7.1).
    pub mss: Option<u16>,
}

/// What happened. New kinds may be added; a reader must not fail on one it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A connection was accepted.
    Accepted,
    /// The connection came from another host (`peer`) to a port that is for this host alone (2226, 2227), and was closed: a
    /// firewall lets it through, or somebody forwards it.
    Exposed,
    /// A request was answered (HTTP method and path, status).
    Answered {
        /// `GET /version`
        request: String,
        /// The HTTP status code.
        status: u16,
    },
    /// The passive reply, byte for byte as it was sent.
    PassiveReply {
        /// The line without its line end.
        reply: String,
    },
    /// A passive port was handed out.
    PassivePort {
        /// The port.
        port: u16,
    },
    /// No passive port was free.
    PassiveRangeExhausted,
    /// A data connection came from another address (`peer`) than its control connection, and was refused.
    DataSourceMismatch,
    /// PORT or EPRT named another address than the client's as the server sees it, and was refused: active mode through
    /// NAT, for one.
    ActiveAddressRefused {
        /// What it named.
        to: SocketAddr,
    },
    /// The server connected to the client in active mode, or tried to.
    ActiveConnection {
        /// Where PORT or EPRT said that the client listens.
        to: SocketAddr,
        /// What came of it.
        outcome: Outcome,
    },
    /// The server dialled the client's task port, as the drill asked.
    TaskPortDialled {
        /// Where to.
        to: SocketAddr,
        /// What came of it.
        outcome: Outcome,
        /// Whether who answered proved to be the client; absent where there was no connection.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proved: Option<bool>,
    },
    /// A file was sent or received over a data connection or HTTP.
    Transferred {
        /// The path in the server's tree.
        path: String,
        /// How many bytes moved.
        bytes: u64,
        /// Whether all of it moved.
        complete: bool,
    },
    /// The server began to listen at `local`. No drill's; noted at each start, so that what did not come can be told
    /// from what could not come. `peer` is nobody.
    Listening {
        /// Which of the two servers of an estate it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<ServerRole>,
        /// The SHA-256 of the certificate that it shows under HTTPS.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, schemars(with = "Option<String>"))]
        certificate: Option<Sha256>,
    },
    /// The ports that PASV and EPSV hand out; noted at each start, as `listening`.
    PassiveRange {
        /// The ports; empty: whatever the kernel gives.
        ports: PortSet,
        /// Where it listens for them, the first for the first and so on; empty: there.
        #[serde(default, skip_serializing_if = "PortSet::is_empty")]
        listened: PortSet,
    },
    /// A kind that this version does not know.
    #[serde(other)]
    Unknown,
}
