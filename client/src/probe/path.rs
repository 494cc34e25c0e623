//! What has to be known of the path where something went wrong: traces, TTLs, and what both hosts count. Asked only where
//! two causes remain; a path on which all is well costs nothing here.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Outcome;
use tokio::time::timeout;

use super::answer_ttl::answer_ttl;
use super::connect::connect;
use super::knock::Knocks;
use super::trace::{Care, trace};
use super::{Site, services_that_answered};
use crate::observation::endurance::Crowd;
use crate::observation::path::{PathFacts, Trace};
use crate::observation::{Attempt, Observations, PassiveTalk};
use crate::plan::{Depth, Range};

/// How many ports of one kind are looked at. Routers answer about six times in a row, and one of these is the reference.
const MOST: usize = 5;

/// How many services are traced where all is well.
const FEW: usize = 4;

/// How long a silent port is waited for once more. A router asks its neighbour three times, a second apart, before it says
/// that a host is not there: more than clients wait.
const PATIENT: Duration = Duration::from_millis(4500);

/// Explores the path to every port that has something to explain, and to one that works.
pub(super) async fn explore(site: &Site<'_>, seen: &Observations) -> PathFacts {
    let mut facts = PathFacts {
        local: local_address(site.address),
        ..seen.path.clone()
    };
    let suspects = suspects(site, seen);
    let patience = patience(seen);
    let elsewhere = elsewhere(site, seen);
    if suspects.is_empty() && elsewhere.is_none() {
        facts.reference = farthest(&facts.traces);
        return facts;
    }
    facts.reference = services_that_answered(seen)
        .into_iter()
        .find(|to| !suspects.iter().any(|one| one.to == *to));
    let answering: Vec<(SocketAddr, Outcome)> = suspects
        .iter()
        .filter(|suspect| matches!(suspect.outcome, Outcome::Refused | Outcome::Open))
        .map(|suspect| (suspect.to, suspect.outcome))
        .chain(facts.reference.map(|to| (to, Outcome::Open)))
        .collect();
    let traced: Vec<SocketAddr> = suspects
        .iter()
        .map(|suspect| suspect.to)
        .chain(elsewhere)
        .chain(facts.reference)
        .collect();
    let brief = site.plan.depth == Depth::Brief;
    let care = if brief { Care::Light } else { Care::Full };
    // First, and alone: the answers that the other probes leave unheard would be counted too.
    if !suspects.is_empty() {
        let knocks = Knocks::new(site, seen, patience);
        facts.knocks = timeout(
            site.left(),
            knocks.at_all(if brief { few(&suspects) } else { &suspects }),
        )
        .await
        .unwrap_or_default();
    }
    let silent = suspects.iter().filter(|suspect| suspect.outcome == Outcome::Timeout);
    let walked = async {
        tokio::join!(
            join_all(traced.iter().map(|to| trace(*to, patience, care))),
            join_all(silent.map(|suspect| connect(suspect.to, if brief { site.limits.connect } else { PATIENT })))
        )
    };
    let ttls = answering
        .iter()
        .map(|(to, outcome)| answer_ttl(*to, *outcome, patience));
    let walked = async { timeout(site.left(), walked).await };
    let ttls = async { timeout(site.left(), join_all(ttls)).await.unwrap_or_default() };
    // A firewall in production may mind many SYNs at a time.
    let (walked, ttls) = match brief {
        true => tokio::join!(walked, ttls),
        false => (walked.await, ttls.await),
    };
    if let Ok((traces, patient)) = walked {
        facts.traces = traces;
        facts.patient = patient.into_iter().map(|(attempt, _)| attempt).collect();
    }
    facts.answers = ttls.into_iter().flatten().collect();
    facts
}

/// One knock takes half a second, and what one port tells the next one mostly tells too.
fn few(suspects: &[Suspect]) -> &[Suspect] {
    &suspects[..suspects.len().min(FEW / 2)]
}

/// Traces of services that work, where nothing has to be explained so far: a proxy does not show in anything else.
pub(super) async fn glance(site: &Site<'_>, seen: &Observations) -> Vec<Trace> {
    if site.plan.range == Range::None || !suspects(site, seen).is_empty() {
        return Vec::new();
    }
    let patience = patience(seen);
    let services = services_that_answered(seen).into_iter().take(FEW);
    join_all(services.map(|to| trace(to, patience, Care::Light))).await
}

/// Of traces of services that work, the longest: who answers nearer may be somebody else.
fn farthest(traces: &[Trace]) -> Option<SocketAddr> {
    let answered = traces.iter().filter_map(|trace| Some((trace.answered()?, trace.to)));
    answered.max_by_key(|(hop, _)| *hop).map(|(_, to)| to)
}

/// A port whose state has more than one explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) to: SocketAddr,
    /// Absent for a port that nothing of the estate has.
    pub(super) flow: Option<Flow>,
    /// [`Outcome::Open`] for a connection that stood and on which the service did not speak.
    pub(super) outcome: Outcome,
}

