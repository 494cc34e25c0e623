//! From facts to findings.
//!
//! A rule reads facts and returns diagnoses; it never prints, sleeps, connects or looks at the
//! clock. To add one: a file beside this one, and a line in `RULES`.

mod active;
mod advertised_address;
mod alg;
mod connection_rate;
mod content;
mod data_connection;
mod exposure;
mod facts;
mod family;
mod flows;
mod hairpin;
mod hidden_clients;
mod limits;
mod name;
mod no_passive_port;
mod passive_range;
mod privacy;
mod proxied;
mod reach;
mod task_port;
mod wrong_service;

use std::collections::BTreeSet;

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::finding::{Finding, FindingId};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Report;

use crate::clients;
use crate::observation::Observations;
use facts::Facts;
pub(crate) use facts::is_private;

/// One finding and the flows whose trouble it explains besides its own.
struct Diagnosis {
    finding: Finding,
    explains: Vec<Flow>,
}

type Rule = fn(&Facts) -> Vec<Diagnosis>;

/// Every rule. Their order decides between findings that are equally bad and equally sure.
const RULES: &[Rule] = &[
    name::check,
    family::check,
    limits::crowd::check,
    reach::check,
    wrong_service::check,
    hairpin::check,
    alg::check,
    privacy::check,
    advertised_address::check,
    passive_range::check,
    connection_rate::check,
    data_connection::check,
    no_passive_port::check,
    active::check,
    hidden_clients::check,
    content::check,
    exposure::check,
    task_port::check,
    proxied::check,
    limits::idle::check,
    limits::throughput::check,
];

/// What the facts mean: the report of one drill. Pure; the order of observations does not matter.
pub fn diagnose(estate: &Estate, seen: &Observations) -> Report {
    let facts = Facts::new(estate, seen);
    let flows = flows::results(&facts);
    let findings = findings(&facts);
    let passive_range = passive_range::result(&facts);
    let blocked = passive_range
        .as_ref()
        .map(|range| range.blocked.clone())
        .unwrap_or_default();
    Report {
        schema: Report::SCHEMA.to_owned(),
        drill: seen.drill,
        target: seen.target.clone(),
        vantage: seen.vantage.clone(),
        both_ends: seen.evidence.joined().is_some(),
        started: seen.started,
        elapsed_ms: seen.elapsed_ms,
        verdict: Report::verdict_of(&flows, &findings),
        flows,
        passive_range,
        findings,
        clients: clients::results(estate, seen, &blocked),
        path: seen.road(),
        life: None,
    }
}

fn findings(facts: &Facts) -> Vec<Finding> {
    let mut diagnoses: Vec<Diagnosis> = RULES.iter().flat_map(|rule| rule(facts)).collect();
    // A path that loses packets makes all kinds of silence.
    diagnoses.retain(|diagnosis| !limits::loss::explains(facts, &diagnosis.finding));
    diagnoses.retain(|diagnosis| !limits::throughput::explains(facts, &diagnosis.finding));
    diagnoses.extend(limits::loss::check(facts));
    let mut findings = fold_consequences(diagnoses);
    findings.sort_by_key(|finding| (finding.severity, finding.confidence));
    findings
}

/// A finding about a flow that another finding explains is no finding: it becomes evidence of its
/// cause. Two findings that explain each other are both causes.
fn fold_consequences(diagnoses: Vec<Diagnosis>) -> Vec<Finding> {
    let causes_of = |consequence: &Diagnosis| {
        let flow = consequence.finding.flow;
        diagnoses.iter().position(|cause| {
            cause.finding.flow != flow
                && cause.explains.contains(&flow)
                && !consequence.explains.contains(&cause.finding.flow)
        })
    };
    let cause: Vec<Option<usize>> = diagnoses.iter().map(causes_of).collect();
    let mut told: Vec<Vec<String>> = vec![Vec::new(); diagnoses.len()];
    for (at, cause) in cause.iter().enumerate() {
        if let Some(cause) = cause {
            told[*cause].push(format!("therefore: {}", diagnoses[at].finding.summary));
        }
    }
    diagnoses
        .into_iter()
        .zip(told)
        .zip(cause)
        .filter(|(_, cause)| cause.is_none())
        .map(|((diagnosis, consequences), _)| {
            let mut finding = diagnosis.finding;
            finding.evidence.extend(consequences);
            finding.alternatives = without_repeats(finding.alternatives, finding.id);
            finding
        })
        .collect()
}

fn without_repeats(alternatives: Vec<FindingId>, own: FindingId) -> Vec<FindingId> {
    let mut seen = BTreeSet::from([own]);
    alternatives.into_iter().filter(|id| seen.insert(*id)).collect()
}

/// "3333", "3333 and 2225", "3333, 2225 and 2222".
fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod mutation_tests;
#[cfg(test)]
mod passive_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
