//! What is said of a ruleset's rehearsal: a renderer turns it into a string.

mod json;
mod markdown;
mod text;

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::changes::{Change, Kind};
use super::topology::Family;
use super::{Outcome, Row};

pub(crate) use json::render as json;
pub(crate) use markdown::render as markdown;
pub(crate) use text::render as text;

/// `a.v4 + a.v6`
fn list(files: &[PathBuf]) -> String {
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    files.join(" + ")
}

/// `outside`, or `outside, IPv6`.
fn place(row: &Row) -> String {
    match row.view.family {
        Family::V4 => row.view.vantage.clone(),
        Family::V6 => format!("{}, IPv6", row.view.vantage),
    }
}

/// "2 worse, 1 newly exposed", or that nothing changes.
fn sum(outcome: &Outcome) -> String {
    let mut counted: BTreeMap<Kind, usize> = BTreeMap::new();
    for (_, change) in changes(outcome) {
        *counted.entry(change.kind).or_default() += 1;
    }
    let undone = outcome.seen().filter(|seen| seen.report.is_err()).count();
    let mut told: Vec<String> = counted
        .iter()
        .map(|(kind, count)| format!("{count} {}", kind.name()))
        .collect();
    if undone > 0 {
        told.push(format!("{undone} not carried out"));
    }
    if told.is_empty() {
        "nothing changes for the service".to_owned()
    } else {
        told.join(", ")
    }
}

/// All changes, the worst first, each with its place.
fn changes(outcome: &Outcome) -> Vec<(&Row, &Change)> {
    let mut all: Vec<(&Row, &Change)> = outcome
        .rows
        .iter()
        .flat_map(|row| row.changes.iter().map(move |change| (row, change)))
        .collect();
    all.sort_by_key(|(_, change)| change.kind);
    all
}

/// Each line once.
fn lines<'a>(decided: impl IntoIterator<Item = &'a super::decision::Decided>) -> Vec<String> {
    once(decided.into_iter().map(super::decision::Decided::told))
}

/// Why the rule that decided is not known, for all where it is not.
fn untraced(outcome: &Outcome) -> Vec<String> {
    let whys = outcome.seen().filter_map(|seen| seen.untraced.as_ref());
    once(whys.map(|why| format!("which rule decided is not known: {why}")))
}

/// In their order, each the first time that it comes.
fn once(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for line in lines {
        if !once.contains(&line) {
            once.push(line);
        }
    }
    once
}
