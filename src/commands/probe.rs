//! `fwdrill probe`: measure the path from here to a server, diagnose, report.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fwdrill_client::diagnosis::diagnose;
use fwdrill_client::events;
use fwdrill_client::plan::{Depth, Plan, Range};
use fwdrill_client::probe;
use fwdrill_client::sync::this_host;
use fwdrill_protocol::estate::expectation::OUTSIDE;

use super::waiting::watched;
use crate::cli::{EstateArgs, Switch, seconds, target};
use crate::exit::{Exit, Failure};
use crate::host;
use crate::output::ReportArgs;
use crate::record;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fwdrill probe update.example.net\n  fwdrill probe 203.0.113.2 --full-range --from branch --format junit --out fwdrill.xml\n  fwdrill probe 203.0.113.2 --estate fwdrill.toml --format text --format json --out report.txt --out report.json\n  fwdrill probe 203.0.113.2 --no-evidence --save client.json         (fwdrill diagnose joins it with the server's journal)"
)]
pub(crate) struct ProbeArgs {
    /// The server: an address or a name [default: server.host of the estate]
    host: Option<String>,
    #[command(flatten)]
    estate: EstateArgs,
    #[command(flatten)]
    report: ReportArgs,
    /// How long to wait for each single answer, seconds
    #[arg(long, value_parser = seconds, default_value = "3", value_name = "SECONDS")]
    timeout: Duration,
    /// Try every port of the passive range, not a sample
    #[arg(long)]
    full_range: bool,
    /// Try no port of the passive range but those of the transfers
    #[arg(long, conflicts_with_all = ["full_range", "thorough"])]
    quick: bool,
    /// Try everything: the full range, connections held idle, many at once, large files
    #[arg(long)]
    thorough: bool,
    /// No more than a rehearsal has time for: as --quick, but with a sample of the passive range
    #[arg(long, hide = true, conflicts_with_all = ["full_range", "quick", "thorough"])]
    brief: bool,
    /// Do not ask the server what it saw
    #[arg(long)]
    no_evidence: bool,
    /// Whether the server gets the report, if its events port answers as the server's own
    #[arg(long, value_enum, value_name = "SWITCH", default_value_t = Switch::On)]
    send_report: Switch,
    /// Keep what this client saw in a file, for `fwdrill diagnose` to join with the server's journal
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Where this client stands: what is expected differs by vantage
    #[arg(long, value_name = "VANTAGE", default_value = OUTSIDE)]
    from: String,
    /// The serial of the update set that this client has: an older one on offer is a rollback
    #[arg(long, value_name = "SERIAL")]
    have: Option<u64>,
    /// FTP user [default: the drill, else anonymous]
    #[arg(long, value_name = "NAME", requires = "password")]
    user: Option<String>,
    /// Password of --user
    #[arg(long, value_name = "PASSWORD", requires = "user")]
    password: Option<String>,
}

pub(crate) async fn run(args: ProbeArgs, quiet: bool) -> Result<Exit, Failure> {
    let estate = args.estate.load([])?;
    args.report.destinations()?;
    let host = target(args.host, &estate)?;
    let mut plan = Plan::new(host, estate);
    plan.vantage = args.from;
    plan.limit = args.timeout;
    plan.evidence = !args.no_evidence;
    plan.have = args.have;
    plan.login = args.user.zip(args.password);
    plan.range = match (args.quick, args.full_range || args.thorough) {
        (true, _) => Range::None,
        (_, true) => Range::Full,
        _ => Range::Sample,
    };
    plan.depth = match (args.quick, args.thorough) {
        _ if args.brief => Depth::Brief,
        (true, _) => Depth::Quick,
        (_, true) => Depth::Thorough,
        _ => Depth::Usual,
    };
    let stop = host::stop_signal()?;
    let what = format!("probing {}", plan.target);
    let probing = watched(&what, quiet, Box::pin(probe::run(&plan)));
    let seen = host::unless_stopped(&stop, host::UNMEASURED, probing).await?;
    let report = diagnose(&plan.estate, &seen);
    if let Some(file) = &args.save {
        record::save(file, &plan.estate, &seen)?;
    }
    args.report.write(&report)?;
    if args.send_report.is_on() && plan.evidence {
        // The report is what was asked for; that the server has it too is an extra.
        let sent = events::send_report(&plan, &seen, &report, this_host()).await;
        tracing::debug!(?sent, "the report for the server");
    }
    Ok(report.verdict.into())
}
