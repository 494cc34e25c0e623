//! Tasks by their ids: what there is to do, what is done, and what the server has to be told of.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use fwdrill_protocol::task::{MOST_RESULTS, Task, TaskResult};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

/// What comes beyond it has to come again.
const MOST_WAITING: usize = 32;
/// So many that are done are remembered, restarts included.
const REMEMBERED: usize = 256;

/// Every task that this client has met lately. What is done is kept in a file, so that a task is done once whoever was
/// restarted in between; one that was cut half way is done again when it comes again.
#[derive(Debug)]
pub(super) struct Ledger {
    file: PathBuf,
    tasks: Mutex<Tasks>,
    work: Notify,
    news: Notify,
}

#[derive(Debug, Default)]
struct Tasks {
    waiting: VecDeque<Task>,
    running: Option<Uuid>,
    done: VecDeque<Done>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Done {
    result: TaskResult,
    /// Whether the server has it.
    told: bool,
}

/// What became of a task that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It will be done.
    New,
    /// It came before; what came of it, if it is done.
    Known(Option<TaskResult>),
    /// There is too much to do already.
    Full,
}

impl Ledger {
    /// The ledger in a file; a new one where there is none, or none that can be read.
    pub(super) fn open(file: PathBuf) -> Self {
        let done = match fs::read(&file).map(|json| serde_json::from_slice(&json)) {
            Ok(Ok(done)) => done,
            Err(error) if error.kind() == io::ErrorKind::NotFound => VecDeque::new(),
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(file = %file.display(), "which tasks were done before is not known any more");
                VecDeque::new()
            }
        };
        Ledger {
            file,
            tasks: Mutex::new(Tasks {
                done,
                ..Tasks::default()
            }),
            work: Notify::new(),
            news: Notify::new(),
        }
    }

    /// A task comes.
    pub(super) fn take(&self, task: Task) -> Taken {
        let mut tasks = self.lock();
        if let Some(done) = tasks.done.iter().find(|done| done.result.id == task.id) {
            return Taken::Known(Some(done.result.clone()));
        }
        if tasks.running == Some(task.id) || tasks.waiting.iter().any(|waiting| waiting.id == task.id) {
            return Taken::Known(None);
        }
        if tasks.waiting.len() >= MOST_WAITING {
            return Taken::Full;
        }
        tasks.waiting.push_back(task);
        self.work.notify_one();
        Taken::New
    }

    /// The next task to do, when there is one. One at a time.
    pub(super) async fn next(&self) -> Task {
        loop {
            let task = {
                let mut tasks = self.lock();
                let task = tasks.waiting.pop_front();
                tasks.running = task.as_ref().map(|task| task.id);
                task
            };
            match task {
                Some(task) => return task,
                None => self.work.notified().await,
            }
        }
    }

    /// A task is done. Blocks for as long as the disk does.
    pub(super) fn finish(&self, result: TaskResult) {
        let mut tasks = self.lock();
        tasks.running = None;
        tasks.done.push_back(Done { result, told: false });
        while tasks.done.len() > REMEMBERED {
            tasks.done.pop_front();
        }
        self.keep(&tasks.done);
        self.news.notify_one();
    }

    /// When a task is done that the server does not know of.
    pub(super) async fn news(&self) {
        self.news.notified().await;
    }

    /// What the server has to be told of, oldest first.
    pub(super) fn untold(&self) -> Vec<TaskResult> {
        let tasks = self.lock();
        let untold = tasks.done.iter().filter(|done| !done.told);
        untold.take(MOST_RESULTS).map(|done| done.result.clone()).collect()
    }

    /// The server has been told. Blocks for as long as the disk does.
    pub(super) fn told(&self, results: &[TaskResult]) {
        if results.is_empty() {
            return;
        }
        let mut tasks = self.lock();
        for done in &mut tasks.done {
            done.told |= results.iter().any(|result| result.id == done.result.id);
        }
        self.keep(&tasks.done);
    }

    fn keep(&self, done: &VecDeque<Done>) {
        if let Err(error) = write(&self.file, done) {
            tracing::warn!(%error, file = %self.file.display(), "which tasks are done is not kept");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tasks> {
        // A panic between two changes leaves a task that is not done, which may come again.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole or not at all.
fn write(file: &Path, done: &VecDeque<Done>) -> io::Result<()> {
    let mut fresh = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
    fresh.write_all(&serde_json::to_vec(done)?)?;
    fresh.as_file().sync_all()?;
    fresh.persist(file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::task::Order;
    use jiff::Timestamp;

    use super::*;

    fn task() -> Task {
        Task::now("pc-1".parse().unwrap(), Order::Sync)
    }

    fn result(id: Uuid) -> TaskResult {
        TaskResult {
            id,
            at: Timestamp::now(),
            ok: true,
            detail: String::new(),
            elapsed_ms: 1,
        }
    }

    #[tokio::test]
    async fn a_task_is_new_once_whether_it_waits_runs_or_is_done_and_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tasks.json");
        let ledger = Ledger::open(file.clone());
        let (first, second) = (task(), task());
        assert_eq!(
            (ledger.take(first.clone()), ledger.take(second.clone())),
            (Taken::New, Taken::New)
        );
        assert_eq!(ledger.take(first.clone()), Taken::Known(None));
        assert_eq!(ledger.next().await, first);
        assert_eq!(ledger.take(first.clone()), Taken::Known(None));
        let done = result(first.id);
        ledger.finish(done.clone());
        ledger.news().await;
        assert_eq!(ledger.untold(), std::slice::from_ref(&done));
        let ledger = Ledger::open(file.clone());
        assert_eq!(ledger.take(first.clone()), Taken::Known(Some(done.clone())));
        assert_eq!(ledger.take(second), Taken::New, "it was not done");
        ledger.told(&ledger.untold());
        assert_eq!(Ledger::open(file.clone()).untold(), []);
        fs::write(&file, "{").unwrap();
        assert_eq!(Ledger::open(file).take(first), Taken::New);
    }

    #[tokio::test]
    async fn what_waits_and_what_is_remembered_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path().join("tasks.json"));
        let taken = std::iter::repeat_with(|| ledger.take(task())).position(|taken| taken == Taken::Full);
        assert_eq!(taken, Some(MOST_WAITING));
        (0..=REMEMBERED).for_each(|_| ledger.finish(result(Uuid::now_v7())));
        assert_eq!(ledger.lock().done.len(), REMEMBERED);
        assert_eq!(ledger.untold().len(), MOST_RESULTS);
    }
}
