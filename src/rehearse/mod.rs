//! Rehearsals: paths in network namespaces with real traffic, and whether the diagnosis says what it should.
//!
//! ```text
//! scenario file -> Scenario -> Lab -> [namespaces: network, processes] -> Report -> Judgement -> rendered
//! ```
//! A lab is a child process in namespaces of its own (`namespace`), told what to build by one JSON line (`inside`).

pub(crate) mod inside;
mod lab;
pub(crate) mod namespace;
pub(crate) mod production;
pub(crate) mod render;
mod ruleset;
mod run;
mod scenario;
mod verdict;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fwdrill_protocol::report::Report;
use tokio::sync::Semaphore;

use inside::Ended;
use lab::{Ends, Lab};
pub(crate) use run::{Kept, Rehearsal};
pub(crate) use verdict::Judgement;

/// How to go about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// So many labs at a time.
    pub(crate) parallel: usize,
    /// Leave the labs standing.
    pub(crate) keep: bool,
    /// Measure every path by the client alone, too.
    pub(crate) alone: bool,
    /// Rehearse what does not hold once more when all the others have ended: it has the machine to itself then.
    pub(crate) again: bool,
}

/// One scenario with what came of it.
pub(crate) struct Rehearsed {
    pub(crate) rehearsal: Rehearsal,
    pub(crate) both: Side,
    pub(crate) alone: Option<Side>,
    /// It did not hold the first time, and this is the second.
    pub(crate) again: bool,
}

/// One lab's result.
pub(crate) struct Side {
    /// The client's report, or why the path could not be carried out.
    pub(crate) report: Result<Report, String>,
    /// What does not hold.
    pub(crate) mismatches: Vec<String>,
    /// How the scenario's other programs ended, by name.
    pub(crate) programs: BTreeMap<String, Ended>,
    pub(crate) elapsed: Duration,
    pub(crate) kept: Option<Kept>,
}

impl Rehearsed {
    /// How it ended: the worse of both ends and the client alone.
    pub(crate) fn judgement(&self) -> Judgement {
        let scenario = &self.rehearsal.scenario;
        let (gap, alone_gap) = (scenario.known_gap.is_some(), scenario.known_gap_alone.is_some());
        let both = self.both.judgement(gap, gap);
        // What both ends together do not tell the client alone need not.
        let alone = self
            .alone
            .as_ref()
            .map(|alone| alone.judgement(gap || alone_gap, alone_gap));
        alone.map_or(both, |alone| alone.max(both))
    }

    /// Whether nothing has to be done about it.
    pub(crate) fn holds(&self) -> bool {
        matches!(self.judgement(), Judgement::Right | Judgement::Gap)
    }

    /// Why it is not right yet, if its file says so.
    pub(crate) fn gap(&self) -> Option<&str> {
        let scenario = &self.rehearsal.scenario;
        scenario.known_gap.as_deref().or(scenario.known_gap_alone.as_deref())
    }

    /// The file's name without its extension.
    pub(crate) fn name(&self) -> String {
        let stem = self.rehearsal.file.file_stem();
        stem.map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

impl Side {
    /// `excused`: a gap is known that may be the reason; `named`: it is named for this very side.
    fn judgement(&self, excused: bool, named: bool) -> Judgement {
        let holds = self.report.is_ok() && self.mismatches.is_empty();
        match (holds, excused) {
            (true, _) if named => Judgement::GapClosed,
            (true, _) => Judgement::Right,
            (false, true) => Judgement::Gap,
            (false, false) if self.report.is_err() => Judgement::Undone,
            (false, false) => Judgement::Wrong,
        }
    }
}

/// Reads all scenarios, and finds every mistake in them before anything is built.
pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Rehearsal>> {
    let read = |file: PathBuf| {
        let scenario = scenario::Scenario::read(&file)?;
        check(&scenario, &file)?;
        Ok(Rehearsal { file, scenario })
    };
    let (rehearsals, mistakes): (Vec<_>, Vec<_>) = scenario::files(paths)?
        .into_iter()
        .map(read)
        .partition(anyhow::Result::is_ok);
    let mistakes: Vec<String> = mistakes
        .into_iter()
        .filter_map(Result::err)
        .map(|error: anyhow::Error| format!("{error:#}"))
        .collect();
    anyhow::ensure!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    Ok(rehearsals.into_iter().flatten().collect())
}

fn check(scenario: &scenario::Scenario, file: &Path) -> anyhow::Result<()> {
    use anyhow::Context;
    Lab::new(scenario, Ends::Both, false)
        .map(drop)
        .with_context(|| format!("{} cannot be built", file.display()))
}

/// Runs them all, and tells `done` of each that has ended; the results are in the order of the files.
pub(crate) async fn run(rehearsals: Vec<Rehearsal>, options: Options, done: impl Fn()) -> Vec<Rehearsed> {
    let places = Semaphore::new(options.parallel);
    let labs = rehearsals.into_iter().map(async |rehearsal| {
        let rehearsed = rehearse(rehearsal, options, &places).await;
        done();
        rehearsed
    });
    let mut all = futures_util::future::join_all(labs).await;
    for one in all.iter_mut().filter(|one| options.again && !one.holds()) {
        let second = rehearse(one.rehearsal.clone(), options, &places).await;
        *one = Rehearsed { again: true, ..second };
    }
    all
}

/// Both sides of one, each as soon as there is a place.
async fn rehearse(rehearsal: Rehearsal, options: Options, places: &Semaphore) -> Rehearsed {
    let scenario = &rehearsal.scenario;
    let side = async |ends| {
        // The semaphore is never closed.
        let _place = places.acquire().await;
        let measured = run::measure(Lab::new(scenario, ends, options.keep)).await;
        Side {
            mismatches: measured
                .report
                .as_ref()
                .map_or_else(|_| Vec::new(), |report| verdict::mismatches(scenario, report, ends)),
            report: measured.report,
            programs: measured.programs,
            elapsed: measured.elapsed,
            kept: measured.kept,
        }
    };
    let alone = async {
        let wanted = scenario.expect_alone.is_some() || options.alone && scenario.skip_alone.is_none();
        if wanted {
            Some(side(Ends::ClientAlone).await)
        } else {
            None
        }
    };
    let (both, alone) = tokio::join!(side(Ends::Both), alone);
    Rehearsed {
        rehearsal,
        both,
        alone,
        again: false,
    }
}
