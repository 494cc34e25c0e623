//! Labs from the outside: each a child process, so many at a time, and all of them gone when this one ends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use fwdrill_protocol::report::Report;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::inside::{Ended, Outcome};
use super::lab::{Ends, Lab};
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

/// Builds the scenario's lab, measures, and takes it down again unless it is to be kept.
pub(crate) async fn measure(scenario: &Scenario, ends: Ends, keep: bool) -> Measured {
    let started = Instant::now();
    let measured = match tokio::time::timeout(PATIENCE, lab(scenario, ends, keep)).await {
        Ok(measured) => measured,
        Err(_) => Err(anyhow::anyhow!("not done within {} s", PATIENCE.as_secs())),
    };
    let (report, programs, kept) = measured.unwrap_or_else(|error| (Err(format!("{error:#}")), BTreeMap::new(), None));
    Measured {
        report,
        programs,
        elapsed: started.elapsed(),
        kept,
    }
}

/// What a lab said, and the lab itself if it was to be kept.
type Told = (Result<Report, String>, BTreeMap<String, Ended>, Option<Kept>);

async fn lab(scenario: &Scenario, ends: Ends, keep: bool) -> anyhow::Result<Told> {
    let lab = Lab::new(scenario, ends, keep)?;
    let mut line = serde_json::to_string(&lab).context("failed to write the lab")?;
    line.push('\n');
    let mut child = start()?;
    let mut stdin = child.stdin.take().context("the lab has no stdin")?;
    let mut stdout = BufReader::new(child.stdout.take().context("the lab has no stdout")?);
    // A lab that has ended already says why on stderr.
    let _ = stdin.write_all(line.as_bytes()).await;
    let mut answer = String::new();
    stdout
        .read_line(&mut answer)
        .await
        .context("failed to read from the lab")?;
    let Ok(outcome) = serde_json::from_str::<Outcome>(&answer) else {
        let mut said = String::new();
        if let Some(mut stderr) = child.stderr.take() {
            let _ = stderr.read_to_string(&mut said).await;
        }
        bail!("{}", said.trim());
    };
    let report = outcome.report.map(|report| *report);
    if !keep {
        // Its namespaces are gone when it is.
        let _ = child.wait().await;
        return Ok((report, outcome.programs, None));
    }
    let kept = outcome.pid.map(|pid| Kept {
        pid,
        hosts: lab.hosts.into_iter().map(|host| host.name).collect(),
        _child: child,
        _stdin: stdin,
    });
    Ok((report, outcome.programs, kept))
}

/// The environment of everything in a lab: the machine's own must not change what is measured.
fn start() -> anyhow::Result<Child> {
    let own = std::env::current_exe().context("failed to find this program's own file")?;
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(own)
        .arg("rehearse-lab")
        .env_clear()
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
