//! Tasks from the server to this client: `task-port-behind-nat`, `task-port-host-blocked`, `task-port-wrong-host`,
//! `task-port-server-egress-blocked`.
//!
//! What tells them apart: does the server see another address than the client has (NAT); how far do its SYNs get, counted in
//! routers that say "time exceeded", against how many routers the client's own packets cross; and did this host receive
//! packets that it did not deliver.

mod words;

use std::net::IpAddr;

use fwdrill_protocol::finding::{Confidence, FindingId, Place};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::{FlowResult, Outcome, Seen, State, Verdict};
use fwdrill_protocol::task_port::TaskPortAnswer;

use super::Diagnosis;
use super::facts::Facts;
use crate::observation::task_port::TaskPort;
use FindingId::{TaskPortBehindNat, TaskPortHostBlocked, TaskPortServerEgressBlocked, TaskPortWrongHost};

/// The server's SYN and its repetition: fewer undelivered packets than that are somebody else's.
const SYNS: u64 = 2;

/// What it is, how sure that is, where, and what else it could be.
struct Cause {
    id: FindingId,
    confidence: Confidence,
    place: Place,
    alternatives: Vec<FindingId>,
}

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let Some(seen) = facts.seen.task_port.as_ref() else {
        return Vec::new();
    };
    let Some(answer) = seen
        .answer
        .as_ref()
        .filter(|_| facts.expected(Flow::Tasks) == Expected::Open)
    else {
        return Vec::new();
    };
    // Who did not listen cannot blame the path.
    if seen.listening.is_none() || !seen.arrivals.is_empty() || answer.proved == Some(true) {
        return Vec::new();
    }
    let way = Way { seen, answer };
    let cause = way.cause();
    cause.map(|cause| words::diagnosis(&way, cause)).into_iter().collect()
}

/// The line of the table, where anything is expected.
pub(super) fn result(facts: &Facts) -> Option<FlowResult> {
    let expected = facts.expected(Flow::Tasks);
    let seen = facts.seen.task_port.as_ref().filter(|_| expected != Expected::Any)?;
    let answer = seen.answer.as_ref();
    let came = !seen.arrivals.is_empty() || answer.is_some_and(|answer| answer.proved == Some(true));
    let (outcome, detail) = match (answer, &seen.not_listening) {
        (_, Some(why)) => (Outcome::CheckFailed, Some(format!("cannot listen there: {why}"))),
        (None, None) => (Outcome::CheckFailed, seen.refusal.clone()),
        (Some(answer), None) if answer.outcome == Outcome::Open && !came => (
            Outcome::Open,
            Some("somebody else than this client answers there".to_owned()),
        ),
        (Some(answer), None) => (answer.outcome, None),
    };
    let verdict = match (outcome.state(), expected) {
        (State::Open, Expected::Open) if !came => Verdict::Fail,
        (state, expected) => state.against(expected),
    };
    Some(FlowResult {
        flow: Flow::Tasks,
        to: answer.map(|answer| answer.to),
        expected,
        state: outcome.state(),
        outcome,
        seen_by_server: if answer.is_some() { Seen::Yes } else { Seen::Unknown },
        rtt_ms: None,
        verdict,
        detail,
    })
}

/// From the server to the client, as far as anybody knows.
struct Way<'a> {
    seen: &'a TaskPort,
    answer: &'a TaskPortAnswer,
}

