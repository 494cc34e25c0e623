//! Changes other than events: so many as wait go into one transaction, each within a savepoint of its own.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::oneshot;

/// Something that is to be changed, by the one thread that writes.
pub(super) trait Change: Send {
    /// Changes it; an error takes it back.
    fn make(&mut self, connection: &Connection) -> rusqlite::Result<()>;

    /// It is on the disk, or this is why it is not.
    fn answer(self: Box<Self>, kept: Result<(), Arc<rusqlite::Error>>);
}

/// A change by a closure, whose value is for who asked.
pub(super) struct Asked<T, F> {
    change: Option<F>,
    value: Option<T>,
    done: oneshot::Sender<Result<T, Arc<rusqlite::Error>>>,
}

impl<T, F> Asked<T, F> {
    pub(super) fn new(change: F, done: oneshot::Sender<Result<T, Arc<rusqlite::Error>>>) -> Self {
        Asked {
            change: Some(change),
            value: None,
            done,
        }
    }
}

impl<T: Send, F: FnOnce(&Connection) -> rusqlite::Result<T> + Send> Change for Asked<T, F> {
    fn make(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if let Some(change) = self.change.take() {
            self.value = Some(change(connection)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, kept: Result<(), Arc<rusqlite::Error>>) {
        let answer = match (kept, self.value) {
            (Ok(()), Some(value)) => Ok(value),
            (Ok(()), None) => return,
            (Err(error), _) => Err(error),
        };
        // Nobody may be waiting any more.
        let _ = self.done.send(answer);
    }
}

/// Makes all of them in one transaction, and tells each what became of it once that is on the disk.
pub(super) fn make(connection: &mut Connection, mut changes: Vec<Box<dyn Change>>) {
    if changes.is_empty() {
        return;
    }
    match make_all(connection, &mut changes) {
        Ok(made) => {
            for (change, made) in changes.into_iter().zip(made) {
                change.answer(made.map_err(Arc::new));
            }
        }
        Err(error) => {
            tracing::error!(%error, "nothing can be changed in the database");
            let error = Arc::new(error);
            changes.into_iter().for_each(|change| change.answer(Err(error.clone())));
        }
    }
}

fn make_all(
    connection: &mut Connection,
    changes: &mut [Box<dyn Change>],
) -> rusqlite::Result<Vec<rusqlite::Result<()>>> {
    let mut transaction = connection.transaction()?;
    let mut made = Vec::with_capacity(changes.len());
    for change in changes {
        // Dropped, it takes everything back.
        let savepoint = transaction.savepoint()?;
        let done = change.make(&savepoint);
        if done.is_ok() {
            savepoint.commit()?;
        }
        made.push(done);
    }
    transaction.commit()?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = oneshot::Receiver<Result<usize, Arc<rusqlite::Error>>>;

    fn asked(sql: &'static [&'static str]) -> (Box<dyn Change>, Answer) {
        let (done, heard) = oneshot::channel();
        let change = move |connection: &Connection| {
            sql.iter()
                .try_fold(0, |sum, sql| Ok(sum + connection.execute(sql, [])?))
        };
        (Box::new(Asked::new(change, done)), heard)
    }

    #[test]
    fn a_change_that_fails_half_way_is_taken_back_and_spoils_no_other() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection
            .execute("CREATE TABLE t (x INTEGER PRIMARY KEY)", [])
            .unwrap();
        let (changes, mut heard): (Vec<_>, Vec<_>) = [
            asked(&["INSERT INTO t VALUES (1)"]),
            asked(&["INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (1)"]),
            asked(&["INSERT INTO t VALUES (3)"]),
        ]
        .into_iter()
        .unzip();
        make(&mut connection, changes);
        let answers: Vec<_> = heard.iter_mut().map(|heard| heard.try_recv().unwrap().ok()).collect();
        assert_eq!(answers, [Some(1), None, Some(1)]);
        let mut kept = connection.prepare("SELECT x FROM t ORDER BY x").unwrap();
        let kept: Vec<i64> = kept
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(kept, [1, 3]);
    }
}
