//! `fwdrill agent`: live as a client PC, until told to stop.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use fwdrill_client::agent::{Agent, Config, StartError};
use fwdrill_protocol::estate::expectation::OUTSIDE;

use super::client::ClientArgs;
use super::sync;
use crate::cli::seconds;
use crate::exit::{Exit, Failure};
use crate::{host, output};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fwdrill agent update.example.net --into /var/lib/fwdrill/agent --public-key RWQ... --set agent.token=TOKEN\n  FWDRILL_AGENT_TOKEN=TOKEN fwdrill agent update.example.net --into agent --public-key RWQ... --mode http --every 300\n  fwdrill agent 127.0.0.1 --into agent --public-key RWQ... --listen 127.0.0.1:0 --announce      (beside a server on the same host)"
)]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// How long between two update cycles, and between two questions for tasks, seconds; an eighth more or less
    #[arg(long, value_parser = seconds, default_value = "60", value_name = "SECONDS")]
    every: Duration,
    /// Where this client stands, for the probes that it is asked for
    #[arg(long, value_name = "VANTAGE", default_value = OUTSIDE)]
    from: String,
    /// Where to listen for tasks [default: server.bind and ports.agent of the estate]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Print one JSON line with every bound address and the pid when all ports are bound
    #[arg(long)]
    announce: bool,
}

pub(crate) async fn run(args: AgentArgs) -> Result<Exit, Failure> {
    let client = args.client.understand()?;
    if client.estate.ports.agent == 0 && client.estate.agent.token.is_some() {
        let why = "the estate leaves the port of the task agent to the kernel, so the server cannot be asked for tasks: \
                   say where the server has it (ports.agent), and with --listen where this client shall";
        return Err(anyhow::anyhow!(why).into());
    }
    let mut config = Config::new(client.host, client.estate, client.into, client.name);
    config.key = client.key;
    config.passive = client.passive;
    config.login = client.login;
    config.vantage = args.from;
    config.every = args.every;
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    let stop = host::stop_signal()?;
    let agent = match Agent::bind(config).await {
        Ok(agent) => agent,
        Err(StartError::Directory(error)) => return Err(sync::failure(error)),
        Err(error) => return Err(anyhow::Error::from(error).context("the agent does not start").into()),
    };
    if args.announce {
        output::say(&serde_json::to_string(&agent.announcement()).context("failed to write the announcement")?);
    }
    agent.run(stop).await;
    Ok(Exit::Pass)
}
