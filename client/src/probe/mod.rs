//! The only part of a drill that touches the network: runs a [`Plan`], returns [`Observations`].
//!
//! Probing never fails. A refused port is an observation; a probe that could not run is `check-failed`.

mod active;
mod again;
mod answer_ttl;
mod beside;
mod connect;
mod content;
mod endurance;
mod evidence;
mod family;
mod ftp;
mod greeting;
mod helper;
mod http;
mod knock;
mod meanwhile;
mod passive;
mod path;
mod socket;
mod task_port;
mod trace;
mod unplanned;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicU16;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use fwdrill_protocol::estate::Tls;
use fwdrill_protocol::flow::{Expected, Flow};
use jiff::Timestamp;
use tokio::time::timeout;
use tracing::debug;

use tokio::net::TcpStream;

use crate::limits::Limits;
use crate::observation::{
    Attempt, EvidenceFetch, FtpTalk, Greeting, HttpTalk, Observations, PassiveCommand, PassiveObservation, Resolution,
};
use crate::plan::{Depth, Plan, Range};
use endurance::idle;
use ftp::{Privacy, Wanted};
pub(crate) use knock::here as counters_here;
use meanwhile::Meanwhile;
use socket::Reach;

/// What is not begun after this long is left out. The worst drill should take 20 s; with less than this, causes that are told
/// apart late were not told apart on a busy machine.
const LONGEST: Duration = Duration::from_secs(25);

/// How long what is begun in time may go on after it.
const ONE_MORE: Duration = Duration::from_millis(1500);

/// Runs every probe of `plan`: all flows at once, then the passive range, then the server's evidence, then whatever is left
/// to be explained. What takes long goes on beside all that.
pub async fn run(plan: &Plan) -> Observations {
    let begun = Instant::now();
    let mut seen = Observations {
        drill: plan.drill,
        target: plan.target.clone(),
        vantage: plan.vantage.clone(),
        started: Timestamp::now(),
        elapsed_ms: 0,
        resolution: resolve(&plan.target).await,
        attempts: Default::default(),
        ftp: None,
        version: None,
        http: None,
        greetings: Default::default(),
        passive: PassiveObservation {
            planned: plan.estate.handed_out_ports(),
            ..Default::default()
        },
        path: Default::default(),
        content: Default::default(),
        beside: Default::default(),
        endurance: Default::default(),
        task_port: None,
        evidence: EvidenceFetch::NotAsked,
    };
    seen.content.have = plan.have;
    seen.path.other_family = family::choose(plan, &mut seen.resolution).await;
    if let Some(address) = seen.resolution.addresses.first().copied() {
        let held = AtomicU16::new(0);
        let site = Site {
            plan,
            address,
            limits: Limits::all(plan.limit),
            segment: None,
            until: begun + LONGEST,
            held: &held,
        };
        observe(site, &mut seen).await;
    }
    seen.elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    seen
}

async fn observe(mut site: Site<'_>, seen: &mut Observations) {
    let (served, others): (Vec<Flow>, Vec<Flow>) = site.plan.estate.flows().partition(|flow| site.serves(*flow));
    let first_site = site;
    let probed = seen.resolution.addresses.clone();
    // Ports that must be closed are silent for a second and more: nobody has to wait for them.
    let mut closed = Meanwhile::new(async {
        tokio::join!(
            first_site.all(others),
            unplanned::dial(&first_site),
            content::upstream::ask(&first_site, &probed)
        )
    });
    let swept = closed.during(first(&site, seen, served)).await;
    debug!(left = ?site.left(), "services");
    // Where connections fare well now and badly then, that comes first: it decides what the rest is worth.
    closed.during(again::talk(&site, seen)).await;
    if endurance::looks_limited(seen) {
        seen.endurance.crowd = closed.during(endurance::crowd(&site, seen, 0)).await;
    }
    let left = site.left();
    // What is not known by then of content stays unknown.
    let _ = closed.during(timeout(left, content::explore(&mut site, seen))).await;
    debug!(left = ?site.left(), "content");
    let site = &site;
    let session = endurance::session(site, seen);
    let besides = if session.is_some() { idle::SESSIONS } else { 0 };
    let mut idle = Meanwhile::new(endurance::idle(site, session));
    let rest = async {
        closed.during(ranges(site, seen, swept)).await;
        let (talks, unplanned, upstream) = closed.end().await;
        talks.into_iter().for_each(|talk| enter(seen, talk));
        seen.path.unplanned = unplanned;
        seen.content.upstream = upstream;
        explain(site, seen, besides).await;
    };
    idle.during(rest).await;
    seen.endurance.idle = idle.end().await;
}

