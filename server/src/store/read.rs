//! Typed queries, for the console and whoever else wants to know.

use std::net::SocketAddr;
use std::sync::PoisonError;

use fwdrill_protocol::event::{ClientEvent, What};
use fwdrill_protocol::report::Report;
use fwdrill_protocol::storm::StormReport;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{Store, StoreError, StoredEvent};

/// A client, as far as its events tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRow {
    /// Its name.
    pub name: String,
    /// Whether it has the enrolment token.
    pub enrolled: bool,
    /// When its first event came.
    pub first_seen: Timestamp,
    /// When its last event came.
    pub last_seen: Timestamp,
    /// From where that came, as the server saw it.
    pub peer: SocketAddr,
    /// Which fwdrill it runs.
    pub program: Option<String>,
    /// The version of the update set it has.
    pub version: Option<String>,
    /// The serial of the update set it has.
    pub serial: Option<u64>,
    /// Its last update cycle.
    pub last_sync: Option<LastSync>,
    /// Its last report.
    pub last_report: Option<ReportRow>,
}

/// A client's last update cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastSync {
    /// When, by the client's clock.
    pub at: Timestamp,
    /// Why it failed; `None`: it did not.
    pub error: Option<String>,
}

/// A report in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportRow {
    /// For [`Store::report`], as long as it is kept.
    pub seq: i64,
    /// Whose.
    pub client: String,
    /// When it was made, by the client's clock.
    pub at: Timestamp,
    /// `pass`, `fail` or `inconclusive`.
    pub verdict: String,
    /// The id of its first finding, the root cause.
    pub finding: Option<String>,
}

const EVENT: &str = "SELECT seq, received, peer, enrolled, json FROM event";

impl Store {
    /// All clients, by name.
    pub async fn clients(&self) -> Result<Vec<ClientRow>, StoreError> {
        self.query(|connection| {
            let mut all = connection.prepare_cached("SELECT * FROM client ORDER BY name")?;
            all.query_map([], client)?.collect()
        })
        .await
    }

    /// One client.
    pub async fn client(&self, name: &str) -> Result<Option<ClientRow>, StoreError> {
        let name = name.to_owned();
        self.query(move |connection| {
            let mut one = connection.prepare_cached("SELECT * FROM client WHERE name = ?1")?;
            one.query_row([name], client).optional()
        })
        .await
    }

    /// The newest events, newest first: of one client or of all, before the event `before`, `most` of them.
    pub async fn events(
        &self,
        client: Option<&str>,
        before: Option<i64>,
        most: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let (client, before) = (client.map(ToOwned::to_owned), before.unwrap_or(i64::MAX));
        self.query(move |connection| match client {
            Some(client) => connection
                .prepare_cached(&format!(
                    "{EVENT} WHERE client = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3"
                ))?
                .query_map((client, before, most), event)?
                .collect(),
            None => connection
                .prepare_cached(&format!("{EVENT} WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2"))?
                .query_map((before, most), event)?
                .collect(),
        })
        .await
    }

