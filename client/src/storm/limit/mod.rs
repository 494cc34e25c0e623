//! Which limit broke first. A rule reads facts and says what it finds; a consequence is not a cause, and what this machine
//! lacks is nobody else's limit.

mod connections;
mod range;
mod sessions;
#[cfg(test)]
mod testing;

use std::time::Duration;

use fwdrill_protocol::finding::{Finding, Severity};
use fwdrill_protocol::report::Verdict;
use fwdrill_protocol::storm::Sum;

use super::facts::Facts;

/// What is said in the end.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) verdict: Verdict,
    pub(super) findings: Vec<Finding>,
    pub(super) sum: Option<Sum>,
}

/// A limit that broke.
#[derive(Debug)]
struct Limit {
    /// When the step began that met it first.
    began: Duration,
    finding: Finding,
    sum: Sum,
}

const RULES: [fn(&Facts) -> Option<Limit>; 3] = [range::check, sessions::check, connections::check];

/// Judges a storm. Where one agent alone did not get through, there is no limit on the number of agents to be found.
pub(super) fn judge(facts: &Facts) -> Judgement {
    let mut limits: Vec<Limit> = match facts.alone {
        None => Vec::new(),
        Some(_) => RULES.iter().filter_map(|rule| rule(facts)).collect(),
    };
    limits.sort_by_key(|limit| limit.began);
    // An agent that has no descriptor for its data connection keeps a passive port from others: what comes after that may be
    // this machine's doing.
    let own = facts.first_own().map(|failures| failures.first.began);
    limits.retain(|limit| own.is_none_or(|own| limit.began < own));
    let foreign = |own: Duration| {
        let mut failures = facts.books.failures.values();
        failures.any(|failures| !failures.first.cause.is_own() && failures.first.began < own)
    };
    let verdict = match own {
        _ if facts.books.failures.is_empty() && facts.stopped => Verdict::Inconclusive,
        _ if facts.books.failures.is_empty() => Verdict::Pass,
        Some(own) if limits.is_empty() && !foreign(own) => Verdict::Inconclusive,
        _ => Verdict::Fail,
    };
    // Everybody came through, only late.
    if facts.books.failures.is_empty() {
        limits
            .iter_mut()
            .for_each(|limit| limit.finding.severity = Severity::Warning);
    }
    let sum = limits.first().map(|limit| limit.sum.clone());
    Judgement {
        verdict,
        findings: limits.into_iter().map(|limit| limit.finding).collect(),
        sum,
    }
}
