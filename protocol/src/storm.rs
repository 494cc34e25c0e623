//! What an update storm came to: `fwdrill.storm/1`, and a line for every life in it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::client_name::ClientName;
use crate::estate::Mode;
use crate::estate::port_set::PortSet;
use crate::finding::Finding;
use crate::report::Verdict;

/// Where the events port shows the storms that it was told of, newest first: a JSON array of [`StormReport`], for who has the
/// enrolment token.
pub const STORMS_PATH: &str = "/storms";

/// Many clients that update at once, and the first limit that broke.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StormReport {
    /// Always `fwdrill.storm/1`.
    pub schema: String,
    /// The server, as the user named it.
    pub target: String,
    /// What the agents' names begin with.
    pub client: ClientName,
    /// When it began, RFC 3339.
    #[cfg_attr(test, schemars(with = "crate::schema::Instant"))]
    pub started: Timestamp,
    /// How long it took, milliseconds, the life of one agent alone before it not counted.
    pub elapsed_ms: u64,
    /// `pass`: every agent lived; `fail`: one did not; `inconclusive`: this machine has no more room, or the storm was stopped.
    pub verdict: Verdict,
    /// What was downloaded over.
    pub mode: Mode,
    /// What was asked for.
    pub plan: StormPlan,
    /// Whether somebody ended it before it was over: no update was begun after that.
    pub stopped: bool,
    /// The passive range as the server tells it, else as the estate does.
    pub passive_ports: PortSet,
    /// Whether the server told what it saw.
    pub both_ends: bool,
    /// Updates, each from the first question to the acknowledged event.
    pub lives: Lives,
    /// How much there was at the same time.
    pub most: Most,
    /// Bytes of files that came.
    pub received: u64,
    /// The steps of a life, in their order.
    pub steps: Vec<StepResult>,
    /// What became of the events.
    pub events: EventTally,
    /// The first thing that went wrong; absent if nothing did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first_failure: Option<FirstFailure>,
    /// The sum that shows the limit; absent where none broke.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sum: Option<Sum>,
    /// What the machine has that makes the storm.
    pub machine: Machine,
    /// The limit that broke first comes first. What this machine lacks is never one.
    pub findings: Vec<Finding>,
}

impl StormReport {
    /// The schema id.
    pub const SCHEMA: &str = "fwdrill.storm/1";
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StormPlan {
    /// How many agents.
    pub clients: u32,
    /// No more of them at work at the same time; absent: all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub at_once: Option<u32>,
    /// Over how long their starts are spread, seconds.
    pub ramp_s: f64,
    /// How many updates each agent makes; absent: as many as fit into `duration_s`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rounds: Option<u32>,
    /// How long agents begin new updates, seconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_s: Option<f64>,
    /// How long an agent waits between the passive port it is told and its connection there, seconds.
    pub think_s: f64,
}

/// Updates from the first question to the acknowledged event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Lives {
    /// How many were begun; all of them have ended.
    pub begun: u64,
    /// How many went well from end to end.
    pub lived: u64,
    /// How many did not.
    pub failed: u64,
}

/// How much there was at the same time, as the agents count it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Most {
    /// Agents in the middle of an update.
    pub agents: u64,
    /// FTP control connections that stood.
    pub control_connections: u64,
    /// Agents between PASV (or EPSV) and their data connection.
    pub passive_ports: u64,
}

/// A step of an agent's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// "Is there anything new?", with its connection.
    Version,
    /// The FTP control connection, and the greeting.
    Control,
    /// USER and PASS.
    Login,
    /// PASV or EPSV, until its reply.
    Passive,
    /// The FTP data connection.
    Data,
    /// A file, until it is whole and verified; over HTTP with its connection.
    Download,
    /// System information, stored in the drop box.
    Upload,
    /// An event, from the first attempt until it is acknowledged.
    Event,
}

impl Step {
    /// Every step, in the order of a life.
    pub const ALL: [Step; 8] = [
        Step::Version,
        Step::Control,
        Step::Login,
        Step::Passive,
        Step::Data,
        Step::Download,
        Step::Upload,
        Step::Event,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Step::Version => "version",
            Step::Control => "control",
            Step::Login => "login",
            Step::Passive => "passive",
            Step::Data => "data",
            Step::Download => "download",
            Step::Upload => "upload",
            Step::Event => "event",
        }
    }
}

/// Why a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The server says that it has no passive port: 421 or 4yz in reply to PASV or EPSV.
    NoPassivePort,
    /// The server says that it takes no more sessions: 421 instead of a greeting or a login.
    TurnedAway,
    /// The server says no for another reason: any other reply or status.
    RefusedByServer,
    /// A RST answered the SYN.
    Refused,
    /// Nothing answered the SYN.
    Timeout,
    /// An ICMP error answered the SYN.
    Unreachable,
    /// A connection that stood was reset or closed too early.
    Reset,
    /// A connection stood, but nothing came, or nothing moved any more.
    Silent,
    /// What came is not what the manifest says, or not signed.
    WrongContent,
    /// What came is not the protocol.
    NotUnderstood,
    /// This machine has no file descriptor left for the agent.
    OwnFiles,
    /// This machine has no local port left for that destination.
    OwnPorts,
    /// This machine has no memory left for sockets.
    OwnMemory,
    /// Something else of this machine.
    OwnOther,
}

