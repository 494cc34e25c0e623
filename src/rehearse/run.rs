//! Labs from the outside: each a child process, so many at a time, and all of them gone when this one ends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use fwdrill_protocol::report::Report;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::inside::{Ended, Errand, Inspected, Inspection, Outcome};
use super::lab::Lab;
use super::namespace::PARENT;
use super::production::trace::Trace;
use super::scenario::Scenario;

/// One scenario and what it is called.
#[derive(Debug, Clone)]
pub(crate) struct Rehearsal {
    pub(crate) file: PathBuf,
    pub(crate) scenario: Scenario,
}

/// What came of one lab.
pub(crate) struct Measured {
    /// The client's report, or why the path could not be carried out.
    pub(crate) report: Result<Report, String>,
    /// How the other programs ended.
    pub(crate) programs: BTreeMap<String, Ended>,
    /// What the kernel said of the client's packets, if it was asked.
    pub(crate) trace: Option<Result<Trace, String>>,
    pub(crate) elapsed: Duration,
    /// The lab, if it was to be kept.
    pub(crate) kept: Option<Kept>,
}

/// A lab that still stands, until this is dropped.
pub(crate) struct Kept {
    /// Its first process.
    pub(crate) pid: u32,
    /// What it consists of.
    pub(crate) hosts: Vec<String>,
    _child: Child,
    _stdin: ChildStdin,
}

/// The longest that a lab may take; the worst probe takes 20 s.
const PATIENCE: Duration = Duration::from_secs(120);

/// Builds the lab, measures, and takes it down again unless it is to be kept.
pub(crate) async fn measure(lab: anyhow::Result<Lab>) -> Measured {
    let started = Instant::now();
    let measured = match lab {
        Ok(lab) => match tokio::time::timeout(PATIENCE, rehearse(lab)).await {
            Ok(measured) => measured,
            Err(_) => Err(anyhow::anyhow!("not done within {} s", PATIENCE.as_secs())),
        },
        Err(error) => Err(error),
    };
    let elapsed = started.elapsed();
    match measured {
        Ok((outcome, kept)) => Measured {
            report: outcome.report.map(|report| *report),
            programs: outcome.programs,
            trace: outcome.trace,
            elapsed,
            kept,
        },
        Err(error) => Measured {
            report: Err(format!("{error:#}")),
            programs: BTreeMap::new(),
            trace: None,
            elapsed,
            kept: None,
        },
    }
}

/// Loads rulesets in a namespace of their own, and says what the kernel makes of them.
pub(super) async fn inspect(inspection: Inspection) -> anyhow::Result<Inspected> {
    let inspecting = async {
        let (inspected, mut child, _stdin) = told(&Errand::Inspect(inspection), &BTreeMap::new()).await?;
        let _ = child.wait().await;
        Ok(inspected)
    };
    tokio::time::timeout(PATIENCE, inspecting)
        .await
        .with_context(|| format!("the rulesets are not loaded within {} s", PATIENCE.as_secs()))?
}

async fn rehearse(lab: Lab) -> anyhow::Result<(Outcome, Option<Kept>)> {
    let (keep, environment) = (lab.keep, lab.environment.clone());
    let hosts = lab.hosts.iter().map(|host| host.name.clone()).collect();
    let (outcome, mut child, stdin) = told::<Outcome>(&Errand::Rehearse(Box::new(lab)), &environment).await?;
    if !keep {
        // Its namespaces are gone when it is.
        let _ = child.wait().await;
        return Ok((outcome, None));
    }
    let kept = outcome.pid.map(|pid| Kept {
        pid,
        hosts,
        _child: child,
        _stdin: stdin,
    });
    Ok((outcome, kept))
}

/// What a lab answers to its errand, and the lab.
async fn told<T: DeserializeOwned>(
    errand: &Errand,
    environment: &BTreeMap<String, String>,
) -> anyhow::Result<(T, Child, ChildStdin)> {
    let mut line = serde_json::to_string(errand).context("failed to write the lab")?;
    line.push('\n');
    let mut child = start(environment)?;
    let mut stdin = child.stdin.take().context("the lab has no stdin")?;
    let mut stdout = BufReader::new(child.stdout.take().context("the lab has no stdout")?);
    // A lab that has ended already says why on stderr.
    let _ = stdin.write_all(line.as_bytes()).await;
    let mut answer = String::new();
    stdout
        .read_line(&mut answer)
        .await
        .context("failed to read from the lab")?;
    match serde_json::from_str(&answer) {
        Ok(told) => Ok((told, child, stdin)),
        Err(_) => {
            let mut said = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                let _ = stderr.read_to_string(&mut said).await;
            }
            let said = said.trim();
            bail!("{}", said.strip_prefix("error: ").unwrap_or(said));
        }
    }
}

/// The environment of everything in a lab: the machine's own must not change what is measured.
fn start(environment: &BTreeMap<String, String>) -> anyhow::Result<Child> {
    let own = std::env::current_exe().context("failed to find this program's own file")?;
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(own)
        .arg("rehearse-lab")
        .env_clear()
        .envs(environment)
        .env(PARENT, std::process::id().to_string())
        .env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"))
        // A terminal's SIGINT is for us; we tell the labs.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("failed to start a lab")
}
