//! The tables, and how the database is opened.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::StoreError;

/// `PRAGMA user_version`.
const VERSION: i64 = 2;

/// Times are milliseconds since 1970; ids are the UUID's 16 bytes.
const TABLES: &str = "
CREATE TABLE event (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    client   TEXT NOT NULL,
    kind     TEXT NOT NULL,
    received INTEGER NOT NULL,
    peer     TEXT NOT NULL,
    enrolled INTEGER NOT NULL,
    json     TEXT NOT NULL
) STRICT;
CREATE INDEX event_by_client ON event (client, seq);
CREATE INDEX event_reports ON event (client, seq) WHERE kind = 'probe-report';
CREATE INDEX event_not_enrolled ON event (seq) WHERE enrolled = 0;

-- Every id that ever came, also of events that are gone: a late repetition is none the less one.
CREATE TABLE known (
    id       BLOB PRIMARY KEY,
    received INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX known_by_age ON known (received);

-- The sum of a client's events, kept when they are gone.
CREATE TABLE client (
    name       TEXT PRIMARY KEY,
    enrolled   INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    peer       TEXT NOT NULL,
    program    TEXT,
    version    TEXT,
    serial     INTEGER,
    sync_at    INTEGER,
    sync_error TEXT,
    report_at  INTEGER,
    report_seq INTEGER,
    verdict    TEXT,
    finding    TEXT
) STRICT, WITHOUT ROWID;
";

/// Since version 2.
const TASK_TABLES: &str = "
-- Who checks in on 2222, as it did last.
CREATE TABLE agent (
    name      TEXT PRIMARY KEY,
    seen      INTEGER NOT NULL,
    peer      TEXT NOT NULL,
    local     TEXT NOT NULL,
    program   TEXT NOT NULL,
    version   TEXT,
    serial    INTEGER,
    task_port INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE task (
    id      BLOB PRIMARY KEY,
    client  TEXT NOT NULL,
    task    TEXT NOT NULL,
    given   INTEGER NOT NULL,
    state   TEXT NOT NULL,
    changed INTEGER NOT NULL,
    detail  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX task_of_client ON task (client, given);
CREATE INDEX task_open ON task (client, task) WHERE state IN ('waiting', 'delivered');
CREATE INDEX task_by_time ON task (given);
";

/// Opens the database for its one writer, and makes the tables where there are none.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::Open {
        path: path.display().to_string(),
        source,
    };
    let mut connection = Connection::open(path).map_err(failed)?;
    prepare(&mut connection).map_err(failed)?;
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed)?;
    match found {
        VERSION => Ok(connection),
        _ => Err(StoreError::Version {
            path: path.display().to_string(),
            found,
            known: VERSION,
        }),
    }
}

/// A second connection, which cannot change anything.
pub(super) fn open_for_reading(path: &Path) -> Result<Connection, StoreError> {
    let failed = |source| StoreError::Open {
        path: path.display().to_string(),
        source,
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
    Ok(connection)
}

fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Each commit waits for the disk: a client forgets an event on our word.
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction()?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (since, tables) in [(1, TABLES), (2, TASK_TABLES)] {
        if version < since {
            transaction.execute_batch(tables)?;
            transaction.pragma_update(None, "user_version", since)?;
        }
    }
    transaction.commit()
}
