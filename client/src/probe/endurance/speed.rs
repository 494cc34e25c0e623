//! How fast a larger file comes over FTP, and the same one over HTTP: who drops what is beyond a rate does so on one of them,
//! or on both alike.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use fwdrill_protocol::drill::DRILL_USER;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::host::Counters;
use fwdrill_protocol::update_set::{MANIFEST_FILE, Manifest, VersionAnswer};
use tokio::time::{Instant, timeout};

use super::super::connect::connect;
use super::super::ftp::login;
use super::super::http::{ask, short_answer};
use super::super::knock::here;
use super::super::{Site, evidence};
use crate::ftp::{Control, Passive};
use crate::observation::endurance::Speed;
use crate::observation::{EvidenceFetch, Observations, PassiveCommand};

/// A file has to be so large that a connection gets up to its speed.
const LARGE: u64 = 256 * 1024;

/// How long it may come; then it is broken off.
const LONGEST: Duration = Duration::from_secs(3);

/// A silence of this length is no slowness.
const STALL: Duration = Duration::from_millis(2000);

/// How long what comes is counted together.
const STEP: Duration = Duration::from_millis(250);

/// One after the other, so that they do not slow each other down.
pub(super) async fn measure(site: &Site<'_>, seen: &Observations) -> Vec<Speed> {
    let to = seen.attempts.get(&Flow::Http).map(|attempt| attempt.to);
    let Some(to) = to.filter(|_| seen.spoke(Flow::Http)) else {
        return Vec::new();
    };
    let Ok(bytes) = short_answer(site, to, &format!("/{MANIFEST_FILE}"), Manifest::MAX_BYTES).await else {
        return Vec::new();
    };
    let Ok(manifest) = Manifest::parse(&bytes) else {
        return Vec::new();
    };
    let Some(largest) = manifest.files().iter().max_by_key(|entry| entry.size) else {
        return Vec::new();
    };
    if largest.size < LARGE {
        return Vec::new();
    }
    let mut speeds = Vec::new();
    if let Some(command) = working_mode(seen) {
        let counting = Counting::begin(site, seen).await;
        let speed = over_ftp(site, seen, command, &format!("/{}", largest.path)).await;
        speeds.extend(counting.end(site, seen, speed).await);
    }
    let counting = Counting::begin(site, seen).await;
    let speed = over_http(site, to, &VersionAnswer::of(&manifest).file(&largest.path)).await;
    speeds.extend(counting.end(site, seen, speed).await);
    speeds
}

/// What both hosts had counted before.
struct Counting {
    here: Option<Counters>,
    there: Option<Counters>,
}

impl Counting {
    async fn begin(site: &Site<'_>, seen: &Observations) -> Self {
        Counting {
            there: there(site, seen).await,
            here: here(),
        }
    }

    async fn end(self, site: &Site<'_>, seen: &Observations, speed: Option<Speed>) -> Option<Speed> {
        let mut speed = speed?;
        let since = |after: Option<Counters>, before: Option<Counters>| Some(after?.since(&before?));
        speed.out_of_order = since(here(), self.here).map(|counted| counted.out_of_order);
        speed.sent_again = since(there(site, seen).await, self.there).map(|counted| counted.sent_again);
        Some(speed)
    }
}

async fn there(site: &Site<'_>, seen: &Observations) -> Option<Counters> {
    if !site.plan.evidence {
        return None;
    }
    match timeout(STALL, evidence::fetch(site, seen)).await {
        Ok(EvidenceFetch::Joined(evidence)) => Some(evidence.host?.counters),
        _ => None,
    }
}

/// The mode of a transfer that worked, of a server that has our files.
fn working_mode(seen: &Observations) -> Option<PassiveCommand> {
    let talk = seen.ftp.as_ref()?;
    let worked = talk.passive.iter().find(|passive| passive.worked())?;
    (talk.logged_in_as.as_deref() == Some(DRILL_USER)).then_some(worked.command)
}