    /// The newest reports of all clients, newest first.
    pub async fn reports(&self, most: u32) -> Result<Vec<ReportRow>, StoreError> {
        let events = self
            .query(move |connection| {
                connection
                    .prepare_cached(&format!(
                        "{EVENT} WHERE kind = 'probe-report' ORDER BY seq DESC LIMIT ?1"
                    ))?
                    .query_map([most], event)?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
            .await?;
        Ok(events.into_iter().filter_map(in_one_line).collect())
    }

    /// The newest reports of storms by who has the enrolment token, newest first.
    pub async fn storms(&self, most: u32) -> Result<Vec<StormReport>, StoreError> {
        let events = self
            .query(move |connection| {
                connection
                    .prepare_cached(&format!(
                        "{EVENT} WHERE kind = 'storm-report' AND enrolled ORDER BY seq DESC LIMIT ?1"
                    ))?
                    .query_map([most], event)?
                    .collect::<rusqlite::Result<Vec<_>>>()
            })
            .await?;
        let storms = events.into_iter().filter_map(|stored| match stored.event.what {
            What::StormReport { report } => Some(*report),
            _ => None,
        });
        Ok(storms.collect())
    }

    /// One report, whole, with whose it is; `None`: there is no such report (any more).
    pub async fn report(&self, seq: i64) -> Result<Option<(StoredEvent, Report)>, StoreError> {
        let found = self
            .query(move |connection| {
                connection
                    .prepare_cached(&format!("{EVENT} WHERE seq = ?1 AND kind = 'probe-report'"))?
                    .query_row([seq], event)
                    .optional()
            })
            .await?;
        Ok(found.and_then(|stored| match stored.event.what.clone() {
            What::ProbeReport { report } => Some((stored, *report)),
            _ => None,
        }))
    }

    /// What SQLite finds wrong with the database, in its words; nothing, as it should be. Reads all of it.
    pub async fn faults(&self) -> Result<Vec<String>, StoreError> {
        self.query(|connection| {
            let mut check = connection.prepare("PRAGMA integrity_check")?;
            let found: Vec<String> = check
                .query_map([], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(found.into_iter().filter(|line| line != "ok").collect())
        })
        .await
    }

    /// How many events are kept.
    pub async fn count(&self) -> Result<u32, StoreError> {
        self.query(|connection| connection.query_row("SELECT count(*) FROM event", [], |row| row.get(0)))
            .await
    }

    pub(super) async fn query<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = self.reader.clone();
        let asked = tokio::task::spawn_blocking(move || {
            // A query that panicked has changed nothing.
            ask(&reader.lock().unwrap_or_else(PoisonError::into_inner))
        });
        asked.await.map_err(|_| StoreError::Closed)?.map_err(StoreError::Read)
    }
}

fn client(row: &Row<'_>) -> rusqlite::Result<ClientRow> {
    let name: String = row.get("name")?;
    let report: (Option<i64>, Option<i64>, Option<String>) =
        (row.get("report_seq")?, row.get("report_at")?, row.get("verdict")?);
    let last_report = match report {
        (Some(seq), Some(at), Some(verdict)) => Some(ReportRow {
            seq,
            client: name.clone(),
            at: moment(at)?,
            verdict,
            finding: row.get("finding")?,
        }),
        _ => None,
    };
    let synced: Option<i64> = row.get("sync_at")?;
    Ok(ClientRow {
        enrolled: row.get("enrolled")?,
        first_seen: moment(row.get("first_seen")?)?,
        last_seen: moment(row.get("last_seen")?)?,
        peer: parsed(&row.get::<_, String>("peer")?)?,
        program: row.get("program")?,
        version: row.get("version")?,
        serial: row
            .get::<_, Option<i64>>("serial")?
            .and_then(|serial| serial.try_into().ok()),
        last_sync: match synced {
            Some(at) => Some(LastSync {
                at: moment(at)?,
                error: row.get("sync_error")?,
            }),
            None => None,
        },
        last_report,
        name,
    })
}

fn event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    let json: String = row.get("json")?;
    Ok(StoredEvent {
        seq: row.get("seq")?,
        received: moment(row.get("received")?)?,
        peer: parsed(&row.get::<_, String>("peer")?)?,
        enrolled: row.get("enrolled")?,
        event: serde_json::from_str::<ClientEvent>(&json).map_err(damaged)?,
    })
}

fn in_one_line(stored: StoredEvent) -> Option<ReportRow> {
    let What::ProbeReport { report } = stored.event.what else {
        return None;
    };
    Some(ReportRow {
        seq: stored.seq,
        client: stored.event.client.to_string(),
        at: stored.event.at,
        verdict: report.verdict.name().to_owned(),
        finding: report.findings.first().map(|finding| finding.id.name().to_owned()),
    })
}

pub(super) fn moment(milliseconds: i64) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(milliseconds).map_err(damaged)
}

pub(super) fn parsed(text: &str) -> rusqlite::Result<SocketAddr> {
    text.parse().map_err(damaged)
}

pub(super) fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error))
}