/// All services. An FTP dialogue is eleven answers, one after the other: on a path so long that this takes seconds the sweep
/// of the passive range goes on beside it. Elsewhere it waits, so that neither disturbs the other.
async fn first(site: &Site<'_>, seen: &mut Observations, flows: Vec<Flow>) -> Option<PassiveObservation> {
    let (dialogue, others): (Vec<Flow>, Vec<Flow>) = flows.into_iter().partition(|flow| *flow == Flow::FtpControl);
    let mut dialogue = Meanwhile::new(site.all(dialogue));
    let talks = dialogue.during(site.all(others)).await;
    talks.into_iter().for_each(|talk| enter(seen, talk));
    let mut beside = None;
    let sample = site.plan.range == Range::Sample;
    if sample && path::is_long(seen) && !endurance::looks_limited(seen) {
        beside = Some(dialogue.during(passive::observe(site, seen)).await);
    }
    dialogue.end().await.into_iter().for_each(|talk| enter(seen, talk));
    beside.filter(|_| passive::is_wanted(site, seen))
}

/// The passive range, and what the server saw.
async fn ranges(site: &Site<'_>, seen: &mut Observations, known: Option<PassiveObservation>) {
    seen.endurance.speed = endurance::speed(site, seen).await;
    let swept = async {
        match known {
            None if passive::is_wanted(site, seen) => {
                timeout(site.left() + ONE_MORE, passive::observe(site, seen)).await.ok()
            }
            known => known,
        }
    };
    // Both count on seconds of silence, and in a rehearsal nobody else's packets come in between.
    let brief = site.plan.depth == Depth::Brief;
    let beside = async {
        match brief {
            true => task_port::ask(site, seen).await,
            false => None,
        }
    };
    let (swept, asked) = tokio::join!(swept, beside);
    if let Some(swept) = swept {
        seen.passive = swept;
    }
    debug!(left = ?site.left(), "passive range");
    let _ = timeout(site.left() + ONE_MORE, content::explore_thoroughly(site, seen)).await;
    seen.beside = timeout(site.left() + ONE_MORE, beside::ask(site, seen))
        .await
        .unwrap_or_default();
    seen.task_port = match brief {
        true => asked,
        false => task_port::ask(site, seen).await,
    };
    let fetched = async {
        match site.plan.evidence {
            true => site.evidence(seen).await,
            false => EvidenceFetch::NotAsked,
        }
    };
    (seen.evidence, seen.path.traces) = tokio::join!(fetched, path::glance(site, seen));
}

/// What takes long, and only where something has to be explained or the plan wants it.
async fn explain(site: &Site<'_>, seen: &mut Observations, besides: usize) {
    seen.path = path::explore(site, seen).await;
    debug!(left = ?site.left(), "path");
    if site.plan.evidence && !seen.path.knocks.is_empty() {
        seen.evidence = site.evidence(seen).await;
    }
    if seen.endurance.crowd.is_none() {
        seen.endurance.crowd = endurance::crowd(site, seen, besides).await;
    }
}

/// What one flow's conversation came to.
fn enter(seen: &mut Observations, (flow, attempt, talk): (Flow, Attempt, Talk)) {
    seen.attempts.insert(flow, attempt);
    match talk {
        Talk::None => {}
        Talk::Ftp(talk) => seen.ftp = Some(*talk),
        Talk::Version(talk) => seen.version = Some(talk),
        Talk::Http(talk) => seen.http = Some(talk),
        Talk::Greeting(greeting) => drop(seen.greetings.insert(flow, greeting)),
    }
}

