//! What the server has its clients do, port 2222 of both: `fwdrill.task/1`.
//!
//! The server posts a [`Task`] to the client's port. Where that cannot be reached the task waits for the client, which asks
//! on the server's port every so often ([`CheckIn`], answered by [`Orders`]) and brings the [results](TaskResult) of others.
//! A task may come any number of times, on either way: its id makes it one.
//!
//! Client to server the enrolment token is shown, as on 2225. Server to client it is not, because whoever answers behind a NAT
//! may be anybody: what the server says is signed with it.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use uuid::Uuid;

use crate::client_name::ClientName;

/// Where the server posts a task, at the client.
pub const TASKS_PATH: &str = "/tasks";
/// Where a client checks in (POST), at the server.
pub const CHECK_IN_PATH: &str = "/check-in";
/// The header with the signature of a body that the server sends: 64 hexadecimal digits.
pub const SIGNATURE_HEADER: &str = "x-fwdrill-signature";
/// No body of this protocol is longer, bytes.
pub const MOST_TASK_BYTES: usize = 64 * 1024;
/// No check-in brings more results.
pub const MOST_RESULTS: usize = 32;
/// What a result may say, bytes.
pub const MOST_DETAIL_BYTES: usize = 1024;
/// A task that is older is not carried out any more.
pub const LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// What a client is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Measure the path to the server, and send the report.
    Probe,
    /// Go through an update cycle.
    Sync,
    /// Upload system information and the log.
    SendLog,
    /// An order of a later version.
    #[serde(other)]
    Other,
}

impl Order {
    /// All that can be ordered.
    pub const ALL: [Order; 3] = [Order::Probe, Order::Sync, Order::SendLog];

    /// The word for it: `probe`, `sync`, `send-log`.
    pub fn name(self) -> &'static str {
        match self {
            Order::Probe => "probe",
            Order::Sync => "sync",
            Order::SendLog => "send-log",
            Order::Other => "other",
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A word that is no order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no task: expected probe, sync or send-log")]
pub struct NotAnOrder(String);

impl FromStr for Order {
    type Err = NotAnOrder;

    fn from_str(text: &str) -> Result<Self, NotAnOrder> {
        let known = Order::ALL.into_iter().find(|order| order.name() == text);
        known.ok_or_else(|| NotAnOrder(text.chars().take(80).collect()))
    }
}

/// Something that one client is to do, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Task {
    /// Always `fwdrill.task/1`.
    pub schema: String,
    /// A UUID of version 7 (RFC 9562): the same each time the task is sent.
    #[cfg_attr(test, schemars(with = "crate::schema::EventId"))]
    pub id: Uuid,
    /// When it was given, by the server's clock.
    #[cfg_attr(test, schemars(with = "crate::schema::Instant"))]
    pub at: Timestamp,
    /// Whose it is; nobody else carries it out.
    pub client: ClientName,
    /// What is to be done.
    #[serde(rename = "task")]
    pub order: Order,
}

impl Task {
    /// The schema id.
    pub const SCHEMA: &str = "fwdrill.task/1";

    /// A task that is given now.
    pub fn now(client: ClientName, order: Order) -> Self {
        Task {
            schema: Self::SCHEMA.to_owned(),
            id: Uuid::now_v7(),
            at: Timestamp::now(),
            client,
            order,
        }
    }

    /// Whether it is too old to be carried out.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now.duration_since(self.at) > LIFETIME
    }
}

/// The client's answer to a posted task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TaskReceipt {
    /// Always `fwdrill.task-receipt/1`.
    pub schema: String,
    /// Of which task.
    #[cfg_attr(test, schemars(with = "crate::schema::EventId"))]
    pub id: Uuid,
    /// Whether the client had it already.
    pub known: bool,
    /// What came of it, if that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<TaskResult>,
}

impl TaskReceipt {
    /// The schema id.
    pub const SCHEMA: &str = "fwdrill.task-receipt/1";
}

