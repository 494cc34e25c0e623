//! `fwdrill serve`: the update server, or an update agent, until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use fwdrill_protocol::flow::Flow;
use fwdrill_server::{Config, FtpEngine, Role, Server};

use crate::cli::{EstateArgs, Switch, seconds};
use crate::exit::{Exit, Failure};
use crate::{host, output};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fwdrill serve\n  fwdrill serve --set ftp.advertised_address=203.0.113.2 --set ftp.passive_ports=3023-4022\n  fwdrill serve --eserv-ini eserv.ini --depot /srv/updates --announce\n  fwdrill serve --role update-agent --depot /srv/updates      (beside `fwdrill sync --into /srv/updates --watch`)"
)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    estate: EstateArgs,
    /// Which of the guide's two servers to be
    #[arg(long, value_enum, default_value_t = RoleArg::Server, env = "FWDRILL_ROLE")]
    role: RoleArg,
    /// Directory of published update sets; a small signed set is made if there is none [default: depot in the state directory]
    #[arg(long, value_name = "DIR", env = "FWDRILL_DEPOT")]
    depot: Option<PathBuf>,
    /// Directory for keys, certificates, the drop box and the journal [default: the user's own state directory]
    #[arg(long, value_name = "DIR", env = "FWDRILL_STATE")]
    state: Option<PathBuf>,
    /// Print one JSON line with every bound address and the pid when all ports are bound
    #[arg(long)]
    announce: bool,
    /// Who speaks FTP
    #[arg(long, value_enum, default_value_t = EngineArg::Native, env = "FWDRILL_FTP_ENGINE", value_name = "ENGINE")]
    ftp_engine: EngineArg,
    /// Whether there is FTP at all (needs mode = "http" when off)
    #[arg(long, value_enum, value_name = "SWITCH")]
    ftp: Option<Switch>,
    /// How long transfers may go on after SIGTERM, seconds
    #[arg(long, value_parser = seconds, default_value = "10", value_name = "SECONDS")]
    grace: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    Server,
    UpdateAgent,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Server => Role::Server,
            RoleArg::UpdateAgent => Role::UpdateAgent,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum EngineArg {
    /// Our own session loop
    Native,
    /// A server that nobody here wrote: the control group
    Libunftp,
}

pub(crate) async fn run(args: ServeArgs) -> Result<Exit, Failure> {
    let flag = args.ftp.map(|ftp| ("--ftp", "ftp.enabled", ftp.is_on().to_string()));
    let estate = args.estate.load(flag)?;
    let state = args.state.map_or_else(host::default_state, Ok)?;
    let depot = args.depot.unwrap_or_else(|| state.join("depot"));
    let mut config = Config::new(estate, args.role.into(), depot, state);
    config.grace = args.grace;
    config.engine = match args.ftp_engine {
        EngineArg::Native => FtpEngine::Native,
        EngineArg::Libunftp => FtpEngine::Libunftp,
    };
    let stop = host::stop_signal()?;
    let server = Server::bind(config).await.context("the server does not start")?;
    if let Some(key) = &server.announcement().public_key {
        tracing::info!(public_key = %key, "clients check update sets with this key: fwdrill sync HOST --public-key ...");
    }
    if let Some(password) = server.console_password() {
        output::tell(&told_once(&server, password));
    }
    if args.announce {
        output::say(&serde_json::to_string(server.announcement()).context("failed to write the announcement")?);
    }
    server.run(stop).await;
    Ok(Exit::Pass)
}

/// The password of the console, for whoever starts the server for the first time.
fn told_once(server: &Server, password: &str) -> String {
    let port = server
        .announcement()
        .addresses
        .get(&Flow::Console)
        .map_or(0, SocketAddr::port);
    format!(
        "web console: https://localhost:{port}, password {password}\n\
         It is not shown again. For another one, delete console/password in the state directory and start again."
    )
}
