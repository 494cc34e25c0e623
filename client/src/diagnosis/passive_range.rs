//! Data connections do not reach the passive range: `passive-range-blocked`, `-rejected`, `-partial`.
//!
//! Which ports let a connection through is only known where the server listened on them: during a
//! sweep, or for the one port a session was given.

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::{Outcome, PassiveRange};

use super::Diagnosis;
use super::facts::Facts;
use crate::observation::{PassiveCommand, PassiveTalk};

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    if facts.expected(Flow::FtpPassive) != Expected::Open {
        return Vec::new();
    }
    let blocked = blocked(facts);
    let open = open(facts);
    let finding = if blocked.is_empty() {
        None
    } else if open.is_empty() {
        let refusal = |outcome| matches!(outcome, Outcome::Refused | Outcome::Unreachable);
        let refused = tried(facts, refusal)
            .iter()
            .chain(in_sessions(facts, refusal).iter())
            .collect();
        let rejected = blocked.without(&refused).is_empty();
        Some(whole(facts, rejected, &blocked))
    } else {
        Some(partial(facts, &open, &blocked))
    };
    finding
        .map(|finding| Diagnosis {
            finding,
            explains: vec![Flow::FtpPassive],
        })
        .into_iter()
        .collect()
}

/// The report's line about the range.
pub(super) fn result(facts: &Facts) -> Option<PassiveRange> {
    let planned = facts.seen.passive.planned.clone();
    if !facts.estate.ftp.enabled || planned.is_empty() {
        return None;
    }
    let inside = |ports: PortSet| -> PortSet { ports.iter().filter(|port| planned.contains(*port)).collect() };
    let (open, blocked) = (inside(open(facts)), inside(blocked(facts)));
    let untested = planned.without(&open).without(&blocked);
    Some(PassiveRange {
        planned,
        open,
        blocked,
        untested,
    })
}

/// Ports on which the server listened and to which no connection came through.
pub(super) fn blocked(facts: &Facts) -> PortSet {
    let swept = facts.seen.passive.swept;
    let lost = |outcome: Outcome| {
        // Without a sweep nothing listens there: a RST may be the server's own, silence is not.
        matches!(outcome, Outcome::Timeout | Outcome::Unreachable) || swept && outcome == Outcome::Refused
    };
    let session_lost = |outcome| matches!(outcome, Outcome::Timeout | Outcome::Unreachable | Outcome::Refused);
    // A port that let one connection through a moment ago is not blocked.
    tried(facts, lost)
        .iter()
        .chain(in_sessions(facts, session_lost).iter())
        .collect::<PortSet>()
        .without(&open(facts))
}

/// How many ports were tried, in sessions and beside them.
pub(super) fn tried_count(facts: &Facts) -> usize {
    tried(facts, |_| true)
        .iter()
        .chain(in_sessions(facts, |_| true).iter())
        .collect::<PortSet>()
        .len()
}

/// Ports through which a connection came, to this server as far as it could be asked.
fn open(facts: &Facts) -> PortSet {
    let stood = |outcome| outcome == Outcome::Open;
    tried(facts, stood)
        .iter()
        .chain(in_sessions(facts, stood).iter())
        .collect()
}

fn tried(facts: &Facts, which: impl Fn(Outcome) -> bool) -> PortSet {
    facts
        .seen
        .passive
        .ports
        .iter()
        .filter(|tried| which(tried.attempt.outcome))
        .map(|tried| tried.port)
        .collect()
}

/// Data connections to the control connection's address; another address is another question.
fn data_connections<'a>(facts: &Facts<'a>) -> impl Iterator<Item = &'a PassiveTalk> {
    let dialled = facts.address();
    [PassiveCommand::Epsv, PassiveCommand::Pasv]
        .into_iter()
        .filter_map(|command| facts.passive(command))
        .filter(move |talk| talk.told.map(|told| told.ip()) == dialled)
}

