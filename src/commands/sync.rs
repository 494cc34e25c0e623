//! `fwdrill sync`: one client's update cycle, or (`--watch`) one after the other.

mod bars;
mod telling;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use fwdrill_client::ftp::Passive;
use fwdrill_client::sync::{Concern, Login, Outcome, Server, SyncError, Tally, UpdateCycle, Uploads, this_host};
use fwdrill_protocol::update_set::PublicKey;

use crate::cli::{EstateArgs, Switch, passive, seconds, target};
use crate::exit::{Exit, Failure};
use crate::{host, output};
use bars::Bars;
use telling::{Telling, Watched};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fwdrill sync update.example.net --into updates --public-key RWQ...\n  fwdrill sync update.example.net --into updates --mode http\n  fwdrill sync update.example.net --into /srv/updates --watch      (with `fwdrill serve --role update-agent --depot /srv/updates`: an update agent)"
)]
pub(crate) struct SyncArgs {
    /// The server: an address or a name [default: server.host of the estate]
    host: Option<String>,
    #[command(flatten)]
    estate: EstateArgs,
    /// Directory for the update sets; a depot that `serve` can serve
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
    /// The key that update sets must be signed with: RW... or a file with it; needed for the first sync
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
    /// Download over: ftp or http [default: mode of the estate]
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// How FTP data connections are asked for: auto (EPSV, then PASV), epsv, pasv
    #[arg(long, value_name = "HOW", value_parser = passive, default_value = "auto")]
    passive: Passive,
    /// Name of this client, for its uploads [default: the host's name]
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Whether to upload sysinfo.json and mwav.log
    #[arg(long, value_enum, value_name = "SWITCH", default_value_t = Switch::On)]
    uploads: Switch,
    /// Whether the server is told what came of it; what it does not take is kept in `events` of the directory
    #[arg(long, value_enum, value_name = "SWITCH", default_value_t = Switch::On)]
    events: Switch,
    /// FTP user [default: anonymous]
    #[arg(long, value_name = "NAME", requires = "password")]
    user: Option<String>,
    /// Password of --user
    #[arg(long, value_name = "PASSWORD", requires = "user")]
    password: Option<String>,
    /// Keep at it until stopped
    #[arg(long)]
    watch: bool,
    /// With --watch: how long between two cycles, seconds
    #[arg(long, value_parser = seconds, default_value = "60", value_name = "SECONDS", requires = "watch")]
    every: Duration,
}

pub(crate) async fn run(args: SyncArgs, quiet: bool) -> Result<Exit, Failure> {
    let mode = args.mode.as_ref().map(|mode| ("--mode", "mode", mode.clone()));
    let estate = args.estate.load(mode)?;
    let host = target(args.host.clone(), &estate)?;
    let client = match &args.client {
        Some(name) => name.parse().with_context(|| format!("--client {name}"))?,
        None => this_host(),
    };
    let key = args
        .public_key
        .as_deref()
        .or(estate.update.public_key.as_deref())
        .map(public_key)
        .transpose()?;
    let stop = host::stop_signal()?;
    let mut telling = args
        .events
        .is_on()
        .then(|| Telling::new(&args.into, client.clone(), &estate));
    loop {
        let cycle = async {
            let server = Server::resolve(&host, &estate).await?;
            let mut cycle = UpdateCycle::new(server, &args.into, client.clone());
            cycle.mode = estate.mode;
            cycle.passive = args.passive;
            cycle.key = key.clone();
            cycle.uploads = args.uploads.is_on();
            if let Some((user, password)) = args.user.clone().zip(args.password.clone()) {
                cycle.login = Login { user, password };
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
            Ok(outcome) if !quiet => output::say(&told(&outcome)),
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

pub(super) fn public_key(given: &str) -> anyhow::Result<PublicKey> {
    let text = if given.starts_with("RW") {
        given.to_owned()
    } else {
        std::fs::read_to_string(given).with_context(|| format!("failed to read the public key {given}"))?
    };
    PublicKey::parse(&text).with_context(|| format!("{given} is not a minisign public key"))
}

/// The exit code says whose trouble it is; the message, what to do.
fn failure(error: SyncError) -> Failure {
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

/// One line about what came of a cycle.
pub(crate) fn told(outcome: &Outcome) -> String {
    let set = format!("version {}, serial {}", outcome.version, outcome.serial);
    let got = match &outcome.installed {
        None => format!("nothing new: {set}"),
        Some(Tally {
            reused,
            built,
            downloaded,
            received,
        }) => {
            let before = outcome
                .before
                .map_or_else(|| "none".to_owned(), |serial| serial.to_string());
            format!(
                "{set} (before: {before}): {downloaded} files downloaded ({received} bytes), {built} built from incremental updates, {reused} unchanged"
            )
        }
    };
    match &outcome.uploads {
        Uploads::Done(paths) => format!("{got}; uploaded {}", paths.join(" and ")),
        Uploads::NoWay(reason) => format!("{got}; no uploads: {reason}"),
        Uploads::NotWanted => got,
    }
}

/// An error and its causes in one line.
fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
