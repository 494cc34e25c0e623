//! What the client saw: facts, no opinions.
//!
//! All of it serialises, so a client that cannot talk to the server can leave its half in a file.

pub mod active;
pub mod content;
pub mod endurance;
pub mod path;
pub mod privacy;
mod road;
pub mod task_port;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::evidence::Evidence;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::ftp_reply::Reply;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::update_set::{Sha256, VersionAnswer};

/// Everything one drill saw from the client's end, and the server's evidence where it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observations {
    /// Ties both ends together.
    pub drill: DrillId,
    /// The host as the user named it.
    pub target: String,
    /// Where the client stands.
    pub vantage: String,
    /// When the first probe began.
    pub started: Timestamp,
    /// How long all of it took, milliseconds.
    pub elapsed_ms: u64,
    /// What the target's name led to.
    pub resolution: Resolution,
    /// The first connection attempt of each flow that has one port.
    pub attempts: BTreeMap<Flow, Attempt>,
    /// The FTP dialogue, where its connection stood.
    pub ftp: Option<FtpTalk>,
    /// The version service's answers, where its connection stood.
    pub version: Option<HttpTalk>,
    /// The HTTP download service's answers, where its connection stood.
    pub http: Option<HttpTalk>,
    /// What ports without a protocol of their own said to the drill's first line.
    pub greetings: BTreeMap<Flow, Greeting>,
    /// The passive range, port by port.
    pub passive: PassiveObservation,
    /// What lies between, as far as anybody had to ask.
    #[serde(default)]
    pub path: path::PathFacts,
    /// What was delivered, beyond the first transfers.
    #[serde(default)]
    pub content: content::ContentFacts,
    /// What was asked of the FTP service besides.
    #[serde(default)]
    pub beside: privacy::Beside,
    /// What shows only in numbers or over time.
    #[serde(default)]
    pub endurance: endurance::Endurance,
    /// The server's connection to this client's task port, where the estate expects anything of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_port: Option<task_port::TaskPort>,
    /// The server's half.
    pub evidence: EvidenceFetch,
}

impl Observations {
    /// Whether the service of a flow with a port of its own said anything: somebody is there, whoever it is.
    pub fn spoke(&self, flow: Flow) -> bool {
        let stood = self.attempts.get(&flow).is_some_and(Attempt::stood);
        let answered = |talk: &Option<HttpTalk>| {
            talk.as_ref().is_some_and(|talk| {
                !talk.answers.is_empty() || talk.trouble.as_ref().is_some_and(|trouble| trouble.wrong_protocol)
            })
        };
        stood
            && match flow {
                Flow::FtpControl => self.ftp.as_ref().is_some_and(|talk| {
                    talk.greeting.is_some() || talk.trouble.as_ref().is_some_and(|trouble| trouble.wrong_protocol)
                }),
                Flow::Version => answered(&self.version),
                Flow::Http => answered(&self.http),
                _ => self
                    .greetings
                    .get(&flow)
                    .is_some_and(|greeting| greeting.line.is_some()),
            }
    }
}

/// What the target's name led to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// The one that is probed, then the others in the resolver's order.
    pub addresses: Vec<IpAddr>,
    /// Why there are none.
    pub error: Option<String>,
}

/// How one attempt to connect ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Where to.
    pub to: SocketAddr,
    /// How it ended.
    pub outcome: Outcome,
    /// The handshake's duration, or the time until the refusal, milliseconds.
    pub rtt_ms: Option<f64>,
    /// The ICMP error that ended it, from the socket's error queue (ip(7), IP_RECVERR).
    pub icmp: Option<Icmp>,
    /// The operating system's words.
    pub error: Option<String>,
}

impl Attempt {
    /// Whether the handshake was completed.
    pub fn stood(&self) -> bool {
        self.outcome == Outcome::Open
    }
}

/// An ICMP (or ICMPv6) error that answered a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Icmp {
    /// The ICMP type, 3 for destination unreachable (RFC 792); ICMPv6: 1 (RFC 4443).
    pub kind: u8,
    /// The code: 3/1 host unreachable, 3/3 port unreachable, 3/13 administratively prohibited.
    pub code: u8,
    /// Who sent it; absent where the kernel of this host made the error itself.
    pub offender: Option<IpAddr>,
}

/// Why a dialogue ended before its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// What was being done: `waiting for the greeting`, `RETR /manifest.json`.
    pub during: String,
    /// What kind of end it was; [`Outcome::CheckFailed`] where the peer is not to blame.
    pub outcome: Outcome,
    /// In words.
    pub text: String,
    /// Whether the peer answered, but not in the protocol expected.
    pub wrong_protocol: bool,
}

/// An FTP dialogue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FtpTalk {
    /// The greeting.
    pub greeting: Option<Reply>,
    /// As whom the server let the client in.
    pub logged_in_as: Option<String>,
    /// How it came under TLS; absent for a dialogue in clear.
    #[serde(default)]
    pub tls: Option<privacy::TlsTalk>,
    /// EPSV and PASV, each in the same session.
    pub passive: Vec<PassiveTalk>,
    /// The update set that it offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<content::SetSeen>,
    /// Active mode, after these.
    #[serde(default)]
    pub active: Option<active::ActiveTalk>,
    /// Why it ended early.
    pub trouble: Option<Trouble>,
    /// Every command and its reply; passwords replaced.
    pub transcript: Vec<(String, Reply)>,
}

