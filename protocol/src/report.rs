//! The report of one drill, schema `fwdrill.report/1` (CONTRACT section 4).

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::drill::DrillId;
use crate::estate::port_set::PortSet;
use crate::finding::{Finding, Severity};
use crate::flow::{Expected, Flow};

/// One joined measurement and what it means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// Always `fwdrill.report/1`.
    pub schema: String,
    /// Ties the records of both ends together.
    pub drill: DrillId,
    /// What was probed, as the user named it.
    pub target: String,
    /// Where the client stood.
    pub vantage: String,
    /// Whether the server's sightings were joined.
    pub both_ends: bool,
    /// When the drill began, RFC 3339.
    #[cfg_attr(test, schemars(with = "crate::schema::Instant"))]
    pub started: Timestamp,
    /// How long it took, milliseconds.
    pub elapsed_ms: u64,
    /// The sum of everything below.
    pub verdict: Verdict,
    /// One line per flow, in the order of [`Flow::ALL`].
    pub flows: Vec<FlowResult>,
    /// What became of the passive range; absent where the estate has no FTP or no range.
    pub passive_range: Option<PassiveRange>,
    /// Worst first: the first one is the root cause.
    pub findings: Vec<Finding>,
    /// Which client programs would work on this path.
    pub clients: Vec<ClientResult>,
    /// What lies between client and server, as far as it showed itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub path: Option<Road>,
    /// What a client did in its life, step by step; only `drill` lives one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub life: Option<Vec<LifeStep>>,
}

impl Report {
    /// The schema id.
    pub const SCHEMA: &str = "fwdrill.report/1";

    /// A finding of severity error or a failed flow fails; else whatever could not be carried out
    /// makes it inconclusive.
    pub fn verdict_of(flows: &[FlowResult], findings: &[Finding]) -> Verdict {
        let errors = findings.iter().any(|finding| finding.severity == Severity::Error);
        flows
            .iter()
            .map(|flow| flow.verdict)
            .fold(if errors { Verdict::Fail } else { Verdict::Pass }, Verdict::worse)
    }
}

/// Whether what was expected holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It does not.
    Fail,
    /// A check could not be carried out: neither blocked nor open.
    Inconclusive,
}

impl Verdict {
    /// The worse of two: fail, then inconclusive, then pass.
    pub fn worse(self, other: Verdict) -> Verdict {
        match (self, other) {
            (Verdict::Fail, _) | (_, Verdict::Fail) => Verdict::Fail,
            (Verdict::Inconclusive, _) | (_, Verdict::Inconclusive) => Verdict::Inconclusive,
            (Verdict::Pass, Verdict::Pass) => Verdict::Pass,
        }
    }

    /// `pass`, `fail` or `inconclusive`.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "fail",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

/// What was expected of a flow, what was seen, and whether they agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FlowResult {
    /// Which flow.
    pub flow: Flow,
    /// Where it went; absent when the name did not resolve or the port is not known.
    pub to: Option<SocketAddr>,
    /// What the estate expects.
    pub expected: Expected,
    /// What the port is, in nmap's words.
    pub state: State,
    /// How the decisive attempt ended.
    pub outcome: Outcome,
    /// Whether the server saw it arrive.
    pub seen_by_server: Seen,
    /// How long the TCP handshake took, milliseconds.
    pub rtt_ms: Option<f64>,
    /// Whether expected and seen agree.
    pub verdict: Verdict,
    /// What was done and seen beyond the handshake, one line for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
}

/// What lies between client and server, as far as it showed itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Road {
    /// The client's own address.
    pub client: Option<IpAddr>,
    /// Where the server sees the client come from.
    pub client_seen_as: Option<IpAddr>,
    /// The routers on the way to a port that works (or as far as anything got), from the client on; null: one that does
    /// not show itself.
    pub hops: Vec<Option<IpAddr>>,
    /// Whether the hops lead up to the server.
    pub complete: bool,
    /// The server's own address, as it sees it.
    pub server: Option<IpAddr>,
}

