//! `fwdrill drill`: the main job in one go, on one machine, without root or Docker.

mod life;

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context;
use clap::Args;
use fwdrill_client::diagnosis::diagnose;
use fwdrill_client::plan::{Plan, Range};
use fwdrill_client::probe;
use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::estate::expectation::SERVER;
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::{LifeStep, Report, Verdict};
use fwdrill_server::{Config, Role, Server, StartError};
use tokio_util::sync::CancellationToken;

use super::waiting::watched;
use crate::cli::EstateArgs;
use crate::exit::{EndsAs, Exit, Failure};
use crate::host;
use crate::output::{self, ReportArgs};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fwdrill drill\n  fwdrill drill --format json --out drill.json\n  fwdrill drill --set ftp.advertised_address=127.0.0.99     (watch it name the cause)"
)]
pub(crate) struct DrillArgs {
    #[command(flatten)]
    estate: EstateArgs,
    #[command(flatten)]
    report: ReportArgs,
    /// Try a sample of the passive range, not every port
    #[arg(long)]
    quick: bool,
}

pub(crate) async fn run(args: DrillArgs, quiet: bool) -> Result<Exit, Failure> {
    let mut estate = args.estate.load([])?;
    estate.server.bind = IpAddr::V4(Ipv4Addr::LOCALHOST);
    args.report.destinations()?;
    // Everything of a drill goes with it.
    let scratch = tempfile::tempdir()
        .context("failed to make a temporary directory")
        .ends_as(Exit::Inconclusive)?;
    let stop = host::stop_signal()?;
    let drilled = watched(
        "drilling",
        quiet,
        // Too much to be moved about on the stack.
        Box::pin(drill(estate, scratch.path(), args.quick, quiet)),
    );
    let report = host::unless_stopped(&stop, host::UNMEASURED, drilled).await??;
    args.report.write(&report)?;
    Ok(report.verdict.into())
}

async fn drill(estate: Estate, scratch: &std::path::Path, quick: bool, quiet: bool) -> Result<Report, Failure> {
    let (server, mut estate) = start(estate, scratch, quiet).await?;
    // There is no firewall here: all that is served must work, both ways to download included.
    let here = estate.expect.entry(SERVER.to_owned()).or_default();
    for flow in [Flow::FtpControl, Flow::FtpPassive, Flow::Http] {
        here.entry(flow).or_insert(Expected::Open);
    }
    let mut plan = Plan::new(IpAddr::from(Ipv4Addr::LOCALHOST).to_string(), estate);
    plan.vantage = SERVER.to_owned();
    plan.range = if quick { Range::Sample } else { Range::Full };

    let announced = server.announcement().clone();
    let tasks = server.tasks().cloned();
    let stopping = CancellationToken::new();
    let serving = tokio::spawn(server.run(stopping.clone()));
    let life = Box::pin(life::live(&plan, &announced, tasks.as_ref(), scratch)).await;
    let mut report = diagnose(&plan.estate, &Box::pin(probe::run(&plan)).await);
    stopping.cancel();
    serving.await.ends_as(Exit::Inconclusive)?;
    if life.iter().any(|step: &LifeStep| !step.ok) {
        report.verdict = Verdict::Fail;
    }
    report.life = Some(life);
    Ok(report)
}

/// Starts the server on the estate's ports; whatever of them is taken is replaced by free ones, and said.
async fn start(mut estate: Estate, scratch: &std::path::Path, quiet: bool) -> Result<(Server, Estate), Failure> {
    let config = |estate: &Estate| {
        Config::new(
            estate.clone(),
            Role::Server,
            scratch.join("depot"),
            scratch.join("server"),
        )
    };
    let server = match Server::bind(config(&estate)).await {
        Err(StartError::Ports(taken)) => {
            for error in taken.errors() {
                if !quiet {
                    output::tell(&format!(
                        "TCP {} is not to be had ({}): the {} gets a free port",
                        error.address.port(),
                        error.source,
                        error.flow.title()
                    ));
                }
                estate.set_port(error.flow, 0);
            }
            Server::bind(config(&estate)).await
        }
        bound => bound,
    };
    let server = server
        .context("the server does not start")
        .ends_as(Exit::Inconclusive)?;
    for (flow, address) in &server.announcement().addresses {
        estate.set_port(*flow, address.port());
    }
    Ok((server, estate))
}
