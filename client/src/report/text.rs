//! For a tired engineer, in ten seconds: verdict, cause, fix; then the table of flows. Why it is so comes after that.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use fwdrill_protocol::finding::{Finding, Severity};
use fwdrill_protocol::report::{FlowResult, Report, Verdict};

use super::words;

const WIDTH: usize = 100;
const BOLD: Style = Style::new().bold();

/// The whole report.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = document(&mut text, report);
    text
}

fn document(text: &mut String, report: &Report) -> std::fmt::Result {
    let style = colour(report.verdict).on_default().bold();
    writeln!(
        text,
        "{style}{}{style:#}  {}: {}",
        words::verdict(report.verdict),
        words::printable(&words::title(report)),
        words::meaning(report)
    )?;
    causes(text, &report.findings)?;
    unexplained(text, report)?;
    life(text, report)?;
    flows(text, report)?;
    why(text, &report.findings)?;
    clients(text, report)?;
    footer(text, report)
}

/// What is wrong and what to do, the cause first.
pub(super) fn causes(text: &mut String, findings: &[Finding]) -> std::fmt::Result {
    let mut findings = findings.iter().enumerate();
    findings.try_for_each(|(at, finding)| self::finding(text, finding, at == 0))
}

/// What is wrong and what to do, and nothing else.
fn finding(text: &mut String, finding: &Finding, first: bool) -> std::fmt::Result {
    let label = words::label(finding, first).to_uppercase();
    let colour = match finding.severity {
        Severity::Error => AnsiColor::Red,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Info => AnsiColor::Cyan,
    };
    let style = colour.on_default().bold();
    writeln!(
        text,
        "\n{style}{label}{style:#}  {BOLD}{}{BOLD:#} ({}); to change: {}",
        finding.id,
        finding.confidence,
        finding.place.title()
    )?;
    paragraph(text, "  ", "  ", &finding.summary)?;
    paragraph(text, &format!("  {BOLD}Fix{BOLD:#}  "), "       ", &finding.remedy)?;
    if !finding.alternatives.is_empty() {
        let names: Vec<&str> = finding.alternatives.iter().map(|id| id.name()).collect();
        paragraph(text, "  not excluded: ", "    ", &names.join(", "))?;
    }
    Ok(())
}

fn unexplained(text: &mut String, report: &Report) -> std::fmt::Result {
    let failed = words::unexplained(report);
    if failed.is_empty() {
        return Ok(());
    }
    writeln!(text, "\nCAUSE  unknown: no rule explains what was seen")?;
    failed
        .iter()
        .try_for_each(|line| paragraph(text, "    - ", "      ", line))
}

fn life(text: &mut String, report: &Report) -> std::fmt::Result {
    let Some(steps) = &report.life else { return Ok(()) };
    writeln!(text, "\nA client's life")?;
    for step in steps {
        let (mark, colour) = if step.ok {
            ("ok  ", AnsiColor::Green)
        } else {
            ("FAIL", AnsiColor::Red)
        };
        let style = colour.on_default().bold();
        let words = format!("{}: {} ({} ms)", step.step, step.detail, step.elapsed_ms);
        paragraph(text, &format!("  {style}{mark}{style:#}  "), "        ", &words)?;
    }
    Ok(())
}

fn flows(text: &mut String, report: &Report) -> std::fmt::Result {
    if words::on_paper(report) {
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        "VERDICT",
        "FLOW",
        "TO",
        "EXPECTED",
        "STATE",
        "OUTCOME",
        "RTT",
        "SERVER SAW",
        "",
    ]);
    for flow in &report.flows {
        table.add_row(row(flow));
    }
    writeln!(text)?;
    let styles = report.flows.iter().map(|flow| match words::flow_verdict(flow) {
        "-" => Style::new(),
        _ => colour(flow.verdict).on_default(),
    });
    // The colours come last: the table would count them as letters.
    for (line, style) in table.lines().zip([BOLD].into_iter().chain(styles)) {
        let line = line.trim_end();
        let verdict = line.find(|letter: char| !letter.is_whitespace()).unwrap_or(0);
        let (indent, rest) = line.split_at(verdict);
        let end = if style == BOLD {
            rest.len()
        } else {
            rest.find(' ').unwrap_or(rest.len())
        };
        let (verdict, rest) = rest.split_at(end);
        writeln!(text, "{indent}{style}{verdict}{style:#}{rest}")?;
    }
    Ok(())
}

fn row(flow: &FlowResult) -> [String; 9] {
    let mut cells = words::cells(flow);
    let [.., detail] = &mut cells;
    *detail = words::printable(detail);
    cells
}

/// The evidence, by finding.
pub(super) fn why(text: &mut String, findings: &[Finding]) -> std::fmt::Result {
    for finding in findings.iter().filter(|finding| !finding.evidence.is_empty()) {
        writeln!(text, "\nWhy {BOLD}{}{BOLD:#}", finding.id)?;
        for line in &finding.evidence {
            paragraph(text, "  - ", "    ", line)?;
        }
    }
    Ok(())
}

/// Those that would not work, with the reason; the others by name.
fn clients(text: &mut String, report: &Report) -> std::fmt::Result {
    let (works, fails): (Vec<_>, Vec<_>) = report.clients.iter().partition(|client| client.works);
    if fails.is_empty() {
        return Ok(());
    }
    if works.is_empty() {
        let names: Vec<&str> = fails.iter().map(|client| client.client.as_str()).collect();
        return paragraph(text, "\nno client works on this path: ", "  ", &names.join(", "));
    }
    writeln!(text, "\n{BOLD}Clients on this path{BOLD:#}")?;
    let style = AnsiColor::Red.on_default();
    for client in fails {
        let words = format!("{}: {}", client.client, client.why);
        paragraph(text, &format!("  {style}fails{style:#}  "), "         ", &words)?;
    }
    let names: Vec<&str> = works.iter().map(|client| client.client.as_str()).collect();
    paragraph(text, "  works  ", "         ", &names.join(", "))
}

fn footer(text: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(text)?;
    if let Some(range) = &report.passive_range {
        paragraph(text, "", "  ", &words::range(range))?;
    }
    if let Some(road) = &report.path {
        paragraph(text, "", "  ", &words::road(road))?;
    }
    paragraph(text, "", "  ", &words::provenance(report))?;
    if let Some(first) = report.findings.first() {
        writeln!(text, "more: fwdrill explain {}", first.id)?;
    }
    Ok(())
}

/// Wraps at [`WIDTH`]; `first` may hold colour codes, so the indent of what follows is given apart.
pub(super) fn paragraph(text: &mut String, first: &str, following: &str, words: &str) -> std::fmt::Result {
    // Addresses, ranges and ids stay in one piece.
    let options = textwrap::Options::new(WIDTH - following.len())
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    let words = words::printable(words);
    let lines = textwrap::wrap(&words, options);
    for (at, line) in lines.iter().enumerate() {
        writeln!(text, "{}{line}", if at == 0 { first } else { following })?;
    }
    Ok(())
}

pub(super) fn colour(verdict: Verdict) -> AnsiColor {
    match verdict {
        Verdict::Pass => AnsiColor::Green,
        Verdict::Fail => AnsiColor::Red,
        Verdict::Inconclusive => AnsiColor::Yellow,
    }
}
