//! The task port of this client, dialled by the server.

use std::net::{IpAddr, SocketAddr};

use fwdrill_protocol::task_port::TaskPortAnswer;
use serde::{Deserialize, Serialize};

/// What both ends know of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskPort {
    /// This client's own address towards the server.
    pub own: Option<IpAddr>,
    /// Where this client listened.
    pub listening: Option<SocketAddr>,
    /// Why it did not: another program has the port, mostly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_listening: Option<String>,
    /// Who came and asked for the proof.
    pub arrivals: Vec<SocketAddr>,
    /// How many packets this host received meanwhile and did not deliver; absent where it does not tell.
    pub undelivered: Option<u64>,
    /// What the server says.
    pub answer: Option<TaskPortAnswer>,
    /// Why it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}