async fn over_ftp(site: &Site<'_>, seen: &Observations, command: PassiveCommand, path: &str) -> Option<Speed> {
    let to = seen.attempts.get(&Flow::FtpControl)?.to;
    let mut control = Control::connect(to, &site.limits).await.ok()?;
    login(site, &mut control).await.ok()?;
    control.binary().await.ok()?;
    let how = match command {
        PassiveCommand::Epsv => Passive::Epsv,
        PassiveCommand::Pasv => Passive::Pasv,
    };
    let (data, _) = control.passive(how).await.ok()?;
    let from = data.peer();
    let mut retrieval = control.retrieve(path, 0, data).await.ok()?;
    let mut watch = Watch::new(Flow::FtpPassive, from, path);
    while watch.goes_on() {
        let more = timeout(STALL, retrieval.chunk()).await;
        watch.take(more.map_err(drop).and_then(|more| more.map_err(drop)));
    }
    // The session cannot go on after half a file; both connections end here.
    Some(watch.speed)
}

async fn over_http(site: &Site<'_>, to: SocketAddr, path: &str) -> Option<Speed> {
    let (_, stream) = connect(to, site.limits.connect).await;
    let mut response = ask(site, stream?, to, path, &mut Vec::new()).await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let mut watch = Watch::new(Flow::Http, to, path);
    while watch.goes_on() {
        let more = timeout(STALL, response.chunk()).await;
        watch.take(more.map_err(drop).and_then(|more| more.map_err(drop)));
    }
    Some(watch.speed)
}

/// Counts what comes.
struct Watch {
    begun: Instant,
    ended: bool,
    speed: Speed,
}

impl Watch {
    fn new(flow: Flow, from: SocketAddr, path: &str) -> Self {
        Watch {
            begun: Instant::now(),
            ended: false,
            speed: Speed {
                flow,
                from,
                path: path.to_owned(),
                bytes: 0,
                elapsed_ms: 0,
                steps: Vec::new(),
                in_order: false,
                out_of_order: None,
                sent_again: None,
            },
        }
    }

    fn goes_on(&mut self) -> bool {
        self.speed.elapsed_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.begun.elapsed() >= LONGEST {
            self.speed.in_order = !self.ended || self.speed.in_order;
            return false;
        }
        !self.ended
    }

    fn take(&mut self, more: Result<Option<Bytes>, ()>) {
        let Ok(more) = more else {
            self.ended = true;
            return;
        };
        let Some(bytes) = more else {
            (self.ended, self.speed.in_order) = (true, true);
            return;
        };
        self.speed.bytes += bytes.len() as u64;
        let step = usize::try_from(self.begun.elapsed().as_millis() / STEP.as_millis()).unwrap_or(0);
        if self.speed.steps.len() <= step {
            self.speed.steps.resize(step + 1, 0);
        }
        if let Some(count) = self.speed.steps.get_mut(step) {
            *count += bytes.len() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_is_counted_by_quarters_of_a_second() {
        let mut watch = Watch::new(Flow::Http, ([127, 0, 0, 1], 2221).into(), "/x");
        watch.take(Ok(Some(Bytes::from_static(b"12345"))));
        tokio::time::advance(Duration::from_millis(600)).await;
        watch.take(Ok(Some(Bytes::from_static(b"123"))));
        assert_eq!(watch.speed.steps, [5, 0, 3]);
        assert!(watch.goes_on() && watch.speed.elapsed_ms == 600);
        watch.take(Ok(None));
        assert!(!watch.goes_on() && watch.speed.in_order && watch.speed.bytes == 8);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stall_is_no_slowness_and_a_long_file_is_broken_off() {
        let mut stalled = Watch::new(Flow::Http, ([127, 0, 0, 1], 2221).into(), "/x");
        let mut long = Watch::new(Flow::Http, ([127, 0, 0, 1], 2221).into(), "/x");
        stalled.take(Err(()));
        assert!(!stalled.goes_on() && !stalled.speed.in_order);
        tokio::time::advance(LONGEST).await;
        long.take(Ok(Some(Bytes::from_static(b"1"))));
        assert!(!long.goes_on() && long.speed.in_order);
    }
}
