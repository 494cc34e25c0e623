//! `fwdrill sync`: one client's update cycle, or (`--watch`) one after the other.

mod bars;

use std::time::Duration;

use clap::Args;
use fwdrill_client::events::{Telling, Watched};
use fwdrill_client::sync::{Concern, Server, SyncError, UpdateCycle};

use super::client::{Client, ClientArgs};
use crate::cli::{Switch, seconds};
use crate::exit::{Exit, Failure};
use crate::{host, output};
use bars::Bars;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fwdrill sync update.example.net --into updates --public-key RWQ...\n  fwdrill sync update.example.net --into updates --mode http\n  fwdrill sync update.example.net --into /srv/updates --watch      (with `fwdrill serve --role update-agent --depot /srv/updates`: an update agent)"
)]
pub(crate) struct SyncArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// Whether to upload sysinfo.json and mwav.log
    #[arg(long, value_enum, value_name = "SWITCH", default_value_t = Switch::On)]
    uploads: Switch,
    /// Whether the server is told what came of it; what it does not take is kept in `events` of the directory
    #[arg(long, value_enum, value_name = "SWITCH", default_value_t = Switch::On)]
    events: Switch,
    /// Keep at it until stopped
    #[arg(long)]
    watch: bool,
    /// With --watch: how long between two cycles, seconds
    #[arg(long, value_parser = seconds, default_value = "60", value_name = "SECONDS", requires = "watch")]
    every: Duration,
}

pub(crate) async fn run(args: SyncArgs, quiet: bool) -> Result<Exit, Failure> {
    let Client {
        host,
        estate,
        into,
        key,
        passive,
        name,
        login,
    } = args.client.understand()?;
    let stop = host::stop_signal()?;
    let mut telling = args
        .events
        .is_on()
        .then(|| Telling::new(&into, name.clone(), &estate, "sync"));
    loop {
        let cycle = async {
            let server = Server::resolve(&host, &estate).await?;
            let mut cycle = UpdateCycle::new(server, &into, name.clone());
            cycle.mode = estate.mode;
            cycle.passive = passive;
            cycle.key = key.clone();
            cycle.uploads = args.uploads.is_on();
            if let Some(login) = &login {
                cycle.login = login.clone();
            }
            cycle.drill = telling.as_ref().and_then(Telling::drill);
            let watched = Watched::new(Bars::new(quiet));
            let ended = cycle.run(&watched).await;
            if let Some(telling) = &mut telling {
                telling.note(watched, &ended).await;
                telling.send(&cycle.server).await;
            }
            ended
        };
        let told_if_stopped = "the set in force is as it was, and the next sync goes on from here";
        match host::unless_stopped(&stop, told_if_stopped, cycle).await? {
            Ok(outcome) if !quiet => output::say(&outcome.to_string()),
            Ok(_) => {}
            Err(error) if args.watch && error.concern() != Concern::Configuration => {
                tracing::warn!("{:#}; trying again in {:?}", anyhow::Error::from(error), args.every);
            }
            Err(error) => return Err(failure(error)),
        }
        if !args.watch {
            return Ok(Exit::Pass);
        }
        tokio::select! {
            () = tokio::time::sleep(args.every) => {}
            () = stop.cancelled() => return Ok(Exit::Pass),
        }
    }
}

/// The exit code says whose trouble it is; the message, what to do.
pub(super) fn failure(error: SyncError) -> Failure {
    let exit = match error.concern() {
        Concern::Configuration => Exit::Usage,
        Concern::Network | Concern::Content | Concern::Upload => Exit::Fail,
        Concern::Disk => Exit::Inconclusive,
    };
    let next = match (&error, error.concern()) {
        (SyncError::NoKey(_), _) => {
            Some("the server prints its key when it starts (public_key=RW...): give it with --public-key")
        }
        (_, Concern::Network) => Some("`fwdrill probe` names what is in the way"),
        (_, Concern::Disk) => Some("nothing is lost: make room and run it again"),
        _ => None,
    };
    let error = anyhow::Error::from(error);
    // The chain is printed in one line, so what to do next stands at its end.
    let error = match next {
        Some(next) => anyhow::anyhow!("{error:#} ({next})"),
        None => error,
    };
    Failure { exit, error }
}
