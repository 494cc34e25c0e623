//! The one thread that writes: what waits goes into one transaction, and is answered when that is on the disk.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use fwdrill_protocol::event::What;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tokio::sync::{broadcast, mpsc, oneshot};
use tracing::{error, warn};

use super::change::{self, Change};
use super::{Incoming, Limits, StoredEvent, Tally};

/// How many requests go into one transaction.
const BATCH: usize = 64;
/// After so many new ids the oldest are looked at.
const FORGET_EVERY: u64 = 4096;

/// What the thread is asked for.
pub(super) enum Job {
    Append {
        events: Vec<Incoming>,
        done: oneshot::Sender<Result<Tally, Arc<rusqlite::Error>>>,
    },
    Change(Box<dyn Change>),
    Close {
        done: oneshot::Sender<()>,
    },
}

/// Starts the thread; it ends when it is closed, or nobody is left to ask it.
pub(super) fn start(
    connection: Connection,
    jobs: mpsc::Receiver<Job>,
    limits: Limits,
    live: broadcast::Sender<Arc<StoredEvent>>,
) -> io::Result<()> {
    let writer = Writer {
        connection,
        limits,
        live,
        new_ids: FORGET_EVERY,
    };
    std::thread::Builder::new()
        .name("store".to_owned())
        .spawn(move || writer.run(jobs))
        .map(drop)
}

struct Writer {
    connection: Connection,
    limits: Limits,
    live: broadcast::Sender<Arc<StoredEvent>>,
    /// Since the ids were last looked at.
    new_ids: u64,
}

impl Writer {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH);
        while jobs.blocking_recv_many(&mut batch, BATCH) > 0 {
            let (mut asked, mut changes, mut closing) = (Vec::new(), Vec::new(), None);
            for job in batch.drain(..) {
                match job {
                    Job::Append { events, done } => asked.push((events, done)),
                    Job::Change(change) => changes.push(change),
                    Job::Close { done } => closing = Some(done),
                }
            }
            let (events, waiting): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
            if !events.is_empty() {
                self.serve(events, waiting);
            }
            change::make(&mut self.connection, changes);
            if let Some(done) = closing {
                jobs.close();
                if let Err((_, error)) = self.connection.close() {
                    warn!(%error, "the database did not close in order");
                }
                // Nobody may be waiting any more.
                let _ = done.send(());
                return;
            }
        }
    }

    fn serve(&mut self, requests: Vec<Vec<Incoming>>, waiting: Vec<oneshot::Sender<Answer>>) {
        match self.write(requests) {
            Ok((tallies, stored)) => {
                for (done, tally) in waiting.into_iter().zip(tallies) {
                    // Who is gone asks again, and is told that we know.
                    let _ = done.send(Ok(tally));
                }
                for event in stored {
                    // Nobody may be listening.
                    let _ = self.live.send(Arc::new(event));
                }
            }
            Err(error) => {
                error!(%error, "events cannot be stored; clients keep them");
                let error = Arc::new(error);
                for done in waiting {
                    let _ = done.send(Err(error.clone()));
                }
            }
        }
    }

    fn write(&mut self, requests: Vec<Vec<Incoming>>) -> rusqlite::Result<(Vec<Tally>, Vec<StoredEvent>)> {
        let (limits, received) = (self.limits, Timestamp::now());
        let transaction = self.connection.transaction()?;
        let (mut tallies, mut stored, mut touched) = (Vec::new(), Vec::new(), BTreeSet::new());
        for events in requests {
            let mut tally = Tally::default();
            for incoming in events {
                match insert(&transaction, &incoming, received, &limits)? {
                    Inserted::Known => tally.known += 1,
                    Inserted::TooManyClients => tally.refused.push(incoming.event.id),
                    Inserted::As(seq) => {
                        tally.stored += 1;
                        touched.insert(incoming.event.client.to_string());
                        stored.push(StoredEvent {
                            seq,
                            received,
                            peer: incoming.peer,
                            enrolled: incoming.enrolled,
                            event: incoming.event,
                        });
                    }
                }
            }
            tallies.push(tally);
        }
        for client in &touched {
            forget_of_client(&transaction, client, &limits)?;
        }
        if stored.iter().any(|event| !event.enrolled) {
            forget_not_enrolled(&transaction, &limits)?;
        }
        let ids = self.new_ids + stored.len() as u64;
        if ids >= FORGET_EVERY {
            forget_ids(&transaction, &limits)?;
        }
        transaction.commit()?;
        self.new_ids = if ids >= FORGET_EVERY { 0 } else { ids };
        Ok((tallies, stored))
    }
}

type Answer = Result<Tally, Arc<rusqlite::Error>>;

enum Inserted {
    As(i64),
    Known,
    TooManyClients,
}

fn insert(
    transaction: &Transaction<'_>,
    incoming: &Incoming,
    received: Timestamp,
    limits: &Limits,
) -> rusqlite::Result<Inserted> {
    let (event, now) = (&incoming.event, received.as_millisecond());
    let client = event.client.as_str();
    if is_known(transaction, event.id.as_bytes())? {
        return Ok(Inserted::Known);
    }
    if !has_room(transaction, client, limits)? {
        return Ok(Inserted::TooManyClients);
    }
    transaction
        .prepare_cached("INSERT INTO known (id, received) VALUES (?1, ?2)")?
        .execute(params![event.id.as_bytes(), now])?;
    transaction
        .prepare_cached(
            "INSERT INTO event (client, kind, received, peer, enrolled, json) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            client,
            kind(&event.what),
            now,
            incoming.peer.to_string(),
            incoming.enrolled,
            incoming.json
        ])?;
    let seq = transaction.last_insert_rowid();
    sum_up(transaction, incoming, now, seq)?;
    Ok(Inserted::As(seq))
}

