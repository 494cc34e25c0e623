//! Two reports from the same place: what is worse, better, newly exposed.

use fwdrill_protocol::finding::{Finding, FindingId, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::{FlowResult, Report, State, Verdict};
use serde::Serialize;

use super::Seen;
use super::decision::{Decided, Fate};

/// One thing that the change changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    pub(crate) kind: Kind,
    pub(crate) flow: Flow,
    /// In a few words.
    pub(crate) before: String,
    pub(crate) after: String,
    /// What explains it: found now, or for the better found before.
    pub(crate) finding: Option<FindingId>,
    /// One sentence of that.
    pub(crate) summary: Option<String>,
    /// Which rules decided, now or for the better before.
    pub(crate) decided: Vec<Decided>,
}

/// What a change is for the service. The order is that of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Something that is planned works no more.
    Worse,
    /// Something can be reached that must not be.
    Exposed,
    /// It cannot be told any more, which nothing else explains.
    Unclear,
    Better,
    /// Neither: nobody minds, or it is as bad as before in another way.
    Changed,
}

impl Kind {
    /// One or two words for a table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Worse => "worse",
            Kind::Exposed => "newly exposed",
            Kind::Unclear => "unclear",
            Kind::Better => "better",
            Kind::Changed => "changed",
        }
    }
}

const EXPOSURES: &[FindingId] = &[
    FindingId::ForbiddenPortOpen,
    FindingId::ConsoleExposed,
    FindingId::ExposedBeyondPlan,
];

/// What differs; empty where a report is missing.
pub(super) fn changes(old: &Seen, new: &Seen) -> Vec<Change> {
    let (Ok(before), Ok(after)) = (&old.report, &new.report) else {
        return Vec::new();
    };
    let appeared = missing_in(after, before);
    let vanished = missing_in(before, after);
    let mut changes: Vec<Change> = Vec::new();
    for (was, is) in pairs(before, after) {
        let Some(kind) = of_flow(was, is) else { continue };
        let explained_by = if kind == Kind::Better { &vanished } else { &appeared };
        let finding = explained_by.iter().find(|finding| finding.flow == is.flow);
        let seen = if kind == Kind::Better { old } else { new };
        changes.push(Change {
            kind,
            flow: is.flow,
            before: state(was, before),
            after: state(is, after),
            finding: finding.map(|finding| finding.id),
            summary: finding.map(|finding| finding.summary.clone()),
            decided: decided(seen, is.flow, finding.is_some()),
        });
    }
    let named: Vec<(Flow, Option<FindingId>)> = changes.iter().map(|change| (change.flow, change.finding)).collect();
    let is_named = |finding: &Finding| named.contains(&(finding.flow, Some(finding.id)));
    for finding in appeared.iter().filter(|finding| !is_named(finding)) {
        let instead = vanished
            .iter()
            .find(|old| old.flow == finding.flow && old.severity <= finding.severity);
        let kind = match finding.severity {
            _ if EXPOSURES.contains(&finding.id) => Kind::Exposed,
            Severity::Error if instead.is_none() => Kind::Worse,
            _ => Kind::Changed,
        };
        let before = instead.map_or("not found", |old| old.id.name());
        changes.push(of_finding(kind, finding, before, "found", new));
    }
    for finding in vanished.iter().filter(|finding| !is_named(finding)) {
        let replaced = appeared
            .iter()
            .any(|new| new.flow == finding.flow && new.severity >= finding.severity);
        let known = after
            .flows
            .iter()
            .any(|flow| flow.flow == finding.flow && flow.verdict != Verdict::Inconclusive);
        if !replaced && known {
            changes.push(of_finding(Kind::Better, finding, "found", "not found", old));
        }
    }
    // What cannot be told any more is a consequence of what is worse.
    if changes
        .iter()
        .any(|change| matches!(change.kind, Kind::Worse | Kind::Exposed))
    {
        changes.retain(|change| change.kind != Kind::Unclear);
    }
    changes.sort_by_key(|change| change.kind);
    changes
}

/// The lines that say which rule decided about a flow: what stood in its way, or else what let it in.
pub(super) fn decided(seen: &Seen, flow: Flow, blocked: bool) -> Vec<Decided> {
    let about = || seen.decisions.iter().filter(|decided| decided.decision.flow == flow);
    let stopped = |decided: &&Decided| decided.decision.fate != Fate::Accepted || decided.decision.to_firewall;
    let stopping: Vec<Decided> = about().filter(stopped).cloned().collect();
    if blocked && !stopping.is_empty() {
        return stopping;
    }
    about().filter(|decided| !decided.decision.answer).cloned().collect()
}

fn of_finding(kind: Kind, finding: &Finding, before: &str, after: &str, seen: &Seen) -> Change {
    Change {
        kind,
        flow: finding.flow,
        before: before.to_owned(),
        after: after.to_owned(),
        finding: Some(finding.id),
        summary: Some(finding.summary.clone()),
        decided: decided(seen, finding.flow, !EXPOSURES.contains(&finding.id)),
    }
}

/// Errors and warnings that only `here` has.
fn missing_in<'a>(here: &'a Report, there: &Report) -> Vec<&'a Finding> {
    let known = |finding: &Finding| {
        there
            .findings
            .iter()
            .any(|other| (other.id, other.flow) == (finding.id, finding.flow))
    };
    here.findings
        .iter()
        .filter(|finding| finding.severity != Severity::Info && !known(finding))
        .collect()
}

fn pairs<'a>(before: &'a Report, after: &'a Report) -> impl Iterator<Item = (&'a FlowResult, &'a FlowResult)> {
    after
        .flows
        .iter()
        .filter_map(|is| Some((before.flows.iter().find(|was| was.flow == is.flow)?, is)))
}

fn of_flow(was: &FlowResult, is: &FlowResult) -> Option<Kind> {
    use Verdict::{Fail, Inconclusive, Pass};
    match (was.verdict, is.verdict) {
        (Pass | Inconclusive, Fail) if is.expected == Expected::Closed => Some(Kind::Exposed),
        (Pass | Inconclusive, Fail) => Some(Kind::Worse),
        (Fail | Inconclusive, Pass) => Some(Kind::Better),
        (Pass, Inconclusive) => Some(Kind::Unclear),
        (Pass, Pass) if is.expected == Expected::Any => {
            let open = |flow: &FlowResult| flow.state == State::Open;
            (open(was) != open(is) && is.state != State::Unknown && was.state != State::Unknown)
                .then_some(Kind::Changed)
        }
        _ => None,
    }
}

/// `open`, `filtered (timeout)`, `open, 900 of 999 ports blocked`.
fn state(flow: &FlowResult, report: &Report) -> String {
    let mut text = flow.state.name().to_owned();
    let outcome = flow.outcome.name();
    if outcome != text {
        text.push_str(&format!(" ({outcome})"));
    }
    let range = report.passive_range.as_ref().filter(|_| flow.flow == Flow::FtpPassive);
    if let Some(range) = range.filter(|range| !range.blocked.is_empty()) {
        text.push_str(&format!(", blocked {}", shortened(&range.blocked.to_string())));
    }
    text
}

/// A sample of a range has many pieces.
fn shortened(ports: &str) -> String {
    let parts: Vec<&str> = ports.split(',').collect();
    match parts.as_slice() {
        [first, .., last] if parts.len() > 4 => format!("{first} ... {last}"),
        _ => ports.to_owned(),
    }
}