/// What every probe needs.
#[derive(Clone, Copy)]
struct Site<'a> {
    plan: &'a Plan,
    address: IpAddr,
    limits: Limits,
    /// The largest segment for the drill's own errands, where larger ones do not get through.
    segment: Option<u16>,
    /// When nothing new is begun any more that takes seconds.
    until: Instant,
    /// The passive port that an idle session waits at, or 0: whoever else connects there has its transfer.
    held: &'a AtomicU16,
}

/// What was said after a handshake.
enum Talk {
    None,
    Ftp(Box<FtpTalk>),
    Version(HttpTalk),
    Http(HttpTalk),
    Greeting(Greeting),
}

impl Site<'_> {
    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    /// A connection for the drill's own errands.
    async fn connect(&self, to: SocketAddr) -> (Attempt, Option<TcpStream>) {
        let reach = Reach {
            segment: self.segment,
            ..Reach::default()
        };
        connect::connect_as_far_as(to, self.limits.connect, reach).await
    }

    /// The dialogue of this estate's clients: in clear, unless that is forbidden.
    fn dialogue(&self) -> Wanted<'static> {
        Wanted {
            privacy: match self.plan.estate.ftp.tls {
                Tls::Off | Tls::Optional => Privacy::Clear,
                Tls::Required => Privacy::Tls,
            },
            modes: &[PassiveCommand::Epsv, PassiveCommand::Pasv],
            active: self.plan.depth >= Depth::Usual,
        }
    }

    /// Whether the rest depends on this flow: services that talk, and whatever must be open.
    fn serves(&self, flow: Flow) -> bool {
        matches!(flow, Flow::FtpControl | Flow::Version | Flow::Http)
            || self.plan.estate.expected(&self.plan.vantage, flow) == Expected::Open
    }

    /// The probes of these flows, all at once.
    async fn all(&self, flows: Vec<Flow>) -> Vec<(Flow, Attempt, Talk)> {
        join_all(flows.into_iter().filter_map(|flow| self.flow(flow))).await
    }

    /// What the server saw, if it can be had in the time that is left and a little more.
    async fn evidence(&self, seen: &Observations) -> EvidenceFetch {
        match timeout(self.left() + ONE_MORE, evidence::fetch(self, seen)).await {
            Ok(fetched) => fetched,
            Err(_) => EvidenceFetch::Unavailable("no time was left to ask for it".to_owned()),
        }
    }

    /// How much time is left.
    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// The probe of a flow with a port of its own.
    fn flow(&self, flow: Flow) -> Option<impl Future<Output = (Flow, Attempt, Talk)> + '_> {
        let to = self.at(self.plan.estate.port(flow)?);
        Some(async move {
            let limit = match self.serves(flow) {
                true => self.limits.connect,
                false => self.limits.connect.min(unplanned::CLOSED),
            };
            let (attempt, stream) = connect::connect(to, limit).await;
            let Some(stream) = stream else {
                return (flow, attempt, Talk::None);
            };
            let talk = match flow {
                Flow::FtpControl => Talk::Ftp(Box::new(ftp::talk(self, stream, self.dialogue()).await)),
                Flow::Version => Talk::Version(http::version(self, stream, to).await),
                Flow::Http => Talk::Http(http::download(self, stream, to).await),
                _ => Talk::Greeting(greeting::exchange(self, flow, stream).await),
            };
            (flow, attempt, talk)
        })
    }
}

/// Ports of services that answered in their own protocol, the best to compare with first: outside the passive range, and
/// with the least to lose.
fn services_that_answered(seen: &Observations) -> Vec<SocketAddr> {
    [
        Flow::Http,
        Flow::Events,
        Flow::Agent,
        Flow::FtpControl,
        Flow::Console,
        Flow::Version,
    ]
    .into_iter()
    .filter(|flow| seen.spoke(*flow))
    .filter_map(|flow| Some(seen.attempts.get(&flow)?.to))
    .collect()
}

/// Asks the system's resolver, as a client would.
async fn resolve(target: &str) -> Resolution {
    if let Ok(address) = target.parse() {
        return Resolution {
            addresses: vec![address],
            error: None,
        };
    }
    match tokio::net::lookup_host((target, 0)).await {
        Ok(found) => {
            let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            addresses.dedup();
            Resolution { addresses, error: None }
        }
        Err(error) => Resolution {
            addresses: Vec::new(),
            error: Some(error.to_string()),
        },
    }
}
