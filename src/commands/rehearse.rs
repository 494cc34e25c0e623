//! `fwdrill rehearse`: paths in network namespaces, with real traffic.

mod production;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use self::production::ProductionArgs;
use super::serve::EngineArg;
use crate::exit::{Exit, Failure};
use crate::rehearse::render::Form;
use crate::rehearse::{self, Judgement, Options, Rehearsed};
use crate::{host, output};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fwdrill rehearse --ruleset new.nft --outside eth0=203.0.113.2/24 --inside eth1=10.20.0.1/24 --server 10.20.0.10\n  fwdrill rehearse --ruleset new.v4 --against old.v4 --estate fwdrill.toml --format markdown    (docs/REHEARSING.md)\n  fwdrill rehearse fixtures/paths/control-port-dropped.toml\n  fwdrill rehearse fixtures/paths --parallel 4 --format junit > rehearsal.xml\n  fwdrill rehearse fixtures/paths --matrix\n  fwdrill rehearse new-branch.toml --keep          leaves the hosts standing to look around in them\n\nNeeds the programs ip and nft, but no root: everything happens in namespaces of its own, and is gone afterwards."
)]
pub(crate) struct RehearseArgs {
    /// Scenario files, or directories of them (*.toml); docs/REHEARSE.md says what is in one
    #[arg(required_unless_present = "ruleset", conflicts_with = "ruleset", value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    production: ProductionArgs,
    /// How many paths at a time [default: as many as the machine has cores; of a ruleset, 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    parallel: Option<u16>,
    /// Leave the paths standing until interrupted, and say how to look into them
    #[arg(long, conflicts_with = "ruleset")]
    keep: bool,
    /// Measure every path a second time with the client alone, which does not ask the server what it saw
    #[arg(long, conflicts_with = "ruleset")]
    alone: bool,
    /// Rehearse what does not hold once more at the end, alone: a busy machine loses time that diagnoses tell paths apart by
    #[arg(long, conflicts_with = "ruleset")]
    again: bool,
    /// The FTP server of every path that does not name one: a diagnosis is not to depend on who wrote the server
    #[arg(long, value_enum, value_name = "ENGINE")]
    ftp_engine: Option<EngineArg>,
    /// The confusion matrix: expected against found, with both ends and with the client alone
    #[arg(long, conflicts_with_all = ["format", "ruleset"])]
    matrix: bool,
    /// Form of the result
    #[arg(long, value_enum, default_value_t = Form::Text, value_name = "FORMAT")]
    format: Form,
}

pub(crate) async fn run(args: RehearseArgs, quiet: bool) -> Result<Exit, Failure> {
    if !args.production.ruleset.is_empty() {
        return production::run(&args, quiet).await;
    }
    let mut rehearsals = rehearse::read(&args.files)?;
    if let Some(engine) = args.engine_argument() {
        for rehearsal in &mut rehearsals {
            let arguments = &mut rehearsal.scenario.server.args;
            if !arguments.iter().any(|argument| argument.starts_with("--ftp-engine")) {
                arguments.push(engine.clone());
            }
        }
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let form = if args.matrix { Form::Matrix } else { args.format };
    let options = Options {
        parallel: args.parallel.map_or(cores, usize::from),
        keep: args.keep,
        alone: args.alone || form == Form::Matrix,
        again: args.again,
    };
    let bar = bar(rehearsals.len(), "paths", quiet);
    let stop = host::stop_signal()?;
    let running = rehearse::run(rehearsals, options, || bar.inc(1));
    let rehearsed = host::unless_stopped(&stop, "every path is taken down", running).await?;
    bar.finish_and_clear();
    output::say(form.render(&rehearsed).trim_end());
    if args.keep {
        output::tell("kept until interrupted");
        stop.cancelled().await;
    }
    Ok(exit(&rehearsed))
}

impl RehearseArgs {
    /// What tells `serve` of the FTP server that was asked for.
    fn engine_argument(&self) -> Option<String> {
        let engine = self.ftp_engine?.to_possible_value()?;
        Some(format!("--ftp-engine={}", engine.get_name()))
    }
}

/// Counts labs. indicatif draws nothing where stderr is no terminal.
fn bar(labs: usize, what: &str, quiet: bool) -> ProgressBar {
    let target = if quiet {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let style = ProgressStyle::with_template(&format!("{{bar:40}} {{pos}}/{{len}} {what}"));
    ProgressBar::with_draw_target(Some(labs as u64), target).with_style(style.unwrap_or(ProgressStyle::default_bar()))
}

/// Wrong is worse than not done; a known gap is neither.
fn exit(rehearsed: &[Rehearsed]) -> Exit {
    let any = |wanted: &[Judgement]| rehearsed.iter().any(|one| wanted.contains(&one.judgement()));
    if any(&[Judgement::Wrong, Judgement::GapClosed]) {
        Exit::Fail
    } else if any(&[Judgement::Undone]) {
        Exit::Inconclusive
    } else {
        Exit::Pass
    }
}
