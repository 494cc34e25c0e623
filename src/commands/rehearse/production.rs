//! `fwdrill rehearse --ruleset`: a production ruleset, alone or against the one in force.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{RehearseArgs, bar};
use crate::cli::EstateArgs;
use crate::exit::{Exit, Failure};
use crate::rehearse::production::{self, Description, Request, render};
use crate::rehearse::render::Form;
use crate::{host, output};

#[derive(Debug, Args)]
pub(super) struct ProductionArgs {
    /// A production ruleset: nft list ruleset (text or -j), iptables-save, ip6tables-save, ipset save; repeat it where one
    /// firewall has several
    #[arg(long, value_name = "FILE", help_heading = "Ruleset")]
    pub(super) ruleset: Vec<PathBuf>,
    /// The ruleset in force: only what changes counts, and only what gets worse fails
    #[arg(long, value_name = "FILE", requires = "ruleset", help_heading = "Ruleset")]
    against: Vec<PathBuf>,
    /// The firewall's interface towards the internet: eth0=203.0.113.2/24[,2001:db8:2::2/64]
    #[arg(
        long,
        value_name = "INTERFACE=ADDRESS/PREFIX",
        requires = "ruleset",
        help_heading = "Ruleset"
    )]
    outside: Option<String>,
    /// The firewall's interface towards the network behind it
    #[arg(
        long,
        value_name = "INTERFACE=ADDRESS/PREFIX",
        requires = "ruleset",
        help_heading = "Ruleset"
    )]
    inside: Option<String>,
    /// Another network at the firewall that has clients, or the server: pune=tun0=192.168.60.1/24
    #[arg(
        long,
        value_name = "NAME=INTERFACE=ADDRESS/PREFIX",
        requires = "ruleset",
        help_heading = "Ruleset"
    )]
    branch: Vec<String>,
    /// The update server's own address [default: where the ruleset forwards the service's ports]
    #[arg(long, value_name = "ADDRESS", requires = "ruleset", help_heading = "Ruleset")]
    server: Option<String>,
    /// The outside client's address [default: one that no rule names]
    #[arg(long, value_name = "ADDRESS", requires = "ruleset", help_heading = "Ruleset")]
    client: Option<String>,
    /// The update agent's address: one more place to measure from
    #[arg(long, value_name = "ADDRESS", requires = "ruleset", help_heading = "Ruleset")]
    update_agent: Option<String>,
    /// What clients at one place dial [default: the outside address where the ruleset forwards to the server, else the
    /// server's own]
    #[arg(long, value_name = "VANTAGE=ADDRESS", requires = "ruleset", help_heading = "Ruleset")]
    dial: Vec<String>,
    /// The ports of an interface that is a bridge: br0=eth1,eth2
    #[arg(
        long,
        value_name = "BRIDGE=PORT,PORT",
        requires = "ruleset",
        help_heading = "Ruleset"
    )]
    bridge: Vec<String>,
    /// Only from this place: outside, inside, a branch's name, update-agent
    #[arg(long, value_name = "VANTAGE", requires = "ruleset", help_heading = "Ruleset")]
    vantage: Vec<String>,
    /// What loads an iptables-save: nftables' tables, as Debian has it, or iptables' own
    #[arg(long, value_enum, default_value_t = Backend::Nft, value_name = "BACKEND", help_heading = "Ruleset")]
    iptables: Backend,
    /// Do not ask the kernel which rule decided
    #[arg(long, requires = "ruleset", help_heading = "Ruleset")]
    no_trace: bool,
    #[command(flatten)]
    estate: EstateArgs,
}

/// Whose tables iptables rules are loaded into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Backend {
    Nft,
    Legacy,
}

/// How many labs at a time: they mostly wait.
const PARALLEL: usize = 8;

/// Within a namespace an answer takes less than a millisecond, nothing is lost, and every silence is waited for.
const TIMEOUT: &str = "--timeout=0.9";

pub(super) async fn run(args: &RehearseArgs, quiet: bool) -> Result<Exit, Failure> {
    let production = &args.production;
    let form = match args.format {
        Form::Text => render::text,
        Form::Json => render::json,
        Form::Markdown => render::markdown,
        other => {
            let name = other
                .to_possible_value()
                .map(|value| value.get_name().to_owned())
                .unwrap_or_default();
            return Err(
                anyhow::anyhow!("--format {name}: a ruleset's rehearsal comes as text, json or markdown").into(),
            );
        }
    };
    let prepared = production::prepare(production.request(args)?).await?;
    let bar = bar(prepared.labs(), "places", quiet);
    let stop = host::stop_signal()?;
    let running = prepared.run(|| bar.inc(1));
    let outcome = host::unless_stopped(&stop, "every path is taken down", running).await?;
    bar.finish_and_clear();
    output::say(form(&outcome).trim_end());
    Ok(outcome.verdict().into())
}

impl ProductionArgs {
    fn request(&self, args: &RehearseArgs) -> anyhow::Result<Request> {
        let file = self.estate.file()?;
        let file = file
            .map(|(name, text)| production::described(&name, &text))
            .transpose()?;
        Ok(Request {
            rulesets: self.ruleset.clone(),
            against: self.against.clone(),
            description: self.description()?.over(file.unwrap_or_default()),
            legacy: self.iptables == Backend::Legacy,
            trace: !self.no_trace,
            vantages: self.vantage.clone(),
            estate: self.estate.load([])?,
            estate_arguments: self.estate.arguments()?,
            environment: production::environment(),
            probe_arguments: [TIMEOUT, "--brief"].map(str::to_owned).to_vec(),
            server_arguments: args.engine_argument().into_iter().collect(),
            parallel: args.parallel.map_or(PARALLEL, usize::from),
        })
    }

    fn description(&self) -> anyhow::Result<Description> {
        let bridge = pairs("--bridge", &self.bridge)?
            .into_iter()
            .map(|(name, ports)| (name, ports.split(',').map(|port| port.trim().to_owned()).collect()))
            .collect();
        Ok(Description {
            outside: self.outside.clone(),
            inside: self.inside.clone(),
            branch: pairs("--branch", &self.branch)?,
            server: self.server.clone(),
            client: self.client.clone(),
            update_agent: self.update_agent.clone(),
            dial: pairs("--dial", &self.dial)?,
            bridge,
        })
    }
}

fn pairs(flag: &str, texts: &[String]) -> anyhow::Result<BTreeMap<String, String>> {
    texts
        .iter()
        .map(|text| match text.split_once('=') {
            Some((name, value)) => Ok((name.trim().to_owned(), value.trim().to_owned())),
            None => anyhow::bail!("{flag} {text}: expected NAME=..."),
        })
        .collect()
}
