//! The command line as users write it. Parsing only: what it means is decided in `commands`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use fwdrill_client::ftp::Passive;
use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::estate::layers::Layers;

use crate::commands::{
    agent, completions, diagnose, drill, explain, healthcheck, lint, man, probe, publish, rehearse, rules, serve,
    storm, sync,
};

/// Try an update service through the firewall before the change reaches production
#[derive(Debug, Parser)]
#[command(name = "fwdrill", version, max_term_width = 100)]
#[command(
    after_help = "Exit codes: 0 everything expected holds; 1 something does not; 2 usage or configuration; 3 a check could not be carried out.\n\nExamples:\n  fwdrill drill                          the whole thing on this machine, no root, no Docker\n  fwdrill serve                          the update server, on the guide's ports\n  fwdrill probe update.example.net       from a client's place: what works, and which rule is wrong"
)]
pub(crate) struct Cli {
    /// Say only what went wrong
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Say more: -v what happens, -vv every line of every protocol
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Form of the log on stderr
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORM")]
    pub(crate) log_format: LogFormat,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Rehearse on this machine: server, client and a full probe between them
    Drill(drill::DrillArgs),
    /// Be the update server, or an update agent
    Serve(serve::ServeArgs),
    /// Measure the path from here to a server, and name what is wrong with it
    Probe(probe::ProbeArgs),
    /// Be a client: one update cycle, or one after the other
    Sync(sync::SyncArgs),
    /// Live as a client PC: updates, uploads, events, and tasks of the server
    Agent(agent::AgentArgs),
    /// Be thousands of clients that update at once, and name the first limit that breaks
    Storm(storm::StormArgs),
    /// Make and sign the next update set of a depot
    Publish(publish::PublishArgs),
    /// Ask the server on this host whether every port answers (for compose)
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Find contradictions inside an estate, an eserv.ini and a firewall's list of ports, without any traffic
    Lint(lint::LintArgs),
    /// Build paths in network namespaces, and see whether the diagnosis names what is wrong with them
    Rehearse(rehearse::RehearseArgs),
    /// The rules that the estate needs, for the firewall at hand
    Rules(rules::RulesArgs),
    /// Join records taken where the two ends could not talk, and diagnose
    Diagnose(diagnose::DiagnoseArgs),
    /// What a finding means, how it is told apart, how to fix it
    Explain(explain::ExplainArgs),
    /// What a shell needs to complete this program's command line
    Completions(completions::CompletionsArgs),
    /// This program's man pages
    Man(man::ManArgs),
    /// Something on a rehearsal's path that misbehaves
    #[command(hide = true, subcommand)]
    Middlebox(crate::middlebox::Kind),
    /// One path of a rehearsal, told on stdin what to build
    #[command(hide = true)]
    RehearseLab {
        /// Already within the namespaces
        #[arg(long)]
        inside: bool,
    },
    /// Which rules the packets of two hosts meet, told when stdin ends
    #[command(hide = true)]
    RehearseTrace(crate::rehearse::inside::TracerArgs),
}

/// What listens where: default < eserv.ini < file < environment < flags.
#[derive(Debug, Args)]
pub(crate) struct EstateArgs {
    /// The estate file (fwdrill.toml); without one, the guide's estate
    #[arg(long, value_name = "FILE", env = "FWDRILL_ESTATE", help_heading = "Estate")]
    estate: Option<PathBuf>,
    /// A Windows eserv.ini, for the passive range and the advertised address
    #[arg(long, value_name = "FILE", env = "FWDRILL_ESERV_INI", help_heading = "Estate")]
    eserv_ini: Option<PathBuf>,
    /// Override any key of the estate: --set ftp.passive_ports=30000-30009
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Estate")]
    set: Vec<String>,
}

impl EstateArgs {
    /// Whether anything of an estate was said.
    pub(crate) fn is_given(&self) -> bool {
        self.estate.is_some() || self.eserv_ini.is_some() || !self.set.is_empty()
    }

    /// The eserv.ini as it is, if one was given: its name and its bytes.
    pub(crate) fn eserv_ini(&self) -> anyhow::Result<Option<(String, Vec<u8>)>> {
        let Some(path) = &self.eserv_ini else { return Ok(None) };
        let bytes = std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
        Ok(Some((path.display().to_string(), bytes)))
    }

    /// What a person calls the estate: its files.
    pub(crate) fn name(&self) -> String {
        let files: Vec<String> = [&self.eserv_ini, &self.estate]
            .into_iter()
            .flatten()
            .map(|path| path.display().to_string())
            .collect();
        match files.is_empty() {
            true => "the guide's estate".to_owned(),
            false => files.join(" and "),
        }
    }

    /// The estate file's name and text, if there is one.
    pub(crate) fn file(&self) -> anyhow::Result<Option<(String, String)>> {
        let Some(path) = &self.estate else { return Ok(None) };
        let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
        Ok(Some((path.display().to_string(), text)))
    }

    /// Arguments for another process of this machine that make the same estate.
    pub(crate) fn arguments(&self) -> anyhow::Result<Vec<String>> {
        let mut arguments = Vec::new();
        for (flag, path) in [("--estate", &self.estate), ("--eserv-ini", &self.eserv_ini)] {
            let Some(path) = path else { continue };
            let whole = path
                .canonicalize()
                .with_context(|| format!("failed to find {}", path.display()))?;
            arguments.push(format!("{flag}={}", whole.display()));
        }
        arguments.extend(self.set.iter().map(|assignment| format!("--set={assignment}")));
        Ok(arguments)
    }

    /// The estate; `flags` are other flags that set a key: as written, key, value.
    pub(crate) fn load<'a>(
        &self,
        flags: impl IntoIterator<Item = (&'a str, &'a str, String)>,
    ) -> anyhow::Result<Estate> {
        let mut layers = Layers::new();
        if let Some((name, bytes)) = self.eserv_ini()? {
            layers = layers.eserv_ini(&name, &bytes);
        }
        if let Some(path) = &self.estate {
            let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
            layers = layers.file(&path.display().to_string(), &text);
        }
        // A variable that is not UTF-8 is none of ours.
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        layers = layers.environment(environment);
        for (flag, key, value) in flags {
            layers = layers.flag(flag, key, &value);
        }
        for assignment in &self.set {
            layers = layers.set(assignment);
        }
        Ok(layers.resolve()?)
    }
}

/// The server that a client goes to: the one given, else the estate's.
pub(crate) fn target(given: Option<String>, estate: &Estate) -> anyhow::Result<String> {
    given
        .or_else(|| estate.server.host.clone())
        .context("which server? give a HOST, or server.host in the estate")
}

/// `on` or `off`, so that every switch can be set both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

impl Switch {
    pub(crate) fn is_on(self) -> bool {
        self == Switch::On
    }
}

/// Seconds, as people write them: `3`, `0.5`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("expected more than 0 seconds".to_owned()),
        duration => Ok(duration),
    }
}

/// The same, or none at all: `0`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "expected a number of seconds, not a negative one".to_owned())
}

/// `auto`, `epsv` or `pasv`.
pub(crate) fn passive(text: &str) -> Result<Passive, String> {
    match text {
        "auto" => Ok(Passive::Auto),
        "epsv" => Ok(Passive::Epsv),
        "pasv" => Ok(Passive::Pasv),
        _ => Err("expected auto, epsv or pasv".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn seconds_are_positive_numbers() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["0", "-1", "x", "inf", "NaN"] {
            assert!(seconds(text).is_err(), "{text}");
            assert_eq!(duration(text).is_ok(), text == "0", "{text}");
        }
    }
}
