//! For people: a line for each, and for what does not hold what was found instead.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::{complaints, headline};
use crate::rehearse::verdict::{self, Judgement};
use crate::rehearse::{Rehearsed, Side};

pub(super) fn render(rehearsed: &[Rehearsed]) -> String {
    let mut text = String::new();
    let width = rehearsed.iter().map(|one| one.name().len()).max().unwrap_or(0);
    for one in rehearsed {
        let judgement = one.judgement();
        let style = style(judgement);
        let _ = writeln!(
            text,
            "{style}{:<10}{style:#} {:<width$}  {:>4.1} s  {}{}",
            judgement.name(),
            one.name(),
            one.both.elapsed.as_secs_f64(),
            found(&one.both),
            if one.again { " (the second time)" } else { "" },
        );
        match (judgement, one.gap()) {
            (Judgement::GapClosed, _) => {
                let _ = writeln!(
                    text,
                    "  it is found now: its known gap has to go from {}",
                    one.rehearsal.file.display()
                );
            }
            (Judgement::Gap, Some(gap)) => {
                let _ = writeln!(text, "  known gap: {gap}");
            }
            _ => {}
        }
        for complaint in complaints(one) {
            let _ = writeln!(text, "  {complaint}");
        }
        if judgement == Judgement::Wrong {
            text.push_str(&findings(&one.both));
        }
        for kept in [Some(&one.both), one.alone.as_ref()]
            .into_iter()
            .flatten()
            .filter_map(|side| side.kept.as_ref())
        {
            let _ = writeln!(
                text,
                "  it still stands: nsenter --target {} --user --mount --net --preserve-credentials; then, for any of {}: ip netns exec HOST nft list ruleset",
                kept.pid,
                kept.hosts.join(", ")
            );
        }
    }
    text.push_str(&sum(rehearsed));
    text
}

/// "118 right, 2 gaps" as one line.
pub(super) fn sum(rehearsed: &[Rehearsed]) -> String {
    let all = [
        Judgement::Right,
        Judgement::Wrong,
        Judgement::Gap,
        Judgement::GapClosed,
        Judgement::Undone,
    ];
    let counted = all.map(|judgement| {
        (
            rehearsed.iter().filter(|one| one.judgement() == judgement).count(),
            judgement,
        )
    });
    let told: Vec<String> = counted
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, judgement)| format!("{count} {}", judgement.name()))
        .collect();
    let again = match rehearsed.iter().filter(|one| one.again).count() {
        0 => String::new(),
        count => format!("; {count} rehearsed a second time"),
    };
    format!("{} of {}{again}\n", told.join(", "), rehearsed.len())
}

fn found(side: &Side) -> String {
    match &side.report {
        Ok(report) => verdict::list(verdict::serious(report).iter().map(|finding| finding.id)),
        Err(_) => "no report".to_owned(),
    }
}

fn findings(side: &Side) -> String {
    let mut text = String::new();
    for finding in side.report.iter().flat_map(|report| &report.findings) {
        let _ = writeln!(text, "  {}", headline(finding));
        for line in &finding.evidence {
            let _ = writeln!(text, "    - {line}");
        }
    }
    text
}

fn style(judgement: Judgement) -> Style {
    match judgement {
        Judgement::Right => AnsiColor::Green.on_default(),
        Judgement::Gap | Judgement::Undone => AnsiColor::Yellow.on_default(),
        Judgement::Wrong | Judgement::GapClosed => AnsiColor::Red.on_default().bold(),
    }
}
