//! Cases in turn on two servers, and what came of it: medians, and ratios between runs that followed one another.

use std::time::{Duration, Instant};

use anyhow::Context;

use crate::contender::Contender;
use crate::{Plan, process, progress};

/// How long the processes of sessions may take to end.
const SETTLING: Duration = Duration::from_secs(5);

/// One thing to measure.
pub(crate) trait Case {
    /// What the table calls it.
    fn name(&self) -> String;

    /// What is counted.
    fn unit(&self) -> Unit;

    /// What has to be done before, and is not measured.
    fn prepare(&self, _contender: &Contender) -> anyhow::Result<()> {
        Ok(())
    }

    /// Loads the server once, bounded in number and time, and returns how much was done: bytes, or pieces.
    fn load(&self, contender: &Contender) -> anyhow::Result<u64>;
}

/// What is counted in a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Bytes, told as MB.
    Bytes,
    /// Requests, sessions...
    Pieces(&'static str),
}

/// One run of a case on one server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Run {
    /// Bytes or pieces.
    pub(crate) work: u64,
    pub(crate) wall: Duration,
    /// Of the server alone.
    pub(crate) cpu: Duration,
}

/// A case and all its runs; those at the same place in both lists followed one another.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) ours: Vec<Run>,
    pub(crate) theirs: Vec<Run>,
}

/// Runs every chosen case on both servers, `rounds` times; who begins changes with every round. A first run of each is
/// not counted: it brings files into the page cache and sockets to their size.
pub(crate) fn alternate(
    plan: &Plan,
    cases: &[impl Case],
    ours: &Contender,
    theirs: &Contender,
) -> anyhow::Result<Vec<Row>> {
    process::adopt_orphans()?;
    let own = [ours.pid(), theirs.pid()];
    let measure = |case, contender| measure(case, contender, &own);
    let mut rows = Vec::new();
    for case in cases.iter().filter(|case| case.name().contains(&plan.only)) {
        let mut row = Row {
            name: case.name(),
            unit: case.unit(),
            ours: Vec::new(),
            theirs: Vec::new(),
        };
        measure(case, ours)?;
        measure(case, theirs)?;
        for round in 0..plan.rounds {
            if round % 2 == 0 {
                row.ours.push(measure(case, ours)?);
                row.theirs.push(measure(case, theirs)?);
            } else {
                row.theirs.push(measure(case, theirs)?);
                row.ours.push(measure(case, ours)?);
            }
        }
        progress(&format!("{}: {:.2}x", row.name, row.throughput_ratio()));
        rows.push(row);
    }
    Ok(rows)
}

fn measure(case: &impl Case, contender: &Contender, own: &[u32]) -> anyhow::Result<Run> {
    let context = || format!("{} on {}", case.name(), contender.name());
    case.prepare(contender).with_context(context)?;
    let processes = process::count(contender.pid()).with_context(context)?;
    let before = process::cpu(contender.pid()).with_context(context)?;
    let begun = Instant::now();
    let work = case.load(contender).with_context(context)?;
    let wall = begun.elapsed();
    // A process for each session ends after the session; what it cost belongs to this run.
    let settling = Instant::now();
    while process::count(contender.pid()).with_context(context)? > processes && settling.elapsed() < SETTLING {
        std::thread::sleep(Duration::from_millis(2));
    }
    let cpu = process::cpu(contender.pid())
        .with_context(context)?
        .saturating_sub(before)
        + process::adopted_cpu(own).with_context(context)?;
    Ok(Run { work, wall, cpu })
}

impl Run {
    /// Bytes or pieces per second.
    pub(crate) fn rate(&self) -> f64 {
        self.work as f64 / self.wall.as_secs_f64()
    }

    /// CPU seconds for each byte or piece.
    fn cost(&self) -> f64 {
        self.cpu.as_secs_f64() / self.work as f64
    }
}

impl Row {
    /// The median of what ours did against theirs, pair by pair.
    pub(crate) fn throughput_ratio(&self) -> f64 {
        median(self.ratios(Run::rate))
    }

    /// The lowest and the highest of these.
    pub(crate) fn throughput_spread(&self) -> (f64, f64) {
        let ratios = self.ratios(Run::rate);
        let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        (lowest, ratios.iter().copied().fold(0.0, f64::max))
    }

    /// The median of the server CPU that the same work cost ours against theirs, pair by pair. Not a number where the
    /// kernel counted less than a tick.
    pub(crate) fn cpu_ratio(&self) -> f64 {
        median(self.ratios(Run::cost))
    }

    fn ratios(&self, of: fn(&Run) -> f64) -> Vec<f64> {
        self.ours
            .iter()
            .zip(&self.theirs)
            .map(|(ours, theirs)| of(ours) / of(theirs))
            .collect()
    }
}

/// The middle one; of two in the middle, their mean.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match (values.len() / 2, values.len() % 2) {
        (0, 0) => f64::NAN,
        (middle, 0) => (values[middle - 1] + values[middle]) / 2.0,
        (middle, _) => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(work: u64, wall_ms: u64, cpu_ms: u64) -> Run {
        Run {
            work,
            wall: Duration::from_millis(wall_ms),
            cpu: Duration::from_millis(cpu_ms),
        }
    }

    #[test]
    fn a_median_is_the_middle_and_there_is_none_of_nothing() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }

    #[test]
    fn ratios_are_between_runs_that_followed_one_another() {
        let row = Row {
            name: "case".to_owned(),
            unit: Unit::Pieces("requests"),
            // Twice as fast each time, while the machine got slower and slower.
            ours: vec![run(100, 100, 30), run(100, 200, 30), run(100, 400, 30)],
            theirs: vec![run(100, 200, 20), run(100, 400, 20), run(100, 800, 20)],
        };
        assert_eq!(row.throughput_ratio(), 2.0);
        assert_eq!(row.throughput_spread(), (2.0, 2.0));
        assert!((row.cpu_ratio() - 1.5).abs() < 1e-9);
    }
}
