//! What is known of each port of the passive range.
//!
//! Which ports let a connection through is only known where the server listened on them: during a
//! sweep, or for the one port a session was given.

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::report::Outcome;

use super::super::facts::Facts;
use crate::observation::{PassiveCommand, PassivePort, PassiveTalk};

/// Ports on which the server listened and to which no connection came through.
pub(in super::super) fn blocked(facts: &Facts) -> PortSet {
    let swept = facts.seen.passive.swept;
    let lost = |outcome: Outcome| {
        // Without a sweep nothing listens there: a RST may be the server's own, silence is not.
        matches!(outcome, Outcome::Timeout | Outcome::Unreachable) || swept && outcome == Outcome::Refused
    };
    let session_lost = |outcome| matches!(outcome, Outcome::Timeout | Outcome::Unreachable | Outcome::Refused);
    let sweep = if holes_are_untrue(facts) || opened_for_sessions(facts) {
        PortSet::default()
    } else {
        tried(facts, lost)
    };
    // A port that let one connection through a moment ago is not blocked.
    sweep
        .iter()
        .chain(in_sessions(facts, session_lost).iter())
        .collect::<PortSet>()
        .without(&open(facts))
}

/// How many ports were tried, in sessions and beside them.
pub(in super::super) fn tried_count(facts: &Facts) -> usize {
    tried(facts, |_| true)
        .iter()
        .chain(in_sessions(facts, |_| true).iter())
        .collect::<PortSet>()
        .len()
}

/// Ports through which a connection came, to this server as far as it could be asked.
pub(super) fn open(facts: &Facts) -> PortSet {
    open_in_sweep(facts)
        .iter()
        .chain(in_sessions(facts, |outcome| outcome == Outcome::Open).iter())
        .collect()
}

/// Of these, those of the sweep; an answer there has to be the server's own, for this very port.
pub(in super::super) fn open_in_sweep(facts: &Facts) -> PortSet {
    let swept = facts.seen.passive.swept;
    let is_open = |tried: &&PassivePort| tried.attempt.stood() && (!swept || tried.answered_as == Some(tried.port));
    facts
        .seen
        .passive
        .ports
        .iter()
        .filter(is_open)
        .map(|tried| tried.port)
        .collect()
}

/// Whether ports that let nothing through among others did so when they were dialled again one by one: then it was the
/// haste, and not the port.
pub(in super::super) fn holes_are_untrue(facts: &Facts) -> bool {
    let again = &facts.seen.passive.again;
    let swept = facts.seen.passive.swept;
    let answers = |outcome| outcome == Outcome::Open || !swept && outcome == Outcome::Refused;
    !again.is_empty() && again.iter().all(|tried| answers(tried.attempt.outcome))
}

/// Whether the range is closed by itself and opened by a helper, port by port, for the sessions that ask for it: every
/// passive mode works, and no port does beside them.
pub(in super::super) fn opened_for_sessions(facts: &Facts) -> bool {
    let passive = &facts.seen.passive;
    let closed = |outcome: Outcome| matches!(outcome, Outcome::Timeout | Outcome::Unreachable);
    let talks: Vec<&PassiveTalk> = facts.seen.ftp.iter().flat_map(|talk| &talk.passive).collect();
    // Of a range of a handful of ports, the sessions may have had the only open ones.
    let enough = passive.ports.len() >= 8;
    let by_themselves = |tried: &PassivePort| {
        closed(tried.attempt.outcome) || passive.swept && tried.attempt.outcome == Outcome::Refused
    };
    talks.len() > 1 && talks.iter().all(|talk| talk.worked()) && enough && passive.ports.iter().all(by_themselves)
}

/// Ports on which nothing listened and that answered all the same: the RST of a host behind an open firewall, or of the
/// firewall itself.
pub(super) fn answered_unswept(facts: &Facts) -> PortSet {
    if facts.seen.passive.swept {
        return PortSet::default();
    }
    tried(facts, |outcome| outcome == Outcome::Refused)
}

pub(super) fn tried(facts: &Facts, which: impl Fn(Outcome) -> bool) -> PortSet {
    let ports = facts.seen.passive.ports.iter();
    ports
        .filter(|tried| which(tried.attempt.outcome))
        .map(|tried| tried.port)
        .collect()
}

/// Data connections to the control connection's address; another address is another question.
pub(super) fn data_connections<'a>(facts: &Facts<'a>) -> impl Iterator<Item = &'a PassiveTalk> {
    let dialled = facts.address();
    [PassiveCommand::Epsv, PassiveCommand::Pasv]
        .into_iter()
        .filter_map(|command| facts.passive(command))
        .filter(move |talk| talk.told.map(|told| told.ip()) == dialled)
}

/// The ports of data connections that ended so.
pub(super) fn in_sessions(facts: &Facts, which: impl Fn(Outcome) -> bool) -> PortSet {
    data_connections(facts)
        .filter_map(|talk| talk.data.as_ref())
        .filter(|data| which(data.outcome))
        .map(|data| data.to.port())
        .collect()
}

/// What was seen, in words.
pub(super) fn evidence(facts: &Facts, blocked: &PortSet) -> Vec<String> {
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
