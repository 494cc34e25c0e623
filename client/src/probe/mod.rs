//! The only part of a drill that touches the network: runs a [`Plan`], returns [`Observations`].
//!
//! Probing never fails. A refused port is an observation; a probe that could not run is `check-failed`.

mod active;
mod answer_ttl;
mod beside;
mod connect;
mod content;
mod evidence;
mod family;
mod ftp;
mod greeting;
mod helper;
mod http;
mod knock;
mod passive;
mod path;
mod socket;
mod trace;
mod unplanned;

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use futures_util::future::join_all;
use fwdrill_protocol::estate::Tls;
use fwdrill_protocol::flow::{Expected, Flow};
use jiff::Timestamp;

use tokio::net::TcpStream;

use crate::limits::Limits;
use crate::observation::{
    Attempt, EvidenceFetch, FtpTalk, Greeting, HttpTalk, Observations, PassiveCommand, PassiveObservation, Resolution,
};
use crate::plan::{Depth, Plan};
use ftp::{Privacy, Wanted};
use socket::Reach;

/// Runs every probe of `plan`: all flows at once, then the passive range, then the server's evidence.
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
        evidence: EvidenceFetch::NotAsked,
    };
    seen.content.have = plan.have;
    seen.path.other_family = family::choose(plan, &mut seen.resolution).await;
    if let Some(address) = seen.resolution.addresses.first().copied() {
        let mut site = Site {
            plan,
            address,
            limits: Limits::all(plan.limit),
            segment: None,
        };
        let flows = join_all(plan.estate.flows().filter_map(|flow| site.flow(flow)));
        let (talks, unplanned, upstream) =
            tokio::join!(flows, unplanned::dial(&site), content::upstream::ask(&site, &seen));
        seen.path.unplanned = unplanned;
        seen.content.upstream = upstream;
        for (flow, attempt, talk) in talks {
            seen.attempts.insert(flow, attempt);
            match talk {
                Talk::None => {}
                Talk::Ftp(talk) => seen.ftp = Some(*talk),
                Talk::Version(talk) => seen.version = Some(talk),
                Talk::Http(talk) => seen.http = Some(talk),
                Talk::Greeting(greeting) => drop(seen.greetings.insert(flow, greeting)),
            }
        }
        content::explore(&mut site, &mut seen).await;
        seen.passive = passive::observe(&site, &seen).await;
        content::explore_thoroughly(&site, &mut seen).await;
        seen.beside = beside::ask(&site, &seen).await;
        if plan.evidence {
            seen.evidence = evidence::fetch(&site, &seen).await;
        }
        seen.path = path::explore(&site, &seen).await;
        if plan.evidence && !seen.path.knocks.is_empty() {
            seen.evidence = evidence::fetch(&site, &seen).await;
        }
    }
    seen.elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    seen
}

/// What every probe needs.
#[derive(Clone, Copy)]
struct Site<'a> {
    plan: &'a Plan,
    address: IpAddr,
    limits: Limits,
    /// The largest segment for the drill's own errands, where larger ones do not get through.
    segment: Option<u16>,
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

    /// The probe of a flow with a port of its own.
    fn flow(&self, flow: Flow) -> Option<impl Future<Output = (Flow, Attempt, Talk)> + '_> {
        let to = self.at(self.plan.estate.port(flow)?);
        Some(async move {
            let limit = match self.plan.estate.expected(&self.plan.vantage, flow) {
                Expected::Closed => self.limits.connect.min(unplanned::CLOSED),
                Expected::Open | Expected::Any => self.limits.connect,
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
