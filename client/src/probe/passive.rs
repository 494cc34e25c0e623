//! The passive range, port by port: with the server's sweep where it offers one, else by dialling
//! ports on which nothing listens.

use futures_util::StreamExt;
use futures_util::stream;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::sweep::{SWEEP_PATH, SweepAnswer, SweepOffer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Site;
use super::connect::connect;
use super::evidence::services;
use super::http::short_answer;
use crate::observation::{Observations, PassiveObservation, PassivePort};
use crate::plan::Range;

/// How many ports are dialled at once: a whole range of the usual size, so that one limit of time is enough for all.
const AT_ONCE: usize = 1024;

/// The longest answer line: label, port, peer, proof.
const LONGEST_LINE: u64 = 200;

/// Tries the ports that the plan chooses. Nothing is tried where no FTP session was had: without
/// one the range serves nobody.
pub(super) async fn observe(site: &Site<'_>, seen: &Observations) -> PassiveObservation {
    let mut observed = seen.passive.clone();
    let session = seen.ftp.as_ref().is_some_and(|talk| talk.logged_in_as.is_some());
    if site.plan.range == Range::None || !session {
        return observed;
    }
    match offer(site, seen).await {
        Ok(offer) => {
            observed.planned = offer.listening.iter().chain(offer.busy.iter()).collect();
            observed.swept = true;
            let chosen = site.plan.range.choose(&observed.planned);
            observed.ports = sweep(site, seen, &chosen, offer).await;
            observed.busy = chosen.without(&tried(&observed.ports));
        }
        Err(refusal) => {
            observed.no_sweep = Some(refusal);
            observed.ports = dial(site, &site.plan.range.choose(&observed.planned), false).await;
        }
    }
    observed.ports.sort_by_key(|tried| tried.port);
    observed
}

/// Dials what listens; then, on a second offer, what the server kept for its sessions during the first, and once more
/// every hole beside ports that answered: a limit on connections or a lost packet makes holes that are none.
async fn sweep(site: &Site<'_>, seen: &Observations, chosen: &PortSet, first: SweepOffer) -> Vec<PassivePort> {
    let mut found = dial(site, &both(chosen, &first.listening), true).await;
    let (open, holes): (Vec<PassivePort>, Vec<PassivePort>) = found.drain(..).partition(|tried| tried.attempt.stood());
    // Where nothing came through, a few ports more say nothing new.
    let again = if open.is_empty() {
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
    let tries = ports.iter().map(|port| attempt(site, port, swept)).collect::<Vec<_>>();
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
    let answered_as = match stream {
        Some(stream) if swept => answer(site, stream).await,
        _ => None,
    };
    PassivePort {
        port,
        attempt,
        answered_as,
    }
}

/// The port that answers, if it proves to be this server's.
async fn answer(site: &Site<'_>, mut stream: TcpStream) -> Option<u16> {
    let line = timeout(site.limits.reply, async {
        stream.write_all(site.plan.drill.first_line().as_bytes()).await.ok()?;
        let mut line = String::new();
        stream.take(LONGEST_LINE).read_to_string(&mut line).await.ok()?;
        Some(line)
    });
    let answer = SweepAnswer::parse(&line.await.ok()??)?;
    answer.is_proof(site.plan.drill).then_some(answer.port)
}
