//! `fwdrill healthcheck`: does the server on this host answer on every port it should?

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use fwdrill_client::diagnosis::diagnose;
use fwdrill_client::plan::{Depth, Plan, Range};
use fwdrill_client::probe;
use fwdrill_protocol::estate::expectation::SERVER;
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Verdict;
use fwdrill_server::Config;
use tokio::net::TcpStream;

use super::serve::RoleArg;
use crate::cli::{EstateArgs, seconds};
use crate::exit::{Exit, Failure};
use crate::output;

#[derive(Debug, Args)]
#[command(
    after_help = "Example, in a compose file:\n  healthcheck:\n    test: [\"CMD\", \"fwdrill\", \"healthcheck\"]\n    interval: 5s"
)]
pub(crate) struct HealthcheckArgs {
    #[command(flatten)]
    estate: EstateArgs,
    /// Which of the guide's two servers runs here
    #[arg(long, value_enum, default_value_t = RoleArg::Server, env = "FWDRILL_ROLE")]
    role: RoleArg,
    /// How long to wait for each single answer, seconds
    #[arg(long, value_parser = seconds, default_value = "2", value_name = "SECONDS")]
    timeout: Duration,
}

pub(crate) async fn run(args: HealthcheckArgs) -> Result<Exit, Failure> {
    let mut estate = args.estate.load([])?;
    let address = match estate.server.bind {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        bound => bound,
    };
    let config = Config::new(estate.clone(), args.role.into(), "", "");
    let flows: Vec<Flow> = config.flows().collect();
    if let Some(flow) = flows.iter().find(|flow| estate.port(**flow) == Some(0)) {
        return Err(
            anyhow::anyhow!("the estate leaves the port of {flow} to the kernel, so there is nothing to ask").into(),
        );
    }
    // Here nothing lies between: whatever this role listens on must answer.
    let dialled =
        |flow: &Flow| flows.contains(flow) && (address.is_loopback() || !config.listens_at(*flow).is_loopback());
    let here = estate.expect.entry(SERVER.to_owned()).or_default();
    for flow in Flow::ALL {
        here.insert(flow, if dialled(&flow) { Expected::Open } else { Expected::Any });
    }
    let mut plan = Plan::new(address.to_string(), estate);
    plan.vantage = SERVER.to_owned();
    plan.limit = args.timeout;
    plan.range = Range::None;
    plan.depth = Depth::Quick;
    plan.evidence = false;
    // A forward of the outside address would lead back here as a stranger, if at all.
    plan.on_server_host = true;
    let report = diagnose(&plan.estate, &probe::run(&plan).await);
    for flow in report.flows.iter().filter(|flow| flow.verdict != Verdict::Pass) {
        let detail = flow.detail.as_deref().unwrap_or(flow.outcome.name());
        output::complain(&format!(
            "{} on {}: {detail}",
            flow.flow.title(),
            flow.to.map_or_else(|| "?".to_owned(), |to| to.to_string())
        ));
    }
    let mut exit = report.verdict.into();
    // A server that listens at one address has a port on loopback all the same.
    for flow in flows.iter().filter(|flow| !dialled(flow)) {
        let to = SocketAddr::new(config.listens_at(*flow), config.estate.port(*flow).unwrap_or_default());
        let connected = tokio::time::timeout(args.timeout, TcpStream::connect(to)).await;
        if let Err(error) = connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            output::complain(&format!("{} on {to}: {error}", flow.title()));
            exit = Exit::Fail;
        }
    }
    Ok(exit)
}
