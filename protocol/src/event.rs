//! What clients tell the server of themselves, port 2225: `fwdrill.event/1`.
//!
//! A client keeps every event until the server has said that it is stored, and sends it again otherwise: at least once. The
//! id makes it once at the server.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::client_name::ClientName;
use crate::estate::Mode;
use crate::report::Report;
use crate::storm::StormReport;

/// Where events are posted: a JSON array of them, or one.
pub const EVENTS_PATH: &str = "/events";
/// No request carries more events...
pub const MOST_EVENTS: usize = 256;
/// ...or is longer, bytes.
pub const MOST_REQUEST_BYTES: usize = 4 << 20;
/// No event is longer as JSON, bytes: a report of the guide's whole range is a tenth of it.
pub const MOST_EVENT_BYTES: usize = 1 << 20;

/// Something that happened to a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ClientEvent {
    /// Always `fwdrill.event/1`.
    pub schema: String,
    /// A UUID of version 7 (RFC 9562): the same each time the event is sent.
    #[cfg_attr(test, schemars(with = "crate::schema::EventId"))]
    pub id: Uuid,
    /// When it happened, by the client's clock.
    #[cfg_attr(test, schemars(with = "crate::schema::Instant"))]
    pub at: Timestamp,
    /// Whose event it is.
    pub client: ClientName,
    /// What happened.
    #[serde(flatten)]
    pub what: What,
}

/// What happened to a client. New kinds may appear; a server keeps what it does not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum What {
    /// A program began its work.
    Started {
        /// Its version.
        program: String,
        /// As what: `sync`, `agent`, `storm`.
        role: String,
    },
    /// The server offers a set that the client does not have.
    VersionSeen {
        /// Its version.
        version: String,
        /// Its serial.
        serial: u64,
    },
    /// The client has the newest set.
    SyncDone {
        /// Its version.
        version: String,
        /// Its serial.
        serial: u64,
        /// The serial of the set before; absent: there was none.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        before: Option<u64>,
        /// What it was downloaded over.
        mode: Mode,
        /// How many bytes were downloaded.
        received: u64,
        /// How long it took, milliseconds.
        elapsed_ms: u64,
    },
    /// The client does not have the newest set.
    SyncFailed {
        /// Whose trouble it is: `network`, `content`, `disk`, `upload`, `configuration`.
        concern: String,
        /// What happened.
        error: String,
        /// How long it took, milliseconds.
        elapsed_ms: u64,
    },
    /// The path to the server was measured.
    ProbeReport {
        /// What came of it.
        report: Box<Report>,
    },
    /// Many agents updated at once from one machine.
    StormReport {
        /// What it came to.
        report: Box<StormReport>,
    },
    /// The client had no room for events and dropped the oldest.
    Dropped {
        /// How many.
        events: u64,
    },
    /// A kind of a later version.
    #[serde(other)]
    Other,
}

impl ClientEvent {
    /// The schema id.
    pub const SCHEMA: &str = "fwdrill.event/1";

    /// An event that happens now.
    pub fn now(client: ClientName, what: What) -> Self {
        ClientEvent {
            schema: Self::SCHEMA.to_owned(),
            id: Uuid::now_v7(),
            at: Timestamp::now(),
            client,
            what,
        }
    }
}

/// The server's answer to a request with events: from here on it answers for what it does not refuse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Receipt {
    /// Always `fwdrill.receipt/1`.
    pub schema: String,
    /// How many events are stored now.
    pub stored: u64,
    /// How many were stored already.
    pub known: u64,
    /// Events that will never be stored: sending them again is of no use.
    pub refused: Vec<Refused>,
}

impl Receipt {
    /// The schema id.
    pub const SCHEMA: &str = "fwdrill.receipt/1";
}

/// An event that the server will never store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Refused {
    /// Which, counted from 0 in the order of the request.
    pub index: usize,
    /// Why.
    pub why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_and_one_of_a_later_version_is_none_the_less_an_event() {
        let client: ClientName = "pc-17".parse().unwrap();
        let event = ClientEvent::now(
            client,
            What::SyncDone {
                version: "1.0".to_owned(),
                serial: 7,
                before: None,
                mode: Mode::Http,
                received: 12,
                elapsed_ms: 3,
            },
        );
        let text = serde_json::to_string(&event).unwrap();
        assert!(text.contains(r#""event":"sync-done""#), "{text}");
        assert_eq!(serde_json::from_str::<ClientEvent>(&text).unwrap(), event);
        let later = text.replace("sync-done", "self-healed");
        assert_eq!(serde_json::from_str::<ClientEvent>(&later).unwrap().what, What::Other);
        let nobody = text.replace("pc-17", "../x");
        assert!(serde_json::from_str::<ClientEvent>(&nobody).is_err());
    }

    #[test]
    fn ids_are_in_the_order_in_which_they_were_made() {
        let ids: Vec<Uuid> = (0..1000).map(|_| Uuid::now_v7()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
