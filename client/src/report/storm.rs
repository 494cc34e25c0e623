//! A storm for people: what broke first and what to do, then what each step took.

use std::fmt::Write;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use fwdrill_protocol::estate::Mode;
use fwdrill_protocol::report::Verdict;
use fwdrill_protocol::storm::{StepResult, StormReport};

use super::text::{causes, colour, paragraph, why};
use super::words;

/// The report as text, with ANSI colours in it.
pub fn text(report: &StormReport) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = document(&mut text, report);
    text
}

/// Storms of several machines, one line each, and their sums.
pub fn gathered(reports: &[StormReport]) -> String {
    let mut table = table();
    table.set_header([
        "CLIENT",
        "STARTED",
        "VERDICT",
        "UPDATES",
        "WENT WELL",
        "EVENTS",
        "SECONDS",
        "LIMIT",
    ]);
    for report in reports {
        let limit = report.findings.first().map_or("-", |finding| finding.id.name());
        table.add_row([
            report.client.to_string(),
            format!("{:.0}", report.started),
            words::verdict(report.verdict).to_owned(),
            report.lives.begun.to_string(),
            report.lives.lived.to_string(),
            report.events.acknowledged.to_string(),
            format!("{:.1}", seconds(report)),
            limit.to_owned(),
        ]);
    }
    let sum = |count: fn(&StormReport) -> u64| reports.iter().map(count).sum::<u64>();
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "\n{} storms: {} of {} updates went well, {} of {} events acknowledged",
        reports.len(),
        sum(|report| report.lives.lived),
        sum(|report| report.lives.begun),
        sum(|report| report.events.acknowledged),
        sum(|report| report.events.made)
    );
    text
}

fn table() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn seconds(report: &StormReport) -> f64 {
    std::time::Duration::from_millis(report.elapsed_ms).as_secs_f64()
}

fn document(text: &mut String, report: &StormReport) -> std::fmt::Result {
    let style = colour(report.verdict).on_default().bold();
    writeln!(
        text,
        "{style}{}{style:#}  {}: {}",
        words::verdict(report.verdict),
        words::printable(&title(report)),
        meaning(report)
    )?;
    causes(text, &report.findings)?;
    if let Some(sum) = &report.sum {
        paragraph(text, "  Sum  ", "       ", &sum.text)?;
    }
    unexplained(text, report)?;
    steps(text, report)?;
    why(text, &report.findings)?;
    footer(text, report)
}

fn title(report: &StormReport) -> String {
    let mode = match report.mode {
        Mode::Ftp => "FTP",
        Mode::Http => "HTTP",
    };
    format!(
        "a storm of {} clients on {} over {mode}",
        report.plan.clients, report.target
    )
}

fn meaning(report: &StormReport) -> String {
    let lives = report.lives;
    match (report.verdict, &report.first_failure) {
        (_, Some(first)) if first.alone => "one client alone does not get through, so there was no storm".to_owned(),
        (Verdict::Inconclusive, None) => format!("stopped after {} updates, which all went well", lives.lived),
        (Verdict::Pass, _) => format!("all {} updates went well", lives.lived),
        (Verdict::Fail, _) => format!("{} of {} updates did not go well", lives.failed, lives.begun),
        (Verdict::Inconclusive, _) => format!(
            "this machine has not enough for so many: {} of {} updates could not be made",
            lives.failed, lives.begun
        ),
    }
}

/// A failure that is no limit is told as it was seen, and not named.
fn unexplained(text: &mut String, report: &StormReport) -> std::fmt::Result {
    let Some(first) = &report.first_failure else {
        return Ok(());
    };
    if !report.findings.is_empty() {
        return Ok(());
    }
    let seen = format!(
        "{}: {}, {:.1} s after the beginning with {} at work",
        first.step.name(),
        first.words,
        first.after_s,
        first.agents
    );
    let (cause, advice) = match (first.alone, first.cause.is_own()) {
        (_, true) => (
            "this machine, which says nothing of the server or the path",
            "run fewer agents at once (--at-once), or more machines with fewer agents each (docs/STORM.md)",
        ),
        (true, false) => (
            "not a matter of numbers",
            "`fwdrill probe` names what is in the way of one client",
        ),
        (false, false) => (
            "unknown: no limit explains what was seen",
            "`fwdrill probe` tells whether one client gets through now; the server's log may say more",
        ),
    };
    writeln!(text, "\nCAUSE  {cause}")?;
    paragraph(text, "    - first ", "      ", &seen)?;
    paragraph(text, "    - ", "      ", advice)
}

fn steps(text: &mut String, report: &StormReport) -> std::fmt::Result {
    let mut table = table();
    table.set_header(["STEP", "DONE", "FAILED", "P50", "P90", "P99", "MAX", "ALONE", "ms"]);
    for step in &report.steps {
        table.add_row(row(step));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(text)?;
    table
        .lines()
        .try_for_each(|line| writeln!(text, "{}", line.trim_end()))?;
    for step in &report.steps {
        for (cause, count) in &step.failed {
            writeln!(text, "  {}: {count} x {}", step.step.name(), cause.title())?;
        }
    }
    Ok(())
}

fn row(step: &StepResult) -> [String; 8] {
    let failed: u64 = step.failed.values().sum();
    let ms = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), milliseconds);
    let latency = step.latency_ms;
    [
        step.step.name().to_owned(),
        step.done.to_string(),
        failed.to_string(),
        ms(latency.map(|latency| latency.p50)),
        ms(latency.map(|latency| latency.p90)),
        ms(latency.map(|latency| latency.p99)),
        ms(latency.map(|latency| latency.max)),
        ms(step.alone_ms),
    ]
}

fn milliseconds(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

fn footer(text: &mut String, report: &StormReport) -> std::fmt::Result {
    let (most, events, machine) = (report.most, report.events, &report.machine);
    let seconds = seconds(report);
    writeln!(text)?;
    let most = format!(
        "{} updates in {seconds:.1} s, {:.1} MB received and checked; at the most at once: {} agents, {} control connections, {} passive ports asked for ({} in the range)",
        report.lives.begun,
        report.received as f64 / 1e6,
        most.agents,
        most.control_connections,
        most.passive_ports,
        report.passive_ports.len()
    );
    paragraph(text, "", "  ", &most)?;
    let told = format!(
        "events: {} of {} acknowledged, {} refused, {} given up, {} times sent again",
        events.acknowledged, events.made, events.refused, events.given_up, events.repeated
    );
    paragraph(text, "", "  ", &told)?;
    let number = |number: Option<u64>| number.map_or_else(|| "no limit".to_owned(), |number| number.to_string());
    let here = match machine.short_of.is_empty() {
        true => format!(
            "this machine: {} open files, {} local ports",
            number(machine.open_files),
            number(machine.local_ports)
        ),
        false => format!("this machine is short of: {}", machine.short_of.join("; ")),
    };
    paragraph(text, "", "  ", &here)?;
    let ends = match report.both_ends {
        true => "with what the server saw",
        false => "as the clients saw it; the server's half is missing",
    };
    writeln!(text, "{ends}")?;
    if let Some(first) = report.findings.first() {
        writeln!(text, "more: fwdrill explain {}", first.id)?;
    }
    Ok(())
}
