//! `fwdrill storm`: many clients that update at once, and the first limit that breaks.

mod progress;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use fwdrill_client::Limits;
use fwdrill_client::events::Destination;
use fwdrill_client::ftp::Passive;
use fwdrill_client::report::{gathered_text, storm_text};
use fwdrill_client::storm::{self, Course, GatherError, Live, Storm};
use fwdrill_client::sync::{Login, Server, SyncError, this_host};
use fwdrill_protocol::client_name::ClientName;
use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::event::{ClientEvent, What};
use fwdrill_protocol::report::Verdict;
use fwdrill_protocol::storm::{LifeLine, Machine, StormReport};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::client::public_key;
use crate::cli::{EstateArgs, Switch, duration, passive, seconds, target};
use crate::exit::{EndsAs, Exit, Failure};
use crate::{host, output};

/// How often it is looked whether the server is there.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How long the server may take over the report.
const SENDING: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 every update went well; 1 a limit broke, or something else failed; 2 usage or configuration; 3 this machine has not enough for so many.\n\nExamples:\n  fwdrill storm update.example.net --clients 2000\n  fwdrill storm update.example.net --clients 400 --ramp 0 --think 0.08      (all at once, 80 ms away)\n  fwdrill storm update.example.net --clients 500 --duration 60 --format json --out storm.json\n  fwdrill storm update.example.net --clients 10000 --at-once 1000 --mode http\n  fwdrill storm update.example.net --gathered                               (of several machines: docs/STORM.md)"
)]
pub(crate) struct StormArgs {
    /// The server: an address or a name [default: server.host of the estate]
    host: Option<String>,
    /// How many agents [default: clients of the estate]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: Option<u32>,
    /// No more than this many of them at work at the same time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    at_once: Option<u32>,
    /// Over how long their starts are spread, seconds; 0: all in the same moment
    #[arg(long, value_parser = duration, default_value = "10", value_name = "SECONDS")]
    ramp: Duration,
    /// How many updates each of them makes, one after the other
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "duration", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Begin new updates for so long instead, seconds
    #[arg(long, value_parser = seconds, value_name = "SECONDS")]
    duration: Option<Duration>,
    /// How long an agent waits between the passive port it is told and its connection there, seconds: one round trip of a
    /// client that is far away, or the time that a slow one takes
    #[arg(long, value_parser = duration, default_value = "0", value_name = "SECONDS")]
    think: Duration,
    #[command(flatten)]
    estate: EstateArgs,
    /// Download over: ftp or http [default: mode of the estate]
    #[arg(long, value_name = "MODE")]
    mode: Option<String>,
    /// How FTP data connections are asked for: auto (EPSV; PASV where the server does not know that), epsv, pasv
    #[arg(long, value_name = "HOW", value_parser = passive, default_value = "auto")]
    passive: Passive,
    /// Make no storm, but show those that the server was told of: the last of each client name (needs the enrolment token)
    #[arg(long)]
    gathered: bool,
    /// What the agents' names begin with [default: the host's name]
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// The key that the update set must be signed with; without one, files are only checked against the manifest
    #[arg(long, value_name = "KEY")]
    public_key: Option<String>,
    /// Whether agents upload their system information
    #[arg(long, value_enum, value_name = "SWITCH", default_value_t = Switch::On)]
    uploads: Switch,
    /// FTP user [default: each agent a drill of its own, else anonymous]
    #[arg(long, value_name = "NAME", requires = "password")]
    user: Option<String>,
    /// Password of --user
    #[arg(long, value_name = "PASSWORD", requires = "user")]
    password: Option<String>,
    /// How long each single step may take, seconds [default: connections 10, everything else 30]
    #[arg(long, value_parser = seconds, value_name = "SECONDS")]
    timeout: Option<Duration>,
    /// How long to wait for the server before the beginning, where both are started together, seconds
    #[arg(long, value_parser = duration, default_value = "0", value_name = "SECONDS")]
    wait: Duration,
    /// For how long an agent repeats an event that is not acknowledged, seconds
    #[arg(long, value_parser = seconds, default_value = "60", value_name = "SECONDS")]
    patience: Duration,
    /// Form of the report: text or json; repeat it for both
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Report")]
    format: Vec<Form>,
    /// File for the report instead of stdout; the first --out takes the first --format, and so on
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    out: Vec<PathBuf>,
    /// File for a JSON line about every update (fwdrill.life/1)
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    lives: Option<PathBuf>,
    /// Whether the server gets the report, as an event
    #[arg(long, value_enum, value_name = "SWITCH", default_value_t = Switch::On, help_heading = "Report")]
    send_report: Switch,
}

