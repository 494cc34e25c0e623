//! The task port: on a drill's request the server dials the client's 2222 from its side, and says what came of it.
//!
//! It dials the address that the request came from and no other, and the port that its own estate names: nobody can have it
//! connect to a third party, or look for open ports. The client listens, and proves with its drill id that it is itself.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::drill::DrillId;
use crate::report::Outcome;

/// The path of the request (GET, with the drill header) on the version and HTTP services.
pub const TASK_PORT_PATH: &str = "/task-port";

/// The path on the client's port under which it proves itself (GET, HTTP/1.1).
pub const PROOF_PATH: &str = "/proof";

/// The header of that request with the server's nonce: 32 hexadecimal digits.
pub const NONCE_HEADER: &str = "x-fwdrill-nonce";

/// A client's own 2227 (loopback) answers a drill's first line with this and the address where its agent has the task port: the
/// agent proves that drill there for as long as the connection stands.
pub const AGENT_LINE: &str = "FWDRILL-AGENT ";

/// ...and says this and an address for each who asked for a proof meanwhile.
pub const ASKED_LINE: &str = "ASKED ";

/// What came of dialling the client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskPortAnswer {
    /// From where the server dialled.
    pub from: SocketAddr,
    /// Where to: the address from which the request came, as the server sees it.
    pub to: SocketAddr,
    /// How the attempt ended.
    pub outcome: Outcome,
    /// Who sent the ICMP error that ended it; absent where none did, or the server's own kernel made the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offender: Option<IpAddr>,
    /// Whether who answered proved to be the client of this drill; absent where there was no connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<bool>,
    /// How many routers the client's own packets cross on their way to the server, by what is left of their TTL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routers: Option<u8>,
    /// Who says "time exceeded" to SYNs to that port with a TTL of 1, 2 and so on; absent where it connected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hops: Vec<Option<IpAddr>>,
    /// The same for another port of the client, of which no packet gets as far as the client itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hops_elsewhere: Vec<Option<IpAddr>>,
}

/// What only a client proves that knows its drill: 32 hexadecimal digits over the drill id and the server's nonce.
pub fn proof(drill: DrillId, nonce: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(b"FWDRILL-TASK-PORT");
    hash.update(drill.bytes());
    hash.update(nonce.as_bytes());
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_one_drill_and_one_nonce() {
        let (drill, nonce) = (DrillId::random(), DrillId::random().to_string());
        assert_eq!(proof(drill, &nonce), proof(drill, &nonce));
        assert_ne!(proof(drill, &nonce), proof(DrillId::random(), &nonce));
        assert_ne!(proof(drill, &nonce), proof(drill, "0"));
    }

    #[test]
    fn an_answer_survives_json_and_says_nothing_of_what_is_not_known() {
        let answer = TaskPortAnswer {
            from: "10.20.0.10:40000".parse().unwrap(),
            to: "198.51.100.10:2222".parse().unwrap(),
            outcome: Outcome::Timeout,
            offender: None,
            proved: None,
            routers: Some(2),
            hops: vec![Some([10, 20, 0, 1].into()), None],
            hops_elsewhere: Vec::new(),
        };
        let json = serde_json::to_string(&answer).unwrap();
        assert!(!json.contains("proved"), "{json}");
        assert_eq!(serde_json::from_str::<TaskPortAnswer>(&json).unwrap(), answer);
    }
}
