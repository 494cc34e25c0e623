//! `fwdrill lint`: contradictions inside an estate, an `eserv.ini` and a firewall's list of ports, without any traffic.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::estate::eserv_ini;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::lint::{Ephemeral, Source, Statements, lint, port_list};
use fwdrill_protocol::report::Report;
use jiff::Timestamp;
use tracing::debug;

use crate::cli::EstateArgs;
use crate::exit::{Exit, Failure};
use crate::output::ReportArgs;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fwdrill lint --estate fwdrill.toml\n  fwdrill lint --eserv-ini eserv.ini --port-list change-request.txt --clients 400\n  fwdrill lint --estate fwdrill.toml --format sarif --out lint.sarif    for a pipeline: exit code 1 at an error"
)]
pub(crate) struct LintArgs {
    /// How many clients update at once (overrides `clients` of the estate)
    #[arg(long, value_name = "N")]
    clients: Option<u32>,
    /// The ports that the firewall opens, as a guide or a change request lists them: TCP port range 3023 - 4022
    #[arg(long, value_name = "FILE")]
    port_list: Option<PathBuf>,
    #[command(flatten)]
    estate: EstateArgs,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(args: LintArgs) -> Result<Exit, Failure> {
    args.report.destinations()?;
    let clients = args
        .clients
        .map(|clients| ("--clients", "clients", clients.to_string()));
    let estate = args.estate.load(clients)?;
    let ini = args.estate.eserv_ini()?;
    let ini_range = ini.as_ref().and_then(|(_, bytes)| eserv_ini::passive_ports(bytes));
    let port_list = args.port_list.as_deref().map(read_list).transpose()?;
    // Who writes an eserv.ini serves from Windows; fwdrill reads it anywhere.
    let windows = ini.is_some().then(Ephemeral::windows_default);
    let ephemeral: Vec<Ephemeral> = this_host().into_iter().chain(windows).collect();
    let findings = lint(&Statements {
        estate: &estate,
        eserv_ini: ini_range.as_ref(),
        port_list: port_list.as_ref(),
        ephemeral: &ephemeral,
    });
    let report = Report {
        schema: Report::SCHEMA.to_owned(),
        drill: DrillId::random(),
        target: args.estate.name(),
        vantage: "paper".to_owned(),
        both_ends: false,
        started: Timestamp::now(),
        elapsed_ms: 0,
        verdict: Report::verdict_of(&[], &findings),
        flows: Vec::new(),
        passive_range: None,
        findings,
        clients: Vec::new(),
        path: None,
        life: None,
    };
    args.report.write(&report)?;
    Ok(report.verdict.into())
}

fn read_list(path: &Path) -> anyhow::Result<PortSet> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read {}", path.display()))?;
    Ok(port_list::parse(&path.display().to_string(), &text)?)
}

/// What this host takes for outgoing connections; `None` where its kernel does not tell.
fn this_host() -> Option<Ephemeral> {
    local_ports().map(|ports| Ephemeral {
        ports,
        source: Source::ThisHost,
    })
}

/// The ports of that.
pub(super) fn local_ports() -> Option<PortSet> {
    const DIRECTORY: &str = "/proc/sys/net/ipv4";
    let read = |name: &str| match std::fs::read_to_string(Path::new(DIRECTORY).join(name)) {
        Ok(text) => Some(text),
        Err(error) => {
            debug!(name, %error, "the kernel does not tell");
            None
        }
    };
    let range = read("ip_local_port_range")?;
    let mut ends = range.split_whitespace().map(|port| port.parse::<u16>().ok());
    let (low, high) = (ends.next()??, ends.next()??);
    let reserved: PortSet = read("ip_local_reserved_ports")?.trim().parse().ok()?;
    Some(PortSet::range(low, high).without(&reserved))
}