/// A form that the report of a storm can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Text,
    Json,
}

pub(crate) async fn run(args: StormArgs, quiet: bool) -> Result<Exit, Failure> {
    let mode = args.mode.as_ref().map(|mode| ("--mode", "mode", mode.clone()));
    let clients = args
        .clients
        .map(|clients| ("--clients", "clients", clients.to_string()));
    let estate = args.estate.load(mode.into_iter().chain(clients))?;
    let destinations = args.destinations()?;
    let name = target(args.host.clone(), &estate)?;
    let stop = host::stop_signal()?;
    let awaiting = awaited(&name, &estate, args.wait);
    let server = host::unless_stopped(&stop, host::UNMEASURED, awaiting).await?;
    let server = server.ends_as(Exit::Fail)?;
    if args.gathered {
        return gathered(&server, &estate, &destinations).await;
    }
    let storm = args.storm(server, estate)?.sized();
    if !quiet {
        for lacking in &storm.machine.short_of {
            output::tell(&format!("this machine is short of what that takes: {lacking}"));
        }
    }
    let (lives, written) = args.lives.as_deref().map(write_lives).transpose()?.unzip();
    let live = Arc::new(Live::default());
    // Stopped, it begins nothing new, and reports on what there was. A second signal ends the program.
    let storming = storm::run(storm.clone(), live.clone(), lives, &stop);
    let report = progress::shown(&live, storm.clients, quiet, storming).await;
    if let Some(written) = written {
        written
            .await
            .context("the writer of lives ended")
            .ends_as(Exit::Inconclusive)??;
    }
    for (form, file) in destinations {
        write(&report, storm_text(&report), form, file)?;
    }
    if args.send_report.is_on() {
        let sent = send(&storm, &report).await;
        tracing::debug!(?sent, "the report for the server");
    }
    Ok(report.verdict.into())
}

