//! The passive range, port by port: with the server's sweep where it offers one, else by dialling
//! ports on which nothing listens.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::sweep::{SWEEP_PATH, SweepAnswer, SweepOffer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::Site;
use super::connect::connect;
use super::evidence::services;
use super::http::short_answer;
use crate::observation::endurance::Crowd;
use crate::observation::{Observations, PassiveObservation, PassivePort};
use crate::plan::{Depth, Range};

/// How many ports are dialled at once: a whole range of the usual size, so that one limit of time is enough for all.
const AT_ONCE: usize = 1024;

/// The longest answer line: label, port, peer, proof.
const LONGEST_LINE: u64 = 200;

/// How many holes are dialled again one by one.
const SLOWLY: usize = 3;

/// And with which distance: rate limits count by the second.
const APART: Duration = Duration::from_millis(1100);

/// Whether the range is worth a look: without an FTP session it serves nobody.
pub(super) fn is_wanted(site: &Site<'_>, seen: &Observations) -> bool {
    let session = seen.ftp.as_ref().is_some_and(|talk| talk.logged_in_as.is_some());
    site.plan.range != Range::None && session
}

/// Tries the ports that the plan chooses.
pub(super) async fn observe(site: &Site<'_>, seen: &Observations) -> PassiveObservation {
    let mut observed = seen.passive.clone();
    match offer(site, seen).await {
        Ok(offer) => {
            observed.planned = offer.listening.iter().chain(offer.busy.iter()).collect();
            observed.swept = true;
            let chosen = site.plan.range.choose(&observed.planned);
            observed.ports = sweep(site, seen, &chosen, offer).await;
            observed.busy = chosen.without(&tried(&observed.ports));
            observed.again = one_by_one(site, seen, &observed.ports).await;
        }
        Err(refusal) => {
            observed.no_sweep = Some(refusal);
            observed.ports = dial(site, &site.plan.range.choose(&observed.planned), false).await;
            observed.again = one_by_one(site, seen, &observed.ports).await;
        }
    }
    observed.ports.sort_by_key(|tried| tried.port);
    observed
}

/// Dials what listens; then, on a second offer, what the server kept for its sessions during the first, and once more
/// every hole beside ports that answered: a limit on connections or a lost packet makes holes that are none.
async fn sweep(site: &Site<'_>, seen: &Observations, chosen: &PortSet, first: SweepOffer) -> Vec<PassivePort> {
    let mut found = dial(site, &both(chosen, &first.listening), true).await;
    let (open, holes): (Vec<PassivePort>, Vec<PassivePort>) =
        found.drain(..).partition(|tried| tried.answered_as.is_some());
    // Where nothing came through, or everything does now and then, a few ports more say nothing new.
    let hindered = seen.endurance.crowd.as_ref().is_some_and(Crowd::hindered);
    let again = if open.is_empty() || hindered || site.plan.depth == Depth::Brief {
        PortSet::default()
    } else {
        chosen.without(&tried(&open))
    };
    found.extend(open);
    let mut second = Vec::new();
    if !again.is_empty()
        && let Ok(offer) = offer(site, seen).await
    {
        second = dial(site, &both(&again, &offer.listening), true).await;
    }
    let redone = tried(&second);
    found.extend(holes.into_iter().filter(|hole| !redone.contains(hole.port)));
    found.extend(second);
    found
}

async fn dial(site: &Site<'_>, ports: &PortSet, swept: bool) -> Vec<PassivePort> {
    let free = ports.iter().filter(|port| *port != site.held.load(Ordering::Relaxed));
    let tries = free.map(|port| attempt(site, port, swept)).collect::<Vec<_>>();
    stream::iter(tries).buffer_unordered(AT_ONCE).collect().await
}

fn tried(ports: &[PassivePort]) -> PortSet {
    ports.iter().map(|tried| tried.port).collect()
}

fn both(a: &PortSet, b: &PortSet) -> PortSet {
    a.iter().filter(|port| b.contains(*port)).collect()
}

async fn offer(site: &Site<'_>, seen: &Observations) -> Result<SweepOffer, String> {
    if !site.plan.evidence {
        return Err("not asked for".to_owned());
    }
    let mut refusals = Vec::new();
    for to in services(seen) {
        match short_answer(site, to, SWEEP_PATH, 1 << 20).await {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(offer) => return Ok(offer),
                Err(_) => refusals.push(format!("{to}: not an offer of a sweep")),
            },
            Err(refusal) => refusals.push(refusal),
        }
    }
    Err(if refusals.is_empty() {
        "no service to ask for it can be reached".to_owned()
    } else {
        refusals.join("; ")
    })
}

async fn attempt(site: &Site<'_>, port: u16, swept: bool) -> PassivePort {
    let (attempt, stream) = connect(site.at(port), site.limits.data_connect).await;
    let (answered_as, said) = match stream {
        Some(stream) if swept => answer(site, stream).await,
        _ => (None, None),
    };
    PassivePort {
        port,
        attempt,
        answered_as,
        said,
    }
}

/// The port that answers, if it proves to be this server's; else what it says.
async fn answer(site: &Site<'_>, mut stream: TcpStream) -> (Option<u16>, Option<String>) {
    let mut said = Vec::new();
    // What came before an end that is none still counts.
    let _ = timeout(site.limits.reply, async {
        stream.write_all(site.plan.drill.first_line().as_bytes()).await?;
        stream.take(LONGEST_LINE).read_to_end(&mut said).await
    })
    .await;
    let line = String::from_utf8_lossy(&said)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    match SweepAnswer::parse(&line).filter(|answer| answer.is_proof(site.plan.drill)) {
        Some(answer) => (Some(answer.port), None),
        None => (None, Some(line).filter(|line| !line.is_empty())),
    }
}

/// Dials a few of the holes among open ports again, slowly: whoever limits how fast connections come lets these in, and so
/// does a path that loses packets.
async fn one_by_one(site: &Site<'_>, seen: &Observations, ports: &[PassivePort]) -> Vec<PassivePort> {
    if seen.endurance.crowd.as_ref().is_some_and(Crowd::hindered) {
        return Vec::new();
    }
    let silent: Vec<u16> = ports
        .iter()
        .filter(|tried| tried.attempt.outcome == Outcome::Timeout)
        .map(|tried| tried.port)
        .collect();
    // A port that the server does not listen on answers too, by a RST.
    if silent.is_empty() || silent.len() == ports.len() {
        return Vec::new();
    }
    let brief = site.plan.depth == Depth::Brief;
    let enough = if brief { 1 } else { SLOWLY };
    // The SYNs of the sweep went out all at once, and none was repeated before they were given up.
    let since = if brief {
        site.limits.data_connect.min(APART)
    } else {
        Duration::ZERO
    };
    let steps = enough.min(silent.len());
    let chosen = (0..steps).map(|step| silent[step * (silent.len() - 1) / (steps - 1).max(1)]);
    let listens = ports.iter().any(|tried| tried.answered_as.is_some());
    let slowly = chosen.enumerate().map(|(turn, port)| async move {
        sleep(APART * u32::try_from(turn + 1).unwrap_or(1) - since).await;
        attempt(site, port, listens).await
    });
    futures_util::future::join_all(slowly).await
}