impl Cause {
    /// Whether it is the trouble of the machine that makes the storm, which says nothing of the path or the server.
    pub fn is_own(self) -> bool {
        matches!(
            self,
            Cause::OwnFiles | Cause::OwnPorts | Cause::OwnMemory | Cause::OwnOther
        )
    }

    /// Whether there was no connection.
    pub fn never_stood(self) -> bool {
        matches!(self, Cause::Refused | Cause::Timeout | Cause::Unreachable)
    }

    /// What a person calls it.
    pub fn title(self) -> &'static str {
        match self {
            Cause::NoPassivePort => "no passive port",
            Cause::TurnedAway => "turned away by the server",
            Cause::RefusedByServer => "the server says no",
            Cause::Refused => "connection refused",
            Cause::Timeout => "no answer to the SYN",
            Cause::Unreachable => "unreachable",
            Cause::Reset => "reset or closed",
            Cause::Silent => "silence",
            Cause::WrongContent => "wrong content",
            Cause::NotUnderstood => "not the protocol",
            Cause::OwnFiles => "no file descriptor left on this machine",
            Cause::OwnPorts => "no local port left on this machine",
            Cause::OwnMemory => "no memory left on this machine",
            Cause::OwnOther => "trouble of this machine",
        }
    }
}

/// What became of one step, over all lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StepResult {
    /// Which.
    pub step: Step,
    /// How often it was done.
    pub done: u64,
    /// How often it failed, by cause.
    pub failed: BTreeMap<Cause, u64>,
    /// How long it took where it was done; absent where it never was.
    pub latency_ms: Option<Latency>,
    /// How long it took one agent alone, before the storm (the mean, milliseconds).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub alone_ms: Option<f64>,
}

/// Milliseconds, to two significant digits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Latency {
    /// The mean.
    pub mean: f64,
    /// Half of them took no longer.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// What became of the events that the agents made: one for each life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EventTally {
    /// How many were made.
    pub made: u64,
    /// How many the server has acknowledged: it has them on its disk.
    pub acknowledged: u64,
    /// How many the server will never take.
    pub refused: u64,
    /// How many were given up after the agents' patience.
    pub given_up: u64,
    /// How many times one was sent again.
    pub repeated: u64,
}

/// The first thing that went wrong, by the moment at which the step began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FirstFailure {
    /// When the step began, seconds after the storm did; 0 and `alone` for the agent before it.
    pub after_s: f64,
    /// Whether it was the one agent alone: then it is no matter of numbers.
    pub alone: bool,
    /// How many agents were at work when it failed.
    pub agents: u64,
    /// Which step.
    pub step: Step,
    /// Why.
    pub cause: Cause,
    /// The same in words, as the client says it.
    pub words: String,
}

/// A sum that shows a limit: what was needed at the same time, against what there is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Sum {
    /// The sum as a person writes it.
    pub text: String,
    /// How often one was asked for, in the busiest tenth of a second, scaled to a second; absent where it is no matter of time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub per_second: Option<f64>,
    /// How long one is held, seconds (the mean).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub held_s: Option<f64>,
    /// `per_second` times `held_s` (Little's law).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub needed: Option<f64>,
    /// How many were counted at the same time, at most.
    pub counted: u64,
    /// How many there are; absent where nobody says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub available: Option<u64>,
}

/// What the machine has that makes the storm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Machine {
    /// How many files the process may have open; absent: as many as it likes.
    pub open_files: Option<u64>,
    /// How many local ports it has to one destination; absent where the system does not tell.
    pub local_ports: Option<u64>,
    /// What is less than the storm needs, in words; empty: it fits.
    pub short_of: Vec<String>,
}

/// One life, as a line of `storm --lives`: `fwdrill.life/1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LifeLine {
    /// Always `fwdrill.life/1`.
    pub schema: String,
    /// Whose life.
    pub client: ClientName,
    /// When it began, seconds after the storm did.
    pub after_s: f64,
    /// How long it took, milliseconds.
    pub elapsed_ms: f64,
    /// Bytes of files that came.
    pub received: u64,
    /// Where it failed...
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub failed: Option<Step>,
    /// ...and why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Cause>,
    /// The same in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub words: Option<String>,
    /// The id of its event.
    #[cfg_attr(test, schemars(with = "crate::schema::EventId"))]
    pub event: Uuid,
    /// Whether the server has acknowledged it.
    pub acknowledged: bool,
}

impl LifeLine {
    /// The schema id.
    pub const SCHEMA: &str = "fwdrill.life/1";
}
