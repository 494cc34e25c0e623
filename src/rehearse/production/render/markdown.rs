//! For the ticket.

use std::fmt::Write;

use fwdrill_protocol::finding::Severity;

use super::{changes, lines, list, place, sum, untraced};
use crate::rehearse::production::changes::decided;
use crate::rehearse::production::{Outcome, Seen};

pub(crate) fn render(outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = match outcome.compared() {
        true => comparison(&mut text, outcome),
        false => single(&mut text, outcome),
    };
    let _ = writeln!(text);
    for note in outcome.notes.iter().chain(&untraced(outcome)) {
        let _ = writeln!(text, "- {}", escaped(note));
    }
    text
}

fn comparison(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    let files = format!(
        "{} against {}",
        code(&list(&outcome.files[0])),
        code(&list(&outcome.files[1]))
    );
    writeln!(text, "**{}**: {files}: {}", outcome.verdict().name(), sum(outcome))?;
    if outcome.rows.iter().any(|row| !row.changes.is_empty()) {
        writeln!(
            text,
            "\n| | from | flow | before | after | finding | decided by |\n|---|---|---|---|---|---|---|"
        )?;
    }
    for (row, change) in changes(outcome) {
        let finding = change.finding.map(|finding| code(finding.name())).unwrap_or_default();
        let decided: Vec<String> = lines(&change.decided).iter().map(|line| escaped(line)).collect();
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {finding} | {} |",
            change.kind.name(),
            place(row),
            change.flow,
            escaped(&change.before),
            escaped(&change.after),
            decided.join("<br>")
        )?;
    }
    writeln!(text, "\n| from | dials | before | after |\n|---|---|---|---|")?;
    for row in &outcome.rows {
        let old = row.old.as_ref().map(verdict_of).unwrap_or_default();
        writeln!(
            text,
            "| {} ({}) | {} | {old} | {} |",
            place(row),
            row.view.client,
            row.view.target,
            verdict_of(&row.new)
        )?;
    }
    Ok(())
}

fn single(text: &mut String, outcome: &Outcome) -> std::fmt::Result {
    writeln!(
        text,
        "**{}**: {}",
        outcome.verdict().name(),
        code(&list(&outcome.files[0]))
    )?;
    writeln!(
        text,
        "\n| from | dials | verdict | findings | decided by |\n|---|---|---|---|---|"
    )?;
    for row in &outcome.rows {
        let findings = row.new.report.iter().flat_map(|report| &report.findings);
        let findings: Vec<_> = findings.filter(|finding| finding.severity != Severity::Info).collect();
        let ids: Vec<String> = findings.iter().map(|finding| code(finding.id.name())).collect();
        let decided: Vec<_> = findings
            .iter()
            .flat_map(|finding| decided(&row.new, finding.flow, true))
            .collect();
        let decided: Vec<String> = lines(&decided).iter().map(|line| escaped(line)).collect();
        writeln!(
            text,
            "| {} ({}) | {} | {} | {} | {} |",
            place(row),
            row.view.client,
            row.view.target,
            verdict_of(&row.new),
            ids.join(", "),
            decided.join("<br>")
        )?;
    }
    Ok(())
}

fn verdict_of(seen: &Seen) -> String {
    match &seen.report {
        Ok(report) => report.verdict.name().to_owned(),
        Err(problem) => format!("not carried out: {}", escaped(problem)),
    }
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('`', "'"))
}

/// Nothing in it ends a cell or begins a tag.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => escaped.extend(['\\', character]),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\n' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn rules_stay_in_their_cells() {
        assert_eq!(
            escaped("ct state { a | b } <x>\n@set_a"),
            "ct state { a \\| b } &lt;x&gt; @set\\_a"
        );
    }
}