fn is_known(transaction: &Transaction<'_>, id: &[u8; 16]) -> rusqlite::Result<bool> {
    transaction
        .prepare_cached("SELECT 1 FROM known WHERE id = ?1")?
        .exists([id])
}

fn has_room(transaction: &Transaction<'_>, client: &str, limits: &Limits) -> rusqlite::Result<bool> {
    let known = transaction
        .prepare_cached("SELECT 1 FROM client WHERE name = ?1")?
        .exists([client])?;
    if known {
        return Ok(true);
    }
    let clients: u32 = transaction
        .prepare_cached("SELECT count(*) FROM client")?
        .query_row([], |row| row.get(0))?;
    Ok(clients < limits.clients)
}

/// What the console shows of a client. Who only has a drill id says nothing about a client that has enrolled.
fn sum_up(transaction: &Transaction<'_>, incoming: &Incoming, now: i64, seq: i64) -> rusqlite::Result<()> {
    let (event, enrolled) = (&incoming.event, incoming.enrolled);
    let (client, at) = (event.client.as_str(), event.at.as_millisecond());
    let counted = transaction
        .prepare_cached(
            "INSERT INTO client (name, enrolled, first_seen, last_seen, peer) VALUES (?1, ?2, ?3, ?3, ?4)
             ON CONFLICT (name) DO UPDATE SET enrolled = excluded.enrolled, last_seen = excluded.last_seen, peer = excluded.peer
             WHERE client.enrolled <= excluded.enrolled",
        )?
        .execute(params![client, enrolled, now, incoming.peer.to_string()])?;
    if counted == 0 {
        return Ok(());
    }
    match &event.what {
        What::Started { program, .. } => transaction
            .prepare_cached("UPDATE client SET program = ?2 WHERE name = ?1")?
            .execute(params![client, program])?,
        // Events that waited at the client may come after newer ones.
        What::SyncDone { version, serial, .. } => transaction
            .prepare_cached(
                "UPDATE client SET version = ?2, serial = ?3, sync_at = ?4, sync_error = NULL
                 WHERE name = ?1 AND coalesce(sync_at, ?4) <= ?4",
            )?
            .execute(params![client, version, i64::try_from(*serial).unwrap_or(i64::MAX), at])?,
        What::SyncFailed { error, .. } => transaction
            .prepare_cached(
                "UPDATE client SET sync_at = ?2, sync_error = ?3 WHERE name = ?1 AND coalesce(sync_at, ?2) <= ?2",
            )?
            .execute(params![client, at, error])?,
        What::ProbeReport { report } => transaction
            .prepare_cached(
                "UPDATE client SET report_at = ?2, report_seq = ?3, verdict = ?4, finding = ?5
                 WHERE name = ?1 AND coalesce(report_at, ?2) <= ?2",
            )?
            .execute(params![
                client,
                at,
                seq,
                report.verdict.name(),
                report.findings.first().map(|finding| finding.id.name())
            ])?,
        What::VersionSeen { .. } | What::StormReport { .. } | What::Dropped { .. } | What::Other => 0,
    };
    Ok(())
}

fn forget_of_client(transaction: &Transaction<'_>, client: &str, limits: &Limits) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM event WHERE client = ?1 AND seq <=
             (SELECT seq FROM event WHERE client = ?1 ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![client, limits.per_client])?;
    transaction
        .prepare_cached(
            "DELETE FROM event WHERE client = ?1 AND kind = 'probe-report' AND seq <=
             (SELECT seq FROM event WHERE client = ?1 AND kind = 'probe-report' ORDER BY seq DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![client, limits.reports_per_client])?;
    Ok(())
}

fn forget_not_enrolled(transaction: &Transaction<'_>, limits: &Limits) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "DELETE FROM event WHERE enrolled = 0 AND seq <=
             (SELECT seq FROM event WHERE enrolled = 0 ORDER BY seq DESC LIMIT 1 OFFSET ?1)",
        )?
        .execute([limits.not_enrolled])?;
    Ok(())
}

fn forget_ids(transaction: &Transaction<'_>, limits: &Limits) -> rusqlite::Result<()> {
    let oldest: Option<i64> = transaction
        .prepare_cached("SELECT received FROM known ORDER BY received DESC LIMIT 1 OFFSET ?1")?
        .query_row([limits.ids], |row| row.get(0))
        .optional()?;
    if let Some(oldest) = oldest {
        transaction.execute("DELETE FROM known WHERE received <= ?1", [oldest])?;
    }
    Ok(())
}

fn kind(what: &What) -> &'static str {
    match what {
        What::Started { .. } => "started",
        What::VersionSeen { .. } => "version-seen",
        What::SyncDone { .. } => "sync-done",
        What::SyncFailed { .. } => "sync-failed",
        What::ProbeReport { .. } => "probe-report",
        What::StormReport { .. } => "storm-report",
        What::Dropped { .. } => "dropped",
        What::Other => "other",
    }
}
