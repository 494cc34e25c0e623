//! The agents: one alone first, then all of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fwdrill_protocol::client_name::ClientName;
use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::estate::Mode;
use fwdrill_protocol::storm::{Cause, LifeLine, Step};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::agent::{self, Life, Site};
use super::facts::Facts;
use super::tally::{Live, Tally};
use super::trouble::Trouble;
use super::witness::Witness;
use super::{Course, Storm};
use crate::events::Backoff;

/// How long the event of the agent alone may take.
const PATIENCE_ALONE: Duration = Duration::from_secs(5);
/// An agent whose update failed begins the next one no later than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Room in a name for what tells agents apart.
const LONGEST_PREFIX: usize = 56;

/// Where the crowd may go.
pub(super) struct Ready {
    site: Site,
    drill: DrillId,
    alone: BTreeMap<Step, f64>,
}

/// One agent alone lives one life. If it cannot, that is all there is to know.
pub(super) async fn alone(storm: Storm) -> Result<Ready, Box<Facts>> {
    let patient = storm.patience;
    let mut failed = None;
    for address in &storm.server.addresses {
        let tally = Tally::new(Arc::default());
        let impatient = Storm {
            patience: patient.min(PATIENCE_ALONE),
            ..storm.clone()
        };
        let mut site = Site::new(impatient, *address, tally);
        let life = loop {
            let life = agent::live(&site, name(&storm.client, 0)).await;
            match &life.trouble {
                Some(trouble) if settles(&site, trouble) => {
                    tracing::debug!(words = trouble.words, "the agent alone tries another way");
                }
                _ => break life,
            }
        };
        if life.trouble.is_none() {
            site.storm.patience = patient;
            return Ok(Ready {
                drill: life.drill,
                alone: means(&life),
                site,
            });
        }
        // A name often has addresses that nobody serves.
        let elsewhere = life
            .trouble
            .is_some_and(|trouble| trouble.step == Step::Version && trouble.cause.never_stood());
        failed = Some(site.tally.copy());
        if !elsewhere {
            break;
        }
    }
    Err(Box::new(Facts {
        storm,
        elapsed: Duration::ZERO,
        alone: None,
        books: failed.unwrap_or_default(),
        witness: Witness::default(),
        stopped: false,
    }))
}

/// Whether there is another way than the one that failed.
fn settles(site: &Site, trouble: &Trouble) -> bool {
    let settled = &site.settled;
    match (trouble.step, trouble.cause) {
        // Servers of another make know no drills.
        (Step::Login, Cause::RefusedByServer) if site.storm.login.is_none() => {
            !settled.anonymous.swap(true, Ordering::Relaxed)
        }
        // The guide's list of ports for HTTP has none for FTP.
        (Step::Control, cause) if site.storm.estate.mode == Mode::Http && cause.never_stood() => {
            settled.uploads.swap(false, Ordering::Relaxed)
        }
        _ => false,
    }
}

/// All agents live.
pub(super) async fn gather(
    ready: Ready,
    live: Arc<Live>,
    lives: Option<Sender<LifeLine>>,
    stop: &CancellationToken,
) -> Facts {
    let Ready { site, drill, alone } = ready;
    let mut witness = Witness::begin(&site, drill).await;
    let site = Arc::new(site.anew(Tally::new(live)));
    let storm = &site.storm;
    let crowd = Arc::new(Crowd {
        permits: storm.at_once.map(|most| Semaphore::new(most as usize)),
        until: match storm.course {
            Course::Rounds(_) => None,
            Course::Lasting(time) => Some(Instant::now() + time),
        },
        lives,
        stop: stop.clone(),
    });
    let mut agents = JoinSet::new();
    for index in 0..storm.clients {
        let (site, crowd) = (site.clone(), crowd.clone());
        agents.spawn(async move { crowd.agent(&site, index).await });
    }
    while let Some(ended) = agents.join_next().await {
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
    let (elapsed, books) = (site.tally.now(), site.tally.copy());
    witness.end(&site, &books).await;
    Facts {
        storm: storm.clone(),
        elapsed,
        alone: Some(alone),
        books,
        witness,
        stopped: stop.is_cancelled(),
    }
}

struct Crowd {
    permits: Option<Semaphore>,
    until: Option<Instant>,
    lives: Option<Sender<LifeLine>>,
    stop: CancellationToken,
}

impl Crowd {
    /// All lives of one agent.
    async fn agent(&self, site: &Site, index: u32) {
        let storm = &site.storm;
        self.pause(storm.ramp.mul_f64(f64::from(index) / f64::from(storm.clients)))
            .await;
        let name = name(&storm.client, index + 1);
        let (mut rounds, mut backoff) = (0, Backoff::default());
        while !self.stop.is_cancelled() {
            let permit = match &self.permits {
                Some(permits) => Some(self.stop.run_until_cancelled(permits.acquire()).await),
                None => None,
            };
            if self.stop.is_cancelled() {
                return;
            }
            let life = agent::live(site, name.clone()).await;
            drop(permit);
            if let Some(lives) = &self.lives {
                // Nobody reads them any more: then nobody misses it.
                let _ = lives.send(line(&name, &life)).await;
            }
            rounds += 1;
            let pause = match life.trouble {
                Some(_) => backoff.failed(Instant::now(), None).min(LONGEST_PAUSE),
                None => {
                    backoff.succeeded();
                    Duration::ZERO
                }
            };
            let over = match (storm.course, self.until) {
                (Course::Rounds(most), _) => rounds >= most,
                (Course::Lasting(_), until) => until.is_none_or(|until| Instant::now() + pause >= until),
            };
            if over {
                return;
            }
            self.pause(pause).await;
        }
    }

    /// Waits so long, unless nobody is to begin anything any more.
    async fn pause(&self, time: Duration) {
        self.stop.run_until_cancelled(tokio::time::sleep(time)).await;
    }
}

/// `pc-0017`.
fn name(prefix: &ClientName, index: u32) -> ClientName {
    let prefix: String = prefix.as_str().chars().take(LONGEST_PREFIX).collect();
    ClientName::fitting(&format!("{prefix}-{index:04}"))
}

fn line(name: &ClientName, life: &Life) -> LifeLine {
    let trouble = life.trouble.as_ref();
    LifeLine {
        schema: LifeLine::SCHEMA.to_owned(),
        client: name.clone(),
        after_s: life.began.as_secs_f64(),
        elapsed_ms: life.took.as_secs_f64() * 1000.0,
        received: life.received,
        failed: trouble.map(|trouble| trouble.step),
        cause: trouble.map(|trouble| trouble.cause),
        words: trouble.map(|trouble| trouble.words.clone()),
        event: life.told.id,
        acknowledged: life.told.acknowledged,
    }
}

/// How long each step took on average, milliseconds.
fn means(life: &Life) -> BTreeMap<Step, f64> {
    let mut sums: BTreeMap<Step, (f64, f64)> = BTreeMap::new();
    for (step, took) in &life.steps {
        let (sum, count) = sums.entry(*step).or_default();
        *sum += took.as_secs_f64() * 1000.0;
        *count += 1.0;
    }
    sums.into_iter()
        .map(|(step, (sum, count))| (step, sum / count))
        .collect()
}