/// What came of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TaskResult {
    /// Of which.
    #[cfg_attr(test, schemars(with = "crate::schema::EventId"))]
    pub id: Uuid,
    /// When it ended, by the client's clock.
    #[cfg_attr(test, schemars(with = "crate::schema::Instant"))]
    pub at: Timestamp,
    /// Whether it was carried out. A probe that finds fault was.
    pub ok: bool,
    /// What came of it, or what was in the way, in one line of at most 1,024 bytes.
    pub detail: String,
    /// How long it took, milliseconds.
    pub elapsed_ms: u64,
}

/// A client makes itself known, brings results and asks what there is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CheckIn {
    /// Always `fwdrill.check-in/1`.
    pub schema: String,
    /// Who it is.
    pub client: ClientName,
    /// The version of its program.
    pub program: String,
    /// The version of the update set that it has.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub version: Option<String>,
    /// The serial of that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub serial: Option<u64>,
    /// Where it listens for tasks, at the address that it checks in from; absent: nowhere.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub task_port: Option<u16>,
    /// What came of tasks since the last check-in that was answered.
    #[serde(default)]
    pub results: Vec<TaskResult>,
}

impl CheckIn {
    /// The schema id.
    pub const SCHEMA: &str = "fwdrill.check-in/1";
}

/// The server's answer to a check-in: the results are kept, and this is to be done. The same tasks come with each check-in
/// until their results are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Orders {
    /// Always `fwdrill.orders/1`.
    pub schema: String,
    /// Oldest first.
    pub tasks: Vec<Task>,
}

impl Orders {
    /// The schema id.
    pub const SCHEMA: &str = "fwdrill.orders/1";
}

/// The signature of a body: HMAC-SHA-256 (RFC 2104) with the enrolment token as key, in hexadecimal.
pub fn sign(token: &str, body: &[u8]) -> String {
    hex::encode(mac(token, body).finalize().into_bytes())
}

/// Whether a body was signed with this token. How long the answer takes tells nothing.
pub fn is_signed(token: &str, body: &[u8], signature: &str) -> bool {
    hex::decode(signature).is_ok_and(|signature| mac(token, body).verify_slice(&signature).is_ok())
}

fn mac(token: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(token.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(body);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_reads_back_and_one_of_a_later_version_is_none_the_less_a_task() {
        let task = Task::now("pc-17".parse().unwrap(), Order::SendLog);
        let text = serde_json::to_string(&task).unwrap();
        assert!(text.contains(r#""task":"send-log""#), "{text}");
        assert_eq!(serde_json::from_str::<Task>(&text).unwrap(), task);
        let later: Task = serde_json::from_str(&text.replace("send-log", "self-heal")).unwrap();
        assert_eq!(later.order, Order::Other);
        assert!(Order::ALL.iter().all(|order| order.name().parse() == Ok(*order)));
        assert!("other".parse::<Order>().is_err());
    }

    #[test]
    fn a_signature_holds_for_one_token_and_one_body() {
        // RFC 4231, test case 2.
        let known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(sign("Jefe", b"what do ya want for nothing?"), known);
        assert!(is_signed("Jefe", b"what do ya want for nothing?", known));
        for (token, body, signature) in [
            ("jefe", "what do ya want for nothing?", known),
            ("Jefe", "what do ya want for nothing!", known),
            ("Jefe", "what do ya want for nothing?", &known[..62]),
            ("Jefe", "what do ya want for nothing?", ""),
            ("Jefe", "what do ya want for nothing?", "no digits"),
        ] {
            assert!(
                !is_signed(token, body.as_bytes(), signature),
                "{token} {body} {signature}"
            );
        }
    }

    #[test]
    fn a_task_of_yesterday_is_carried_out_no_more() {
        let task = Task::now("pc-17".parse().unwrap(), Order::Probe);
        assert!(!task.is_expired(task.at + LIFETIME));
        assert!(task.is_expired(task.at + LIFETIME + SignedDuration::from_secs(1)));
        // A clock that is behind is no reason.
        assert!(!task.is_expired(task.at - LIFETIME));
    }
}
