//! Active mode, tried once: the server makes the data connection.

use std::net::SocketAddr;

use fwdrill_protocol::ftp_reply::Reply;
use serde::{Deserialize, Serialize};

use super::Trouble;

/// PORT (or EPRT) and a listing over the connection that the server makes for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActiveTalk {
    /// Where the client listened, as it told the server.
    pub told: SocketAddr,
    /// The command as it was sent.
    pub command: String,
    /// Its reply; 5yz where the server does not do this, or not to that address.
    pub reply: Option<Reply>,
    /// Who connected.
    pub from: Option<SocketAddr>,
    /// The first reply to LIST, where it was sent.
    pub listed: Option<Reply>,
    /// How many bytes the listing had; absent where it did not come.
    pub received: Option<u64>,
    /// How many packets this host received and did not deliver while the server was to connect.
    pub undelivered: Option<u64>,
    /// What went wrong with the conversation.
    pub trouble: Option<Trouble>,
}

impl ActiveTalk {
    /// Whether the server said that it would connect.
    pub fn accepted(&self) -> bool {
        self.reply.as_ref().is_some_and(Reply::is_positive)
    }

    /// Whether the listing came.
    pub fn worked(&self) -> bool {
        self.received.is_some()
    }
}
