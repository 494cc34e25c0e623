//! One conversation a firewall must allow (or refuse): a line of a change request.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A flow of the estate. The kebab-case name is what reports carry; the estate file uses the
/// same name with underscores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Flow {
    /// FTP control connection, TCP 2021.
    FtpControl,
    /// FTP passive data connections: the passive range.
    FtpPassive,
    /// "Is there anything new?", HTTP on TCP 3333.
    Version,
    /// Download over HTTP, TCP 2221.
    Http,
    /// The agent that receives tasks, TCP 2222.
    Agent,
    /// Client events, TCP 2225.
    Events,
    /// The server's system mode, TCP 2226: only for the server's own host.
    System,
    /// Self-events, TCP 2227: only for the host itself.
    SelfEvents,
    /// Web console, TCP 10443.
    Console,
    /// Tasks from the server to the client, TCP 2222 of the client. The only flow that the server begins; not among
    /// [`Flow::ALL`], since no port of the server is concerned.
    Tasks,
}

impl Flow {
    /// All flows to the server, in the order of reports.
    pub const ALL: [Flow; 9] = [
        Flow::FtpControl,
        Flow::FtpPassive,
        Flow::Version,
        Flow::Http,
        Flow::Agent,
        Flow::Events,
        Flow::System,
        Flow::SelfEvents,
        Flow::Console,
    ];

    /// All that an estate can expect something of: those, and the tasks.
    pub fn expectable() -> impl Iterator<Item = Flow> {
        Flow::ALL.into_iter().chain([Flow::Tasks])
    }

    /// The name in reports, `ftp-control`.
    pub fn name(self) -> &'static str {
        match self {
            Flow::FtpControl => "ftp-control",
            Flow::FtpPassive => "ftp-passive",
            Flow::Version => "version",
            Flow::Http => "http",
            Flow::Agent => "agent",
            Flow::Events => "events",
            Flow::System => "system",
            Flow::SelfEvents => "self-events",
            Flow::Console => "console",
            Flow::Tasks => "tasks",
        }
    }

    /// The name as a key of the estate file, `ftp_control`.
    pub fn key(self) -> &'static str {
        match self {
            Flow::FtpControl => "ftp_control",
            Flow::FtpPassive => "ftp_passive",
            Flow::SelfEvents => "self_events",
            other => other.name(),
        }
    }

    /// What a person calls it.
    pub fn title(self) -> &'static str {
        match self {
            Flow::FtpControl => "FTP control connection",
            Flow::FtpPassive => "FTP passive data",
            Flow::Version => "version service",
            Flow::Http => "HTTP download",
            Flow::Agent => "task agent",
            Flow::Events => "client events",
            Flow::System => "system mode",
            Flow::SelfEvents => "self-events",
            Flow::Console => "web console",
            Flow::Tasks => "tasks to the client",
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What an estate expects of a flow, seen from one vantage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// It must work.
    Open,
    /// It must not be reachable: closed or filtered.
    Closed,
    /// Nobody minds.
    Any,
}

impl Expected {
    /// `open`, `closed` or `any`.
    pub fn name(self) -> &'static str {
        match self {
            Expected::Open => "open",
            Expected::Closed => "closed",
            Expected::Any => "any",
        }
    }
}

impl FromStr for Expected {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Expected::Open, Expected::Closed, Expected::Any]
            .into_iter()
            .find(|expected| expected.name() == text)
            .ok_or(())
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
