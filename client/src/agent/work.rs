//! What an agent does all day: update cycles when they are due, tasks when they come, and check-ins beside both.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fwdrill_protocol::event::What;
use fwdrill_protocol::task::{CheckIn, MOST_DETAIL_BYTES, Order, Task, TaskResult};
use jiff::Timestamp;
use tokio::time::{Instant as Moment, sleep, sleep_until};

use super::Config;
use super::check_in::{CheckInError, check_in};
use super::ledger::Ledger;
use super::pace::Pace;
use crate::diagnosis::diagnose;
use crate::error_chain;
use crate::events::{Telling, Watched, on_thread};
use crate::limits::Limits;
use crate::plan::Plan;
use crate::probe;
use crate::sync::{Outcome, Server, SyncError, Uploads};

/// How long the server may take over each step of a check-in.
const STEP: Duration = Duration::from_secs(5);

/// Does what there is to do.
pub(super) struct Worker {
    config: Config,
    ledger: Arc<Ledger>,
    /// Where the agent listens, 2222 and 2227.
    ports: (u16, u16),
    present: Mutex<Option<(String, u64)>>,
}

impl Worker {
    pub(super) fn new(config: Config, ledger: Arc<Ledger>, ports: (u16, u16), present: Option<(String, u64)>) -> Self {
        Worker {
            config,
            ledger,
            ports,
            present: Mutex::new(present),
        }
    }

    /// For ever.
    pub(super) async fn work(&self) {
        tokio::join!(self.update_and_do_tasks(), self.check_in_now_and_then());
    }

    async fn update_and_do_tasks(&self) {
        let Config {
            into, client, estate, ..
        } = &self.config;
        let mut telling = Telling::new(into, client.clone(), estate, "agent");
        let (mut pace, mut due) = (Pace::new(self.config.every), Moment::now());
        loop {
            tokio::select! {
                // What has been asked for comes first.
                biased;
                task = self.ledger.next() => {
                    let result = self.carry_out(&task, &mut telling).await;
                    tracing::info!(id = %task.id, order = %task.order, ok = result.ok, detail = result.detail, "a task is done");
                    let ledger = self.ledger.clone();
                    on_thread(move || ledger.finish(result)).await;
                }
                () = sleep_until(due) => {
                    let ended = self.update(&mut telling).await;
                    match &ended {
                        Ok(outcome) => tracing::info!("{outcome}"),
                        Err(error) => tracing::warn!("{}", error_chain(error)),
                    }
                    due = Moment::now() + pace.pause(ended.is_ok());
                }
            }
        }
    }

    async fn check_in_now_and_then(&self) {
        let Some(token) = &self.config.estate.agent.token else {
            return;
        };
        let mut pace = Pace::new(self.config.every);
        loop {
            let ended = self.check_in(token).await;
            if let Err(error) = &ended {
                tracing::warn!("no check-in: {}", error_chain(error));
            }
            let pause = pace.pause(ended.is_ok());
            tokio::select! {
                () = sleep(pause) => {}
                () = self.ledger.news() => {}
            }
        }
    }

    async fn check_in(&self, token: &str) -> Result<(), CheckInError> {
        let port = self.config.estate.ports.agent;
        let server = self.server().await.map_err(|error| {
            tracing::debug!("{}", error_chain(&error));
            CheckInError::Nowhere
        })?;
        let (version, serial) = self.present().unzip();
        let said = CheckIn {
            schema: CheckIn::SCHEMA.to_owned(),
            client: self.config.client.clone(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            version,
            serial,
            task_port: Some(self.ports.0),
            results: self.ledger.untold(),
        };
        let tasks = check_in(&server, port, token, &said, &Limits::all(STEP)).await?;
        let ledger = self.ledger.clone();
        on_thread(move || ledger.told(&said.results)).await;
        let now = Timestamp::now();
        for task in tasks {
            if task.client == self.config.client && !task.is_expired(now) {
                // What is known already, or too much now, comes again.
                let taken = self.ledger.take(task);
                tracing::debug!(?taken, "a task was fetched");
            }
        }
        Ok(())
    }

    async fn carry_out(&self, task: &Task, telling: &mut Telling) -> TaskResult {
        let begun = Instant::now();
        let done = match task.order {
            Order::Sync => self.update(telling).await.map(|outcome| outcome.to_string()),
            Order::SendLog => self.send_log().await.map(|uploads| uploads.to_string()),
            Order::Probe => Ok(self.probe(telling).await),
            Order::Other => return Self::result(task, begun, Err("this client does not know such a task".to_owned())),
        };
        Self::result(task, begun, done.map_err(|error| error_chain(&error)))
    }

    fn result(task: &Task, begun: Instant, done: Result<String, String>) -> TaskResult {
        let ok = done.is_ok();
        let mut detail = done.unwrap_or_else(|why| why);
        detail.truncate(detail.floor_char_boundary(MOST_DETAIL_BYTES));
        TaskResult {
            id: task.id,
            at: Timestamp::now(),
            ok,
            detail,
            elapsed_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// One update cycle, of which the server is told.
    async fn update(&self, telling: &mut Telling) -> Result<Outcome, SyncError> {
        let server = self.server().await?;
        let mut cycle = self.config.cycle(server);
        cycle.drill = telling.drill();
        let watched = Watched::new(());
        let ended = cycle.run(&watched).await;
        if let Ok(outcome) = &ended {
            *self.present.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((outcome.version.clone(), outcome.serial));
        }
        telling.note(watched, &ended).await;
        telling.send(&cycle.server).await;
        ended
    }

    async fn send_log(&self) -> Result<Uploads, SyncError> {
        let cycle = self.config.cycle(self.server().await?);
        cycle.send_log(&()).await
    }

    /// Measures the path to the server, and sends the report.
    async fn probe(&self, telling: &mut Telling) -> String {
        let mut plan = Plan::new(&self.config.host, self.config.estate.clone());
        plan.vantage.clone_from(&self.config.vantage);
        plan.self_events = self.ports.1;
        plan.have = self.present().map(|(_, serial)| serial);
        plan.login = self
            .config
            .login
            .as_ref()
            .map(|login| (login.user.clone(), login.password.clone()));
        let report = diagnose(&plan.estate, &Box::pin(probe::run(&plan)).await);
        let said = match report.findings.first() {
            None => report.verdict.name().to_owned(),
            Some(first) => format!("{}: {}, {}", report.verdict.name(), first.id, first.summary),
        };
        let report = Box::new(report);
        telling.tell(What::ProbeReport { report }).await;
        if let Ok(server) = self.server().await {
            telling.send(&server).await;
        }
        said
    }

    async fn server(&self) -> Result<Server, SyncError> {
        Server::resolve(&self.config.host, &self.config.estate).await
    }

    fn present(&self) -> Option<(String, u64)> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