/// The server, as soon as its version port accepts somebody, or when the time to wait for that is over.
async fn awaited(name: &str, estate: &Estate, wait: Duration) -> Result<Server, SyncError> {
    let until = Instant::now() + wait;
    loop {
        let resolved = Server::resolve(name, estate).await;
        let answers = match &resolved {
            Ok(server) => server.answers(LOOK_AGAIN).await,
            Err(_) => false,
        };
        if answers || Instant::now() >= until {
            return resolved;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

impl StormArgs {
    fn storm(&self, server: Server, estate: Estate) -> anyhow::Result<Storm> {
        let client = match &self.client {
            Some(name) => name.parse().with_context(|| format!("--client {name}"))?,
            None => this_host(),
        };
        let key = self.public_key.as_deref().or(estate.update.public_key.as_deref());
        Ok(Storm {
            server,
            client,
            clients: estate.clients,
            at_once: self.at_once,
            ramp: self.ramp,
            course: self.duration.map_or(Course::Rounds(self.rounds), Course::Lasting),
            think: self.think,
            passive: self.passive,
            login: (self.user.clone().zip(self.password.clone())).map(|(user, password)| Login { user, password }),
            key: key.map(public_key).transpose()?,
            uploads: self.uploads.is_on(),
            limits: self.timeout.map_or_else(Limits::default, Limits::all),
            patience: self.patience,
            machine: Machine {
                open_files: fwdrill_server::connection::raise_file_limit(),
                local_ports: super::lint::local_ports().map(|ports| ports.len() as u64),
                short_of: Vec::new(),
            },
            estate,
        })
    }

    /// Each form with its file; `None` is stdout.
    fn destinations(&self) -> anyhow::Result<Vec<(Form, Option<&Path>)>> {
        let of_name = |file: &Path| match file.extension().and_then(|extension| extension.to_str()) {
            Some("json") => Form::Json,
            _ => Form::Text,
        };
        let files = self.out.iter().enumerate();
        let files = files.map(|(at, file)| {
            (
                self.format.get(at).copied().unwrap_or(of_name(file)),
                Some(file.as_path()),
            )
        });
        let rest = self.format.iter().skip(self.out.len()).map(|form| (*form, None));
        let mut destinations: Vec<_> = files.chain(rest).collect();
        if destinations.iter().filter(|(_, file)| file.is_none()).count() > 1 {
            bail!("only one --format can go to stdout: give the other one an --out FILE");
        }
        if destinations.is_empty() {
            destinations.push((Form::Text, None));
        }
        Ok(destinations)
    }
}

/// Storms of other machines, as they told the server of them. The exit code is the worst of theirs.
async fn gathered(server: &Server, estate: &Estate, to: &[(Form, Option<&Path>)]) -> Result<Exit, Failure> {
    let limits = Limits::all(SENDING);
    let reports = storm::gathered(server, estate, &limits)
        .await
        .map_err(|error| Failure {
            exit: match error {
                GatherError::NoToken => Exit::Usage,
                GatherError::Http(_) | GatherError::NotReports(_) => Exit::Inconclusive,
            },
            error: error.into(),
        })?;
    for (form, file) in to {
        write(&reports, gathered_text(&reports), *form, *file)?;
    }
    let verdicts = reports.iter().map(|report| report.verdict);
    Ok(verdicts.reduce(Verdict::worse).unwrap_or(Verdict::Inconclusive).into())
}

fn write(value: &impl Serialize, text: String, form: Form, file: Option<&Path>) -> anyhow::Result<()> {
    let text = match form {
        Form::Text => text,
        Form::Json => serde_json::to_string_pretty(value).context("failed to write the report")?,
    };
    match file {
        None => output::say(text.trim_end()),
        Some(file) => {
            let plain = anstream::adapter::strip_str(text.trim_end()).to_string() + "\n";
            std::fs::write(file, plain).with_context(|| format!("failed to write the report to {}", file.display()))?;
        }
    }
    Ok(())
}

/// A file for lines about lives; the handle ends when nobody sends any more.
fn write_lives(file: &Path) -> anyhow::Result<(mpsc::Sender<LifeLine>, JoinHandle<anyhow::Result<()>>)> {
    let name = file.display().to_string();
    let file = std::fs::File::create(file).with_context(|| format!("failed to create {name}"))?;
    let (sender, mut receiver) = mpsc::channel::<LifeLine>(1024);
    let writing = tokio::task::spawn_blocking(move || {
        let mut file = std::io::BufWriter::new(file);
        while let Some(life) = receiver.blocking_recv() {
            let line = serde_json::to_string(&life).context("failed to write a life")?;
            writeln!(file, "{line}").with_context(|| format!("failed to write to {name}"))?;
        }
        file.flush().with_context(|| format!("failed to write to {name}"))
    });
    Ok((sender, writing))
}

/// Tells the server of the storm, where it lets us in with the enrolment token.
async fn send(storm: &Storm, report: &StormReport) -> anyhow::Result<bool> {
    let Some(token) = storm.estate.agent.token.clone() else {
        return Ok(false);
    };
    let what = What::StormReport {
        report: Box::new(report.clone()),
    };
    let client: ClientName = storm.client.clone();
    let event = serde_json::to_vec(&ClientEvent::now(client, what))?;
    let addresses = storm.server.addresses.iter();
    let port = storm.estate.ports.events;
    let mut to = Destination::new(
        &storm.server.host,
        addresses.map(|address| (*address, port).into()).collect(),
    );
    to.token = Some(token);
    let receipt = to.post([event.as_slice()].into_iter(), &Limits::all(SENDING)).await?;
    Ok(receipt.refused.is_empty())
}
