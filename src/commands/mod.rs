//! One file per subcommand.

pub(crate) mod agent;
mod client;
pub(crate) mod completions;
pub(crate) mod diagnose;
pub(crate) mod drill;
pub(crate) mod explain;
pub(crate) mod healthcheck;
pub(crate) mod lint;
pub(crate) mod man;
pub(crate) mod probe;
pub(crate) mod publish;
pub(crate) mod rehearse;
pub(crate) mod rules;
pub(crate) mod serve;
pub(crate) mod storm;
pub(crate) mod sync;
mod waiting;

use fwdrill_protocol::report::Verdict;

use crate::cli::{Cli, Command};
use crate::exit::{Exit, Failure};

/// Runs the command that was asked for.
pub(crate) async fn run(cli: Cli) -> Result<Exit, Failure> {
    let quiet = cli.quiet;
    match cli.command {
        Command::Drill(args) => drill::run(args, quiet).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Probe(args) => probe::run(args, quiet).await,
        Command::Sync(args) => sync::run(args, quiet).await,
        Command::Agent(args) => agent::run(args).await,
        Command::Storm(args) => storm::run(args, quiet).await,
        Command::Publish(args) => publish::run(args).await,
        Command::Healthcheck(args) => healthcheck::run(args).await,
        Command::Lint(args) => lint::run(args),
        Command::Rehearse(args) => rehearse::run(args, quiet).await,
        Command::Rules(args) => rules::run(args),
        Command::Diagnose(args) => diagnose::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Completions(args) => Ok(completions::run(&args)),
        Command::Man(args) => man::run(&args),
        Command::Middlebox(kind) => Ok(crate::middlebox::run(kind).await.map(|()| Exit::Pass)?),
        Command::RehearseLab { .. } => Ok(crate::rehearse::inside::run().await.map(|()| Exit::Pass)?),
        Command::RehearseTrace(args) => Ok(crate::rehearse::inside::trace(&args).await.map(|()| Exit::Pass)?),
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Exit::Pass,
            Verdict::Fail => Exit::Fail,
            Verdict::Inconclusive => Exit::Inconclusive,
        }
    }
}
