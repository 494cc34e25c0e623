//! An experiment: dial a port a few times at once and have the hosts at both ends count. Whoever drops the SYN (or the answer)
//! shows in his own counters, without any privilege.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use fwdrill_protocol::evidence::Evidence;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::host::Counters;
use fwdrill_protocol::report::Outcome;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, sleep, timeout};

use super::connect::connect;
use super::path::Suspect;
use super::{Site, evidence};
use crate::observation::path::{Growth, Knock};
use crate::observation::{EvidenceFetch, Observations};

/// How many SYNs are sent at once: enough to stand out of what a host drops anyway.
const SYNS: usize = 8;

/// How long the connection attempts live: less than the second after which the kernel would repeat a SYN.
const WINDOW: Duration = Duration::from_millis(400);

/// How long a connection that stands may take to say something, and a server to note that it accepted it.
const LISTEN: Duration = Duration::from_millis(700);

/// How long all of it may take; ports that come after that are not knocked at.
const BUDGET: Duration = Duration::from_secs(5);

/// The knocks of one drill.
pub(super) struct Knocks<'a> {
    site: &'a Site<'a>,
    seen: &'a Observations,
    window: Duration,
}

/// What both ends know at one moment.
struct Moment {
    here: Option<Counters>,
    there: Option<Evidence>,
}

impl<'a> Knocks<'a> {
    pub(super) fn new(site: &'a Site<'a>, seen: &'a Observations, patience: Duration) -> Self {
        Knocks {
            site,
            seen,
            window: WINDOW.max(patience).min(Duration::from_millis(900)),
        }
    }

    /// One port after the other, so that each has its own count.
    pub(super) async fn at_all(&self, suspects: &[Suspect]) -> Vec<Knock> {
        let begun = Instant::now();
        let begin = self.moment().await;
        sleep(self.window).await;
        let mut before = self.moment().await;
        let quiet = (
            growth(begin.here, before.here),
            growth(begin.counters(), before.counters()),
        );
        let mut knocks = Vec::new();
        for suspect in suspects {
            if begun.elapsed() > BUDGET {
                break;
            }
            let (syns, stood) = match suspect.outcome {
                Outcome::Open => self.listen_at(suspect.to).await,
                _ => self.dial(suspect.to).await,
            };
            let after = self.moment().await;
            let dialled = (
                growth(before.here, after.here),
                growth(before.counters(), after.counters()),
            );
            let both = |quiet: Option<Counters>, dialled: Option<Counters>| {
                Some(Growth {
                    quiet: quiet?,
                    dialled: dialled?,
                })
            };
            knocks.push(Knock {
                to: suspect.to,
                syns,
                stood,
                client: both(quiet.0, dialled.0),
                server: both(quiet.1, dialled.1),
                half_open: after.half_open(suspect),
                waiting: after.waiting(suspect),
                accepted: suspect.flow.and_then(|flow| accepted(flow, &before, &after)),
            });
            before = after;
        }
        knocks
    }

    async fn moment(&self) -> Moment {
        let there = match (self.site.plan.evidence, &self.seen.evidence) {
            (true, EvidenceFetch::Joined(_)) => match evidence::fetch(self.site, self.seen).await {
                EvidenceFetch::Joined(evidence) => Some(evidence),
                _ => None,
            },
            _ => None,
        };
        Moment { here: here(), there }
    }

    /// Many at once, all given up before the kernel repeats a SYN.
    async fn dial(&self, to: SocketAddr) -> (u64, u64) {
        // The whole window, also where the answer comes at once: what is compared has the same length.
        let (attempts, ()) = tokio::join!(
            join_all((0..SYNS).map(|_| connect(to, self.window))),
            sleep(self.window)
        );
        let stood = attempts.iter().filter(|(attempt, _)| attempt.stood()).count();
        (SYNS as u64, stood as u64)
    }

    /// One connection, on which the service may speak first.
    async fn listen_at(&self, to: SocketAddr) -> (u64, u64) {
        let (attempt, stream) = connect(to, self.window).await;
        if let Some(mut stream) = stream {
            let _ = timeout(LISTEN, stream.read(&mut [0; 64])).await;
        }
        (1, u64::from(attempt.stood()))
    }
}

impl Moment {
    fn counters(&self) -> Option<Counters> {
        Some(self.there.as_ref()?.host.as_ref()?.counters)
    }

    /// By the port as the server knows it: a NAT changes addresses, hardly ever the port of one service.
    fn half_open(&self, suspect: &Suspect) -> Option<u64> {
        let host = self.there.as_ref()?.host.as_ref()?;
        let of_port = |half: &&fwdrill_protocol::host::HalfOpen| half.local.port() == suspect.to.port();
        Some(host.half_open.iter().filter(of_port).count() as u64)
    }

    fn waiting(&self, suspect: &Suspect) -> Option<u64> {
        let host = self.there.as_ref()?.host.as_ref()?;
        let port = suspect.to.port();
        let listeners = host.listening.iter().filter(|listener| listener.address.port() == port);
        listeners.map(|listener| listener.waiting).max()
    }
}

/// Only a service that is named by the client's first words leaves connections without a name.
fn accepted(flow: Flow, before: &Moment, after: &Moment) -> Option<u64> {
    let count = |moment: &Moment| Some(moment.there.as_ref()?.unnamed.get(&flow).copied().unwrap_or(0));
    Some(count(after)?.saturating_sub(count(before)?))
}

fn growth(before: Option<Counters>, after: Option<Counters>) -> Option<Counters> {
    Some(after?.since(&before?))
}

/// This host's own counters.
pub(crate) fn here() -> Option<Counters> {
    let text = |name: &str| std::fs::read_to_string(format!("/proc/net/{name}"));
    Counters::parse(
        &text("snmp").ok()?,
        &text("netstat").unwrap_or_default(),
        &text("snmp6").unwrap_or_default(),
    )
}