impl Way<'_> {
    fn cause(&self) -> Option<Cause> {
        match (self.answer.outcome, self.translated()) {
            (Outcome::CheckFailed | Outcome::Silent, _) | (_, None) => None,
            (Outcome::Open, Some(true)) => cause(TaskPortWrongHost, Confidence::Certain, Place::ClientFirewall, []),
            // Somebody between answers in its place.
            (Outcome::Open, Some(false)) => cause(TaskPortWrongHost, Confidence::Likely, Place::Path, []),
            (_, Some(translated)) => self.near_the_server(translated).or_else(|| {
                if translated {
                    self.at_the_nat()
                } else {
                    self.at_the_client()
                }
            }),
        }
    }

    /// Whether the server sees another address than this client has.
    fn translated(&self) -> Option<bool> {
        Some(self.seen.own?.to_canonical() != self.answer.to.ip().to_canonical())
    }

    /// The SYNs get no farther than the first router, or not even there, and there are more routers than that.
    fn near_the_server(&self, translated: bool) -> Option<Cause> {
        let (reached, elsewhere) = (farthest(&self.answer.hops), farthest(&self.answer.hops_elsewhere));
        let first = self.answer.hops.first().copied().flatten();
        if first.is_some() && first == self.answer.offender {
            return cause(
                TaskPortServerEgressBlocked,
                Confidence::Certain,
                Place::ServerFirewall,
                [],
            );
        }
        let place = if reached == 0 {
            Place::ServerHost
        } else {
            Place::ServerFirewall
        };
        if reached <= 1 && elsewhere > reached {
            return cause(TaskPortServerEgressBlocked, Confidence::Certain, place, []);
        }
        // A NAT says nothing itself, so what ends before it may have got there.
        let expected = self.answer.routers?.saturating_sub(u8::from(translated));
        let other = if translated {
            TaskPortBehindNat
        } else {
            TaskPortHostBlocked
        };
        let short = reached == 1 && usize::from(expected) > reached;
        (short && !self.came_to_the_host())
            .then(|| cause(TaskPortServerEgressBlocked, Confidence::Likely, place, [other]))
            .flatten()
    }

    /// There is a NAT. Where it says "time exceeded" itself, it has sent the packet on to somebody.
    fn at_the_nat(&self) -> Option<Cause> {
        let reached = farthest(&self.answer.hops);
        let forwarded = self
            .answer
            .routers
            .is_some_and(|routers| routers > 0 && reached >= usize::from(routers));
        if forwarded && self.came_to_the_host() {
            return cause(
                TaskPortHostBlocked,
                Confidence::Likely,
                Place::ClientHost,
                [TaskPortWrongHost],
            );
        }
        if forwarded {
            return cause(
                TaskPortWrongHost,
                Confidence::Likely,
                Place::ClientFirewall,
                [TaskPortHostBlocked],
            );
        }
        let by_the_nat = self.answer.routers.is_some() && self.answer.outcome == Outcome::Refused && reached >= 1;
        if by_the_nat {
            return cause(TaskPortBehindNat, Confidence::Certain, Place::ClientFirewall, []);
        }
        let mut others = Vec::new();
        if reached < 2 {
            others.push(TaskPortServerEgressBlocked);
        }
        if self.seen.undelivered.is_none_or(|undelivered| undelivered >= SYNS) {
            others.push(TaskPortHostBlocked);
        }
        Some(Cause {
            id: TaskPortBehindNat,
            confidence: Confidence::Likely,
            place: Place::ClientFirewall,
            alternatives: others,
        })
    }

    /// There is no NAT.
    fn at_the_client(&self) -> Option<Cause> {
        let reached = farthest(&self.answer.hops);
        let arrived = self
            .answer
            .routers
            .is_some_and(|routers| reached >= usize::from(routers));
        let refused_itself = self.answer.offender.map(|offender| offender.to_canonical()) == self.own();
        match (self.came_to_the_host() || refused_itself, arrived) {
            (true, true) => cause(TaskPortHostBlocked, Confidence::Certain, Place::ClientHost, []),
            (true, false) => cause(
                TaskPortHostBlocked,
                Confidence::Likely,
                Place::ClientHost,
                [TaskPortServerEgressBlocked],
            ),
            // The last router before the client may be a firewall, and with one router it is the server's.
            (false, true) if reached == 1 && self.seen.undelivered.is_none() => cause(
                TaskPortServerEgressBlocked,
                Confidence::Possible,
                Place::ServerFirewall,
                [TaskPortHostBlocked],
            ),
            (false, true) if self.seen.undelivered.is_none() => cause(
                TaskPortHostBlocked,
                Confidence::Likely,
                Place::ClientHost,
                [TaskPortServerEgressBlocked],
            ),
            (false, true) if reached == 1 && self.seen.undelivered == Some(0) => cause(
                TaskPortServerEgressBlocked,
                Confidence::Likely,
                Place::ServerFirewall,
                [TaskPortHostBlocked],
            ),
            (false, true) => cause(
                TaskPortHostBlocked,
                Confidence::Possible,
                Place::Unknown,
                [TaskPortServerEgressBlocked],
            ),
            (false, false) => cause(
                TaskPortServerEgressBlocked,
                Confidence::Possible,
                Place::Path,
                [TaskPortHostBlocked],
            ),
        }
    }

    fn own(&self) -> Option<IpAddr> {
        Some(self.seen.own?.to_canonical())
    }

    /// Whether this host received the SYNs and its own firewall dropped them.
    fn came_to_the_host(&self) -> bool {
        self.seen.undelivered.is_some_and(|undelivered| undelivered >= SYNS)
    }
}

/// How many routers the SYNs certainly got to.
fn farthest(hops: &[Option<IpAddr>]) -> usize {
    hops.iter().rposition(Option::is_some).map_or(0, |last| last + 1)
}

fn cause<const N: usize>(
    id: FindingId,
    confidence: Confidence,
    place: Place,
    alternatives: [FindingId; N],
) -> Option<Cause> {
    Some(Cause {
        id,
        confidence,
        place,
        alternatives: alternatives.to_vec(),
    })
}

#[cfg(test)]
mod tests;
