//! For a tired engineer: verdict, cause, fix; then the table of flows.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use fwdrill_protocol::finding::{Finding, Severity};
use fwdrill_protocol::flow::Expected;
use fwdrill_protocol::report::{FlowResult, Report, Verdict};

const WIDTH: usize = 100;

/// The whole report.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    let _ = headline(&mut text, report);
    for (at, finding) in report.findings.iter().enumerate() {
        let _ = self::finding(&mut text, finding, at == 0);
    }
    let _ = unexplained(&mut text, report);
    let _ = life(&mut text, report);
    text.push('\n');
    text.push_str(&flows(report));
    text.push('\n');
    let _ = footer(&mut text, report);
    text
}

fn headline(text: &mut String, report: &Report) -> std::fmt::Result {
    let (word, style) = match report.verdict {
        Verdict::Pass => ("PASS", bold(AnsiColor::Green)),
        Verdict::Fail => ("FAIL", bold(AnsiColor::Red)),
        Verdict::Inconclusive => ("INCONCLUSIVE", bold(AnsiColor::Yellow)),
    };
    let meaning = match report.verdict {
        Verdict::Pass => "everything that is expected holds",
        Verdict::Fail => "the update service does not work as expected",
        Verdict::Inconclusive => "some checks could not be carried out",
    };
    writeln!(
        text,
        "{style}{word}{style:#}  {} from {}: {meaning}",
        report.target, report.vantage
    )
}

fn finding(text: &mut String, finding: &Finding, first: bool) -> std::fmt::Result {
    let style = match finding.severity {
        Severity::Error => bold(AnsiColor::Red),
        Severity::Warning => bold(AnsiColor::Yellow),
        Severity::Info => bold(AnsiColor::Cyan),
    };
    let label = match (finding.severity, first) {
        (Severity::Error, true) => "CAUSE",
        (Severity::Error, false) => "ALSO",
        (Severity::Warning, _) => "WARNING",
        (Severity::Info, _) => "NOTE",
    };
    let bold = Style::new().bold();
    writeln!(
        text,
        "\n{style}{label}{style:#}  {bold}{}{bold:#} ({}); to change: {}",
        finding.id,
        finding.confidence,
        finding.place.title()
    )?;
    paragraph(text, "  ", "  ", &finding.summary)?;
    paragraph(text, &format!("  {bold}Fix{bold:#}  "), "       ", &finding.remedy)?;
    for line in &finding.evidence {
        paragraph(text, "    - ", "      ", line)?;
    }
    if !finding.alternatives.is_empty() {
        let names: Vec<&str> = finding.alternatives.iter().map(|id| id.name()).collect();
        paragraph(text, "  not excluded: ", "    ", &names.join(", "))?;
    }
    Ok(())
}

/// A failed flow that no finding speaks of is said to be unexplained, not passed over.
fn unexplained(text: &mut String, report: &Report) -> std::fmt::Result {
    let failed: Vec<&FlowResult> = report
        .flows
        .iter()
        .filter(|flow| flow.verdict == Verdict::Fail)
        .collect();
    if failed.is_empty()
        || report
            .findings
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    {
        return Ok(());
    }
    writeln!(text, "\nCAUSE  unknown: no rule explains what was seen")?;
    for flow in failed {
        let line = format!(
            "{}: {}",
            flow.flow.title(),
            flow.detail.as_deref().unwrap_or(flow.outcome.name())
        );
        paragraph(text, "    - ", "      ", &line)?;
    }
    Ok(())
}

fn life(text: &mut String, report: &Report) -> std::fmt::Result {
    let Some(steps) = &report.life else { return Ok(()) };
    writeln!(text, "\nA client's life")?;
    for step in steps {
        let (mark, style) = if step.ok {
            ("ok  ", bold(AnsiColor::Green))
        } else {
            ("FAIL", bold(AnsiColor::Red))
        };
        paragraph(
            text,
            &format!("  {style}{mark}{style:#}  "),
            "        ",
            &format!("{}: {} ({} ms)", step.step, step.detail, step.elapsed_ms),
        )?;
    }
    Ok(())
}

fn flows(report: &Report) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        "FLOW",
        "TO",
        "EXPECTED",
        "STATE",
        "OUTCOME",
        "RTT",
        "SERVER SAW",
        "VERDICT",
        "",
    ]);
    for flow in &report.flows {
        table.add_row([
            flow.flow.name().to_owned(),
            flow.to.map_or_else(|| "-".to_owned(), |to| to.to_string()),
            flow.expected.name().to_owned(),
            flow.state.name().to_owned(),
            flow.outcome.name().to_owned(),
            flow.rtt_ms.map_or_else(|| "-".to_owned(), |rtt| format!("{rtt:.1} ms")),
            flow.seen_by_server.name().to_owned(),
            match (flow.expected, flow.verdict) {
                (Expected::Any, Verdict::Pass) => "-".to_owned(),
                (_, verdict) => verdict.name().to_owned(),
            },
            flow.detail.clone().unwrap_or_default(),
        ]);
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn footer(text: &mut String, report: &Report) -> std::fmt::Result {
    if let Some(range) = &report.passive_range {
        let part = |name: &str, ports: &fwdrill_protocol::estate::port_set::PortSet| {
            if ports.is_empty() {
                String::new()
            } else {
                format!("; {name} {} ({ports})", ports.len())
            }
        };
        let line = format!(
            "passive range {}{}{}{}",
            range.planned,
            part("open", &range.open),
            part("blocked", &range.blocked),
            if range.untested.is_empty() {
                String::new()
            } else {
                format!("; untested {}", range.untested.len())
            }
        );
        paragraph(text, "", "  ", &line)?;
    }
    let ends = if report.both_ends {
        "both ends joined"
    } else {
        "the client's end only"
    };
    writeln!(
        text,
        "{ends}; {:.1} s; drill {}",
        report.elapsed_ms as f64 / 1e3,
        report.drill
    )
}

/// Wraps at [`WIDTH`]; `first` may hold colour codes, so the indent of what follows is given apart.
fn paragraph(text: &mut String, first: &str, following: &str, words: &str) -> std::fmt::Result {
    // Addresses, ranges and ids stay in one piece.
    let options = textwrap::Options::new(WIDTH - following.len())
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    let lines = textwrap::wrap(words, options);
    for (at, line) in lines.iter().enumerate() {
        writeln!(text, "{}{line}", if at == 0 { first } else { following })?;
    }
    Ok(())
}

fn bold(colour: AnsiColor) -> Style {
    colour.on_default().bold()
}