/// One step of a client's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LifeStep {
    /// What was done: `first update over FTP`.
    pub step: String,
    /// Whether it ended as it should.
    pub ok: bool,
    /// What came of it, or why it failed.
    pub detail: String,
    /// How long it took, milliseconds.
    pub elapsed_ms: u64,
}

/// A port's state in nmap's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A connection is accepted.
    Open,
    /// It is refused by a RST.
    Closed,
    /// Nothing comes back, or an ICMP error does.
    Filtered,
    /// The check could not be carried out.
    Unknown,
}

impl State {
    /// `open`, `closed`, `filtered` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Closed => "closed",
            State::Filtered => "filtered",
            State::Unknown => "unknown",
        }
    }

    /// Whether a port in this state is what was expected; a state that is not known never fails.
    pub fn against(self, expected: Expected) -> Verdict {
        match (expected, self) {
            (Expected::Any, _) => Verdict::Pass,
            (_, State::Unknown) => Verdict::Inconclusive,
            (Expected::Open, State::Open) => Verdict::Pass,
            (Expected::Closed, State::Closed | State::Filtered) => Verdict::Pass,
            (Expected::Open | Expected::Closed, _) => Verdict::Fail,
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It worked.
    Open,
    /// A RST answered the SYN.
    Refused,
    /// Nothing answered within the time.
    Timeout,
    /// An ICMP error answered, or there is no route.
    Unreachable,
    /// The connection was reset after it stood.
    Reset,
    /// The connection stood, but no byte came.
    Silent,
    /// The check itself failed: neither open nor blocked.
    CheckFailed,
}

impl Outcome {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Open => "open",
            Outcome::Refused => "refused",
            Outcome::Timeout => "timeout",
            Outcome::Unreachable => "unreachable",
            Outcome::Reset => "reset",
            Outcome::Silent => "silent",
            Outcome::CheckFailed => "check-failed",
        }
    }

    /// The state of a port whose connection attempt ended so.
    pub fn state(self) -> State {
        match self {
            // The handshake was completed, whatever came after it.
            Outcome::Open | Outcome::Reset | Outcome::Silent => State::Open,
            Outcome::Refused => State::Closed,
            Outcome::Timeout | Outcome::Unreachable => State::Filtered,
            Outcome::CheckFailed => State::Unknown,
        }
    }
}

/// Whether the server saw a flow arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Seen {
    /// A sighting of this drill says so.
    Yes,
    /// The sightings are there, and this is not among them.
    No,
    /// There are no sightings: never to be read as no.
    Unknown,
}

impl Seen {
    /// `yes`, `no` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Seen::Yes => "yes",
            Seen::No => "no",
            Seen::Unknown => "unknown",
        }
    }
}

/// What became of the passive range. The three parts add up to `planned`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PassiveRange {
    /// What the server may hand out.
    pub planned: PortSet,
    /// Ports that let a connection through.
    pub open: PortSet,
    /// Ports that do not.
    pub blocked: PortSet,
    /// Ports nobody tried, or whose check failed.
    pub untested: PortSet,
}

/// Whether a family of client programs would work on this path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClientResult {
    /// The family: `curl >= 7.74`.
    pub client: String,
    /// Whether it would work.
    pub works: bool,
    /// Why.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_never_a_failure() {
        assert_eq!(State::Unknown.against(Expected::Open), Verdict::Inconclusive);
        assert_eq!(State::Unknown.against(Expected::Closed), Verdict::Inconclusive);
        assert_eq!(State::Unknown.against(Expected::Any), Verdict::Pass);
    }

    #[test]
    fn an_open_port_that_must_be_closed_fails() {
        assert_eq!(State::Open.against(Expected::Closed), Verdict::Fail);
        assert_eq!(State::Filtered.against(Expected::Closed), Verdict::Pass);
        assert_eq!(State::Closed.against(Expected::Open), Verdict::Fail);
    }
}