/// The ports of data connections that ended so.
fn in_sessions(facts: &Facts, which: impl Fn(Outcome) -> bool) -> PortSet {
    data_connections(facts)
        .filter_map(|talk| talk.data.as_ref())
        .filter(|data| which(data.outcome))
        .map(|data| data.to.port())
        .collect()
}

fn whole(facts: &Facts, rejected: bool, blocked: &PortSet) -> Finding {
    use FindingId::{
        AlgDropsReply, ClientEgressDataBlocked, DataReturnPathBroken, PassiveRangeBlocked, PassiveRangeNotForwarded,
        PassiveRangeRejected, PassiveRangeWrongHost, ServerHostBlocked,
    };
    let planned = &facts.seen.passive.planned;
    let range = if planned.is_empty() { blocked } else { planned };
    let (id, how) = if rejected {
        (PassiveRangeRejected, "rejected")
    } else {
        (PassiveRangeBlocked, "blocked")
    };
    let alternatives = if rejected {
        vec![
            PassiveRangeWrongHost,
            PassiveRangeNotForwarded,
            ServerHostBlocked,
            ClientEgressDataBlocked,
        ]
    } else {
        let mut others = vec![
            PassiveRangeNotForwarded,
            ClientEgressDataBlocked,
            ServerHostBlocked,
            DataReturnPathBroken,
        ];
        if !facts.seen.passive.swept {
            others.push(AlgDropsReply);
        }
        others
    };
    Finding {
        id,
        severity: Severity::Error,
        confidence: Confidence::Likely,
        flow: Flow::FtpPassive,
        summary: format!("the passive range {range} is {how}: the control connection works, no data connection does"),
        place: Place::Unknown,
        evidence: evidence(facts, blocked),
        remedy: format!(
            "accept new connections to tcp dport {{ {range} }} at {} in the forward chain, beside TCP {} (and forward them to the server, where the firewall is a NAT)",
            facts.seen.target, facts.estate.ftp.port
        ),
        alternatives,
    }
}

fn partial(facts: &Facts, open: &PortSet, blocked: &PortSet) -> Finding {
    let gap = facts.seen.passive.planned.without(open);
    let all_tried = facts
        .seen
        .passive
        .planned
        .without(&open.iter().chain(blocked.iter()).collect())
        .is_empty();
    let exact = if all_tried {
        format!("{blocked}")
    } else {
        format!("at least {blocked}")
    };
    Finding {
        id: FindingId::PassiveRangePartial,
        severity: Severity::Error,
        confidence: if facts.seen.passive.swept {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        flow: Flow::FtpPassive,
        summary: format!("part of the passive range is blocked ({exact}): downloads work or fail by chance"),
        place: Place::Unknown,
        evidence: evidence(facts, blocked)
            .into_iter()
            .chain([format!("a connection came through on {open}")])
            .collect(),
        remedy: format!(
            "accept tcp dport {{ {} }} to {} as a whole{}",
            facts.seen.passive.planned,
            facts.seen.target,
            if all_tried {
                String::new()
            } else {
                format!("; not known yet: {} (probe with --full-range)", gap.without(blocked))
            }
        ),
        alternatives: if facts.seen.passive.swept {
            Vec::new()
        } else {
            vec![FindingId::PacketLoss, FindingId::ConnectionLimit]
        },
    }
}

fn evidence(facts: &Facts, blocked: &PortSet) -> Vec<String> {
    let mut evidence: Vec<String> = data_connections(facts)
        .filter_map(|talk| {
            let data = talk.data.as_ref()?;
            Some(format!(
                "{} named port {}: {}",
                talk.command.name(),
                data.to.port(),
                data.outcome.name()
            ))
        })
        .collect();
    let passive = &facts.seen.passive;
    if passive.swept {
        evidence.push(format!(
            "the server listened on all of {}; of {} ports tried, {} let nothing through: {blocked}",
            passive.planned,
            tried_count(facts),
            blocked.len()
        ));
    } else if !passive.ports.is_empty() {
        evidence.push(format!(
            "of {} ports dialled without a listener, these stayed silent: {blocked}",
            passive.ports.len()
        ));
    }
    evidence
}
