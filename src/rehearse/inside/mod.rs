//! Inside the lab's namespaces, as their first process: build the path, run what runs on it, and say what the client
//! reported. Ending ends everything in here.

mod inspection;
mod network;
mod processes;
mod tracer;

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::Path;

use anyhow::Context;
use fwdrill_protocol::report::Report;
use serde::{Deserialize, Serialize};

use super::lab::{Lab, Loadable};
use super::namespace;
use super::production::trace::Trace;
pub(super) use inspection::{Inspected, Inspection, unconnected};
pub(crate) use tracer::{TracerArgs, run as trace};

/// What a lab is told on its stdin, one JSON line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Errand {
    /// Build it, and measure.
    Rehearse(Box<Lab>),
    /// Load rulesets, and say what the kernel makes of them.
    Inspect(Inspection),
}

/// What a lab says on its stdout, one JSON line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// The client's report, or why there is none.
    pub(super) report: Result<Box<Report>, String>,
    /// How the other programs ended, by name.
    pub(super) programs: BTreeMap<String, Ended>,
    /// What the kernel said of the client's packets, or why it said nothing; absent where nobody asked.
    pub(super) trace: Option<Result<Trace, String>>,
    /// This process's id as the outside knows it.
    pub(super) pid: Option<u32>,
}

/// How a program ended that is not ours.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// Its exit code; none where a signal or the lab's patience ended it.
    pub(crate) code: Option<i32>,
    /// What it said, on stdout and stderr.
    pub(crate) said: String,
}

/// Where a lab keeps its files, on its own tmpfs.
const DIRECTORY: &str = "/run/lab";

/// Hidden subcommand: the inner half of a lab. Reads the lab as one JSON line on stdin.
pub(crate) async fn run() -> anyhow::Result<()> {
    namespace::die_with_parent()?;
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("failed to read the lab")?;
    let lab = match serde_json::from_str(&line).context("failed to read the lab")? {
        Errand::Rehearse(lab) => lab,
        Errand::Inspect(errand) => {
            namespace::own_run_directory()?;
            std::fs::create_dir(DIRECTORY).context("failed to make a directory")?;
            return say(&inspection::inspect(&errand).await?);
        }
    };
    // /proc is still the outside's, and names this process as the outside does.
    let pid = std::fs::read_link("/proc/self").ok();
    let pid = pid.and_then(|link| link.to_str()?.parse().ok());
    let mut running = processes::Running::default();
    let (report, programs) = match rehearse(&lab, &mut running).await {
        Ok(report) => (Ok(Box::new(report)), running.programs(&lab).await),
        Err(error) => (Err(format!("{error:#}")), BTreeMap::new()),
    };
    let trace = running.trace().await;
    say(&Outcome {
        report,
        programs,
        trace,
        pid,
    })?;
    if lab.keep {
        // Until the outside closes its end.
        let _ = std::io::stdin().lock().read_line(&mut line);
    }
    Ok(())
}

/// One line for the outside.
fn say(answer: &impl Serialize) -> anyhow::Result<()> {
    let mut answer = serde_json::to_string(answer).context("failed to write the outcome")?;
    answer.push('\n');
    std::io::stdout()
        .write_all(answer.as_bytes())
        .context("failed to write the outcome")
}

async fn rehearse(lab: &Lab, running: &mut processes::Running) -> anyhow::Result<Report> {
    namespace::own_run_directory()?;
    std::fs::create_dir(DIRECTORY).context("failed to make a directory")?;
    let names = Path::new(DIRECTORY).join("hosts");
    std::fs::write(&names, &lab.names).context("failed to write the names")?;
    namespace::bind(&names, "/etc/hosts")?;
    network::build(lab).await?;
    for (at, wire) in lab.wires.iter().enumerate() {
        if let Some(middlebox) = &wire.through {
            running.middlebox_in_wire(at, middlebox).await?;
        }
    }
    for daemon in &lab.daemons {
        running.daemon(daemon).await?;
    }
    if let Some(server) = &lab.server {
        running.server(server).await?;
    }
    for daemon in &lab.daemons_after {
        running.daemon(daemon).await?;
    }
    if let Some(tracing) = &lab.tracing {
        running.tracer(tracing).await?;
    }
    running.probe(&lab.probe).await
}
