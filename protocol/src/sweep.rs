//! The sweep: on request the server listens on its whole passive range for a short while, and
//! every port answers with its own number, the peer it sees, and a proof that it is this server
//! answering this drill. So a shifted forward, a wrong host or a proxy shows.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::drill::DrillId;
use crate::estate::port_set::PortSet;

/// The path that starts a sweep (GET, with the drill header) on the version and HTTP services.
/// Asking again prolongs it.
pub const SWEEP_PATH: &str = "/sweep";

/// What the server answers to a request for a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepOffer {
    /// The ports that listen now.
    pub listening: PortSet,
    /// Ports of the range that cannot: a session has them, or another program.
    pub busy: PortSet,
    /// For how long they listen, seconds.
    pub seconds: u64,
}

/// What one port of a sweep says after the client's first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepAnswer {
    /// The port as the server knows it.
    pub port: u16,
    /// The client as the server sees it.
    pub peer: SocketAddr,
    /// See [`SweepAnswer::is_proof`].
    proof: String,
}

const LABEL: &str = "FWDRILL-SWEEP";

impl SweepAnswer {
    /// The answer of `port` to `peer` within `drill`.
    pub fn new(drill: DrillId, port: u16, peer: SocketAddr) -> Self {
        SweepAnswer {
            port,
            peer,
            proof: proof(drill, port),
        }
    }

    /// The line on the wire, CRLF included.
    pub fn line(&self) -> String {
        format!("{LABEL} {} {} {}\r\n", self.port, self.peer, self.proof)
    }

    /// Reads a line; `None` for anything that is not one.
    pub fn parse(line: &str) -> Option<Self> {
        let mut fields = line.trim_end().split(' ');
        let mut next = || fields.next();
        if next()? != LABEL {
            return None;
        }
        let (port, peer, proof) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?.to_owned());
        next().is_none().then_some(SweepAnswer { port, peer, proof })
    }

    /// Whether only someone who knows `drill` can have made this answer for its port.
    pub fn is_proof(&self, drill: DrillId) -> bool {
        self.proof == proof(drill, self.port)
    }
}

fn proof(drill: DrillId, port: u16) -> String {
    let mut hash = Sha256::new();
    hash.update(drill.bytes());
    hash.update(port.to_be_bytes());
    hex::encode(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_the_wire_and_proves_its_drill_and_port() {
        let drill = DrillId::random();
        let answer = SweepAnswer::new(drill, 3023, "198.51.100.10:40000".parse().unwrap());
        let read = SweepAnswer::parse(&answer.line()).unwrap();
        assert_eq!(read, answer);
        assert!(read.is_proof(drill));
        assert!(!read.is_proof(DrillId::random()));
        let forged = SweepAnswer { port: 3024, ..read };
        assert!(!forged.is_proof(drill));
    }

    #[test]
    fn other_lines_are_not_answers() {
        for line in [
            "",
            "220 hello",
            "FWDRILL-SWEEP 3023",
            "FWDRILL-SWEEP x 1.2.3.4:5 ab",
            "FWDRILL-SWEEP 1 1.2.3.4:5 ab c",
        ] {
            assert_eq!(SweepAnswer::parse(line), None, "{line}");
        }
    }
}