/// One passive mode tried out: command, reply, data connection, transfer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassiveTalk {
    /// `EPSV` or `PASV`.
    pub command: PassiveCommand,
    /// The reply as it arrived.
    pub reply: Option<Reply>,
    /// A reply of another kind that came in front of it.
    #[serde(default)]
    pub in_front: Option<Reply>,
    /// The address the reply named (for EPSV: the control connection's, with the port named).
    pub told: Option<SocketAddr>,
    /// The connection to that address.
    pub data: Option<Attempt>,
    /// Where `told` is another host than the control connection's: the same port there.
    pub at_control_address: Option<Attempt>,
    /// The largest segment of that connection, where it was not left to the system: the transfer before was slow to begin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<u16>,
    /// The transfer over it.
    pub transfer: Option<Transfer>,
    /// Why it ended early.
    pub trouble: Option<Trouble>,
}

impl PassiveTalk {
    /// Whether a whole transfer went over it.
    pub fn worked(&self) -> bool {
        self.transfer.as_ref().is_some_and(|transfer| transfer.complete)
    }
}

/// The two ways to ask for a passive port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum PassiveCommand {
    /// RFC 2428.
    Epsv,
    /// RFC 959.
    Pasv,
}

impl PassiveCommand {
    /// The command.
    pub fn name(self) -> &'static str {
        match self {
            PassiveCommand::Epsv => "EPSV",
            PassiveCommand::Pasv => "PASV",
        }
    }
}

/// What came of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The path asked for.
    pub path: String,
    /// How many bytes arrived.
    pub bytes: u64,
    /// Their digest.
    pub sha256: Sha256,
    /// What the manifest (or another flow) says they should be.
    pub expected: Option<ExpectedContent>,
    /// Whether the transfer ended as it should, whatever its content.
    pub complete: bool,
    /// Whether no byte moved for longer than a single answer may take, and then it went on.
    #[serde(default)]
    pub paused: bool,
}

impl Transfer {
    /// Whether all bytes came and are others than they should be.
    pub fn altered(&self) -> bool {
        self.complete
            && self
                .expected
                .as_ref()
                .is_some_and(|expected| expected.sha256 != self.sha256)
    }
}

/// What a file should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectedContent {
    /// Its length in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// Who says so: `the manifest`.
    pub according_to: String,
}

/// A dialogue over HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpTalk {
    /// The request and the status it got, one by one.
    pub answers: Vec<(String, u16)>,
    /// The version service's answer, where it was one.
    pub version: Option<VersionAnswer>,
    /// The SHA-256 of the server's certificate, where it spoke TLS, whether it was taken or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Sha256>,
    /// Headers of the first answer by which caches and proxies show.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub marks: content::Marks,
    /// What came in the place of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<content::Page>,
    /// The update set that it offers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<content::SetSeen>,
    /// What was downloaded.
    pub transfers: Vec<Transfer>,
    /// The request that stalled, with segments of several sizes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<content::Segmented>,
    /// Why it ended early.
    pub trouble: Option<Trouble>,
}

/// What a port without a protocol of its own said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The line it answered; absent if it said nothing within the time.
    pub line: Option<String>,
    /// Whether it is the emulated estate's answer to this drill.
    pub ours: bool,
}

/// The passive range, port by port.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PassiveObservation {
    /// Which ports the server may hand out, as far as the client knows.
    pub planned: PortSet,
    /// Whether the server listened on all of them during the attempts.
    pub swept: bool,
    /// Why it did not.
    pub no_sweep: Option<String>,
    /// Ports that the server could not sweep because something else has them.
    pub busy: PortSet,
    /// One attempt per port tried.
    pub ports: Vec<PassivePort>,
    /// Some of the ports that let nothing through among others that did, dialled again one by one, more than a second apart.
    #[serde(default)]
    pub again: Vec<PassivePort>,
}

/// One port of the passive range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PassivePort {
    /// The port dialled.
    pub port: u16,
    /// The attempt to connect.
    pub attempt: Attempt,
    /// Which port of the server answered, if it proved to be this server's.
    pub answered_as: Option<u16>,
    /// What else was said there, a line of it.
    #[serde(default)]
    pub said: Option<String>,
}

/// How the server's evidence was got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceFetch {
    /// Nobody asked for it (`--no-evidence`).
    NotAsked,
    /// It could not be had, and why.
    Unavailable(String),
    /// Here it is.
    Joined(Evidence),
}

impl EvidenceFetch {
    /// The evidence, if there is any.
    pub fn joined(&self) -> Option<&Evidence> {
        match self {
            EvidenceFetch::Joined(evidence) => Some(evidence),
            EvidenceFetch::NotAsked | EvidenceFetch::Unavailable(_) => None,
        }
    }
}
