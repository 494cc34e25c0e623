//! For people: the verdict, what changes or what is wrong, which rule it is, and what was assumed.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use fwdrill_protocol::finding::Severity;
use fwdrill_protocol::report::Verdict;

use super::{changes, lines, list, place, sum, untraced};
use crate::rehearse::production::changes::{Kind, decided};
use crate::rehearse::production::{Outcome, Row, Seen};
use crate::rehearse::render::headline;

const BOLD: Style = Style::new().bold();

pub(crate) fn render(outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = match outcome.compared() {
        true => comparison(&mut text, outcome),
        false => single(&mut text, outcome),
    };
    let _ = footer(&mut text, outcome);
    text
}

fn comparison(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    head(
        text,
        outcome,
        &format!(
            "{} against {}: {}",
            list(&outcome.files[0]),
            list(&outcome.files[1]),
            sum(outcome)
        ),
    )?;
    for (row, change) in changes(outcome) {
        let style = style(change.kind);
        write!(
            text,
            "\n{style}{:<13}{style:#}  {BOLD}{}{BOLD:#} from {}: {} -> {}",
            change.kind.name(),
            change.flow,
            place(row),
            change.before,
            change.after
        )?;
        writeln!(
            text,
            "{}",
            change.finding.map(|finding| format!("  {finding}")).unwrap_or_default()
        )?;
        if let Some(summary) = &change.summary {
            writeln!(
                text,
                "  {}{summary}",
                if change.kind == Kind::Better { "before: " } else { "" }
            )?;
        }
        for line in lines(&change.decided) {
            writeln!(
                text,
                "  {}{line}",
                if change.kind == Kind::Better { "before: " } else { "" }
            )?;
        }
    }
    writeln!(text)?;
    for row in &outcome.rows {
        let old = row.old.as_ref().map(verdict_of).unwrap_or_default();
        writeln!(
            text,
            "{:<20} {} dials {}: before {old}; after {}",
            place(row),
            row.view.client,
            row.view.target,
            verdict_of(&row.new)
        )?;
    }
    Ok(())
}

fn single(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    head(text, outcome, &list(&outcome.files[0]))?;
    for row in &outcome.rows {
        writeln!(
            text,
            "\n{BOLD}{}{BOLD:#}  {} dials {}: {}",
            place(row),
            row.view.client,
            row.view.target,
            verdict_of(&row.new)
        )?;
        findings(text, row)?;
    }
    Ok(())
}

fn findings(text: &mut String, row: &Row) -> std::fmt::Result {
    let Ok(report) = &row.new.report else { return Ok(()) };
    for finding in report
        .findings
        .iter()
        .filter(|finding| finding.severity != Severity::Info)
    {
        writeln!(text, "  {}", headline(finding))?;
        for line in lines(&decided(&row.new, finding.flow, true)) {
            writeln!(text, "    - {line}")?;
        }
        for line in &finding.evidence {
            writeln!(text, "    - {line}")?;
        }
        writeln!(text, "    fix: {}", finding.remedy)?;
    }
    Ok(())
}

/// `fail (port-dropped) in 2.1 s`
fn verdict_of(seen: &Seen) -> String {
    let what = match &seen.report {
        Ok(report) => {
            let serious = crate::rehearse::verdict::serious(report);
            let ids: Vec<&str> = serious.iter().map(|finding| finding.id.name()).collect();
            match ids.is_empty() {
                true => report.verdict.name().to_owned(),
                false => format!("{} ({})", report.verdict.name(), ids.join(", ")),
            }
        }
        Err(problem) => format!("not carried out: {problem}"),
    };
    format!("{what} in {:.1} s", seen.elapsed.as_secs_f64())
}

fn head(text: &mut String, outcome: &Outcome, what: &str) -> std::fmt::Result {
    let verdict = outcome.verdict();
    let colour = match verdict {
        Verdict::Pass => AnsiColor::Green,
        Verdict::Fail => AnsiColor::Red,
        Verdict::Inconclusive => AnsiColor::Yellow,
    };
    let style = colour.on_default().bold();
    writeln!(
        text,
        "{style}{}{style:#}  {what} ({:.1} s)",
        verdict.name(),
        outcome.elapsed.as_secs_f64()
    )
}

fn footer(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    writeln!(text)?;
    for note in outcome.notes.iter().chain(&untraced(outcome)) {
        writeln!(text, "note: {note}")?;
    }
    Ok(())
}

fn style(kind: Kind) -> Style {
    match kind {
        Kind::Worse | Kind::Exposed => AnsiColor::Red.on_default().bold(),
        Kind::Unclear => AnsiColor::Yellow.on_default(),
        Kind::Better => AnsiColor::Green.on_default(),
        Kind::Changed => AnsiColor::Cyan.on_default(),
    }
}
