//! Reaching a port: it refuses, somebody answers for it, nothing answers, or it stands and says nothing.
//!
//! Each port is judged by itself, from where its trace ends compared with that of a port that works, from how far away its
//! answer was made, and from what both hosts counted while it was dialled. Ports with the same cause become one finding.
//! What the facts cannot tell apart stands in `alternatives`.

mod cause;
mod geometry;
mod mute;
mod nobody;
mod refused;
mod silent;
#[cfg(test)]
mod tests;
mod unreachable;
mod words;

use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Outcome;

use super::facts::Facts;
use super::{Diagnosis, list};
use cause::Cause;

/// One finding per cause, naming all ports it holds for.
pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let wanted: Vec<Flow> = facts
        .seen
        .attempts
        .keys()
        .copied()
        .filter(|flow| facts.expected(*flow) == Expected::Open)
        .collect();
    let causes = match nobody::check(facts, &wanted) {
        Some(cause) => vec![(wanted.clone(), cause)],
        None => together(wanted.iter().filter_map(|flow| Some((*flow, judge(facts, *flow)?)))),
    };
    causes
        .into_iter()
        .map(|(flows, cause)| {
            let finding = words::finding(facts, &flows, cause);
            let mut explains = flows;
            // Without a control connection there is no data connection.
            if explains.contains(&Flow::FtpControl) {
                explains.push(Flow::FtpPassive);
            }
            Diagnosis { finding, explains }
        })
        .collect()
}

fn judge(facts: &Facts, flow: Flow) -> Option<Cause> {
    let attempt = facts.attempt(flow)?;
    match attempt.outcome {
        Outcome::Refused => Some(refused::judge(facts, flow, attempt)),
        Outcome::Unreachable => Some(unreachable::judge(facts, attempt)),
        Outcome::Timeout => Some(silent::judge(facts, attempt)),
        Outcome::Open | Outcome::Reset | Outcome::Silent => mute::judge(facts, flow, attempt),
        Outcome::CheckFailed => None,
    }
}

/// Flows with the same cause at the same place.
fn together(judged: impl Iterator<Item = (Flow, Cause)>) -> Vec<(Vec<Flow>, Cause)> {
    let mut groups: Vec<(Vec<Flow>, Cause)> = Vec::new();
    for (flow, cause) in judged {
        match groups.iter_mut().find(|(_, known)| known.is_the_same_as(&cause)) {
            Some((flows, known)) => {
                flows.push(flow);
                known.take(cause);
            }
            None => groups.push((vec![flow], cause)),
        }
    }
    groups
}

/// "2225 (client events) and 3333 (version service)", ascending.
fn named(facts: &Facts, flows: &[Flow]) -> String {
    let mut named: Vec<(u16, &str)> = flows
        .iter()
        .filter_map(|flow| Some((facts.attempt(*flow)?.to.port(), flow.title())))
        .collect();
    named.sort_unstable();
    list(named.iter().map(|(port, title)| format!("{port} ({title})")))
}
