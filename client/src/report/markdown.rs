//! Markdown for a change ticket: verdict, cause, fix, evidence, the table of flows, the passive range.

use std::fmt::Write;

use fwdrill_protocol::finding::Finding;
use fwdrill_protocol::report::{FlowResult, Report};

use super::words;

/// The whole report.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = document(&mut text, report);
    text
}

fn document(text: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(
        text,
        "# {}: {}\n{}.",
        words::verdict(report.verdict),
        escaped(&words::title(report)),
        escaped(&words::meaning(report))
    )?;
    for (at, finding) in report.findings.iter().enumerate() {
        self::finding(text, finding, at == 0)?;
    }
    let unexplained = words::unexplained(report);
    if !unexplained.is_empty() {
        writeln!(text, "\n## Cause: unknown\nNo rule explains what was seen.\n")?;
        for line in unexplained {
            writeln!(text, "- {}", escaped(&line))?;
        }
    }
    flows(text, report)?;
    life(text, report)?;
    clients(text, report)?;
    writeln!(text, "\n---\n{}", escaped(&words::provenance(report)))
}

fn finding(text: &mut String, finding: &Finding, first: bool) -> std::fmt::Result {
    let label = words::label(finding, first);
    writeln!(
        text,
        "\n## {label}: {} ({})\n{}\n\n**Fix** (where: {}): {}\n",
        finding.id,
        finding.confidence,
        escaped(&sentence(&finding.summary)),
        finding.place.title(),
        escaped(&finding.remedy)
    )?;
    for line in &finding.evidence {
        writeln!(text, "- {}", escaped(line))?;
    }
    if !finding.alternatives.is_empty() {
        let names: Vec<&str> = finding.alternatives.iter().map(|id| id.name()).collect();
        writeln!(text, "\nNot excluded: {}.", names.join(", "))?;
    }
    Ok(())
}

fn flows(text: &mut String, report: &Report) -> std::fmt::Result {
    if words::on_paper(report) {
        return Ok(());
    }
    writeln!(
        text,
        "\n## Flows\n| verdict | flow | to | expected | state | outcome | time | server saw | |\n|---|---|---|---|---|---|---|---|---|"
    )?;
    for flow in &report.flows {
        row(text, flow)?;
    }
    if let Some(range) = &report.passive_range {
        writeln!(text, "\n{}", escaped(&sentence(&words::range(range))))?;
    }
    if let Some(road) = &report.path {
        writeln!(text, "\n{}", escaped(&sentence(&words::road(road))))?;
    }
    Ok(())
}

fn row(text: &mut String, flow: &FlowResult) -> std::fmt::Result {
    let mut cells = words::cells(flow);
    let [verdict, .., detail] = &mut cells;
    if verdict == "fail" {
        *verdict = format!("**{verdict}**");
    }
    *detail = escaped(detail);
    writeln!(text, "| {} |", cells.join(" | "))
}

fn life(text: &mut String, report: &Report) -> std::fmt::Result {
    let Some(steps) = &report.life else { return Ok(()) };
    writeln!(text, "\n## A client's life")?;
    for step in steps {
        let mark = if step.ok { "ok" } else { "**FAIL**" };
        writeln!(
            text,
            "- {mark}: {}: {} ({} ms)",
            escaped(&step.step),
            escaped(&step.detail),
            step.elapsed_ms
        )?;
    }
    Ok(())
}

fn clients(text: &mut String, report: &Report) -> std::fmt::Result {
    if report.clients.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n## Clients\n| client | works | why |\n|---|---|---|")?;
    for client in &report.clients {
        let works = if client.works { "yes" } else { "**no**" };
        writeln!(
            text,
            "| {} | {works} | {} |",
            escaped(&client.client),
            escaped(&client.why)
        )?;
    }
    Ok(())
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    words::sentence(text) + "."
}

/// One line in which nothing has a meaning to Markdown: some of it was said by strangers.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' | '`' | '*' | '[' | ']' | '|' | '~' | '#' => escaped.extend(['\\', letter]),
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_say_has_no_meaning_to_markdown() {
        assert_eq!(
            escaped("<img src=x>|`*[a](b)\r\n# x & y"),
            "&lt;img src=x>\\|\\`\\*\\[a\\](b)  \\# x &amp; y"
        );
    }
}