fn suspects(site: &Site<'_>, seen: &Observations) -> Vec<Suspect> {
    let wanted = |flow| site.plan.estate.expected(&site.plan.vantage, flow) == Expected::Open;
    let mut suspects: Vec<Suspect> = seen
        .attempts
        .iter()
        .filter(|(flow, _)| wanted(**flow))
        .filter_map(|(flow, attempt)| suspect(*flow, attempt, seen))
        .take(MOST)
        .collect();
    // One port of the range stands for all of them.
    let hindered = seen.endurance.crowd.as_ref().is_some_and(Crowd::hindered);
    if wanted(Flow::FtpPassive) && !hindered && !is_opened_for_sessions(seen) {
        suspects.extend(seen.passive.ports.iter().find_map(|port| {
            let outcome = port.attempt.outcome;
            let lost = matches!(outcome, Outcome::Timeout | Outcome::Unreachable)
                || seen.passive.swept && outcome == Outcome::Refused;
            lost.then_some(Suspect {
                to: port.attempt.to,
                flow: Some(Flow::FtpPassive),
                outcome,
            })
        }));
    }
    // Who answers for ports that nobody planned? One of them stands for all.
    suspects.extend(seen.path.unplanned.iter().find_map(|attempt| {
        let answers = matches!(attempt.outcome, Outcome::Open | Outcome::Refused);
        answers.then_some(Suspect {
            to: attempt.to,
            flow: None,
            outcome: Outcome::Refused,
        })
    }));
    suspects
}

/// Another address than the dialled one, to which the reply to PASV sends clients in vain: where does the way to it lead?
fn elsewhere(site: &Site<'_>, seen: &Observations) -> Option<SocketAddr> {
    let told = |talk: &PassiveTalk| talk.told.filter(|told| told.ip() != site.address);
    let lost = |talk: &&PassiveTalk| talk.data.as_ref().is_some_and(|data| !data.stood());
    let mut talks = seen.ftp.iter().flat_map(|talk| &talk.passive);
    let talk = talks.find(|talk| lost(talk) && told(talk).is_some())?;
    told(talk)
}

/// Whether every session's data connection worked and no port of the range did beside them: a helper opens them one by one,
/// and nobody is to blame.
fn is_opened_for_sessions(seen: &Observations) -> bool {
    let mut talks = seen.ftp.iter().flat_map(|talk| &talk.passive).peekable();
    let ports = &seen.passive.ports;
    talks.peek().is_some() && talks.all(PassiveTalk::worked) && ports.iter().all(|tried| !tried.attempt.stood())
}

fn suspect(flow: Flow, attempt: &Attempt, seen: &Observations) -> Option<Suspect> {
    let sentinel = matches!(
        flow,
        Flow::Agent | Flow::Events | Flow::Console | Flow::System | Flow::SelfEvents
    );
    if sentinel && attempt.stood() && seen.evidence.joined().is_none() {
        // Somebody else's service on these ports need not answer us.
        return None;
    }
    let outcome = match attempt.outcome {
        Outcome::CheckFailed => return None,
        Outcome::Open | Outcome::Reset if !seen.spoke(flow) => Outcome::Open,
        Outcome::Open => return None,
        lost => lost,
    };
    Some(Suspect {
        to: attempt.to,
        flow: Some(flow),
        outcome,
    })
}

/// Round trips of this length, milliseconds, make a dialogue last for seconds.
const LONG_MS: f64 = 150.0;

/// Whether even the fastest handshake took long.
pub(super) fn is_long(seen: &Observations) -> bool {
    let stood = seen.attempts.values().filter(|attempt| attempt.stood());
    let fastest = stood.filter_map(|attempt| attempt.rtt_ms).fold(f64::INFINITY, f64::min);
    fastest.is_finite() && fastest >= LONG_MS
}

/// How long a hop gets to answer: a few round trips, as far as they are known.
fn patience(seen: &Observations) -> Duration {
    let stood = seen.attempts.values().filter(|attempt| attempt.stood());
    let mut times: Vec<f64> = stood.filter_map(|attempt| attempt.rtt_ms).collect();
    times.sort_by(f64::total_cmp);
    // Not the slowest: a handshake that needed a second SYN says nothing about the path's length.
    let Some(usual) = times.get(times.len() / 2) else {
        return Duration::from_millis(800);
    };
    Duration::from_secs_f64((usual * 4.0 / 1000.0).clamp(0.3, 2.5))
}

/// The address from which the target is dialled. Connecting a UDP socket sends nothing.
pub(super) fn local_address(target: IpAddr) -> Option<IpAddr> {
    let any: SocketAddr = match target {
        IpAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        IpAddr::V6(_) => ([0; 8], 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any).ok()?;
    socket.connect((target, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}
