//! Rows as a Markdown table.

use std::fmt::Write;

use crate::rounds::{Row, Run, Unit, median};

/// One line per row: medians of both, the ratio with its spread, and the server CPU of a run.
pub(crate) fn render(ours: &str, theirs: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "| case | {ours} | {theirs} | ratio (lowest-highest) | server CPU: {ours} | {theirs} | ratio |\n\
         |---|--:|--:|--:|--:|--:|--:|\n"
    );
    for row in rows {
        let (lowest, highest) = row.throughput_spread();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} | **{:.2}** ({lowest:.2}-{highest:.2}) | {} | {} | {:.2} |",
            row.name,
            rate(row.unit, &row.ours),
            rate(row.unit, &row.theirs),
            row.throughput_ratio(),
            cpu(&row.ours),
            cpu(&row.theirs),
            row.cpu_ratio(),
        );
    }
    text
}

fn rate(unit: Unit, runs: &[Run]) -> String {
    let rate = median(runs.iter().map(Run::rate));
    match unit {
        Unit::Bytes => format!("{:.0} MB/s", rate / 1e6),
        Unit::Pieces(name) => format!("{rate:.0} {name}/s"),
    }
}

fn cpu(runs: &[Run]) -> String {
    format!("{:.2} s", median(runs.iter().map(|run| run.cpu.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_row_shows_medians_ratios_and_cpu() {
        let run = |work, wall, cpu| Run {
            work,
            wall: Duration::from_secs_f64(wall),
            cpu: Duration::from_secs_f64(cpu),
        };
        let rows = [Row {
            name: "1 GiB".to_owned(),
            unit: Unit::Bytes,
            ours: vec![run(3_000_000_000, 1.0, 0.3), run(3_000_000_000, 1.5, 0.3)],
            theirs: vec![run(3_000_000_000, 2.0, 0.4), run(3_000_000_000, 1.5, 0.4)],
        }];
        let text = render("fwdrill", "nginx", &rows);
        let row = text.lines().last();
        assert_eq!(
            row,
            Some("| 1 GiB | 2500 MB/s | 1750 MB/s | **1.50** (1.00-2.00) | 0.30 s | 0.40 s | 0.75 |")
        );
    }
}
