//! The confusion matrix: expected against found, with both ends and with the client alone, as a markdown table.

use std::fmt::Write;

use fwdrill_protocol::report::Verdict;

use super::text;
use crate::rehearse::verdict::{self, Judgement};
use crate::rehearse::{Rehearsed, Side};

pub(super) fn render(rehearsed: &[Rehearsed]) -> String {
    let mut table =
        "| path | expected | found with both ends | found by the client alone | |\n|---|---|---|---|---|\n".to_owned();
    for one in rehearsed {
        let scenario = &one.rehearsal.scenario;
        let note = match (one.judgement(), one.gap()) {
            (Judgement::Gap, Some(gap)) => format!("gap: {gap}"),
            (judgement, _) => judgement.name().to_owned(),
        };
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {note} |",
            one.name(),
            verdict::list(scenario.expect.iter().copied()),
            cell(&one.both),
            one.alone.as_ref().map_or_else(|| "-".to_owned(), cell),
        );
    }
    let _ = write!(table, "\n{}", text::sum(rehearsed));
    table
}

/// The findings; of the first, how sure it is and what else it could be.
fn cell(side: &Side) -> String {
    let report = match &side.report {
        Ok(report) => report,
        Err(problem) => return format!("not done: {}", problem.replace('\n', " ").replace('|', "/")),
    };
    let findings = verdict::serious(report);
    if findings.is_empty() && report.verdict != Verdict::Pass {
        // Not well, but nobody says why.
        return format!("nothing ({})", report.verdict.name());
    }
    let mut cell = verdict::list(findings.iter().map(|finding| finding.id));
    if let Some(first) = findings.first() {
        let _ = write!(cell, " ({}", first.confidence);
        if !first.alternatives.is_empty() {
            let _ = write!(cell, "; or {}", verdict::list(first.alternatives.iter().copied()));
        }
        cell.push(')');
    }
    cell
}
