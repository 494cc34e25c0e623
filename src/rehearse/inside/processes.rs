//! What runs on the path: middleboxes, the server, the client, each a `fwdrill` of its own on its host.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use fwdrill_protocol::report::Report;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::tracer::Tracer;
use super::{DIRECTORY, Ended, network};
use crate::rehearse::lab::{Lab, LabDaemon, Process, Tracing, WIRES};
use crate::rehearse::production::trace::Trace;

/// How long a process may take until it says that it is ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// Everything that was started; what has ended is noticed when the client has nothing to say.
#[derive(Default)]
pub(super) struct Running {
    children: Vec<(Child, PathBuf)>,
    tracer: Option<Tracer>,
}

impl Running {
    /// Puts a middlebox into a cable.
    pub(super) async fn middlebox_in_wire(&mut self, wire: usize, arguments: &[String]) -> anyhow::Result<()> {
        let mut arguments = [&["middlebox".to_owned()], arguments].concat();
        arguments.extend(network::sides(wire).map(|side| format!("--between={side}")));
        let process = Process {
            on: WIRES.to_owned(),
            arguments,
        };
        self.start(&process, &[], true).await
    }

    /// Starts any other `fwdrill`; one that is awaited says a line when it is ready.
    pub(super) async fn daemon(&mut self, daemon: &LabDaemon) -> anyhow::Result<()> {
        self.start(&daemon.process, &[], daemon.awaited).await
    }

    /// Starts the update server.
    pub(super) async fn server(&mut self, process: &Process) -> anyhow::Result<()> {
        let state = format!("--state={DIRECTORY}/server");
        self.start(process, &[&state], true).await
    }

    /// Has the kernel follow the client's packets.
    pub(super) async fn tracer(&mut self, tracing: &Tracing) -> anyhow::Result<()> {
        self.tracer = Some(Tracer::start(tracing).await?);
        Ok(())
    }

    /// What it said of them, if it was asked.
    pub(super) async fn trace(&mut self) -> Option<Result<Trace, String>> {
        let tracer = self.tracer.take()?;
        Some(tracer.finish().await.map_err(|error| format!("{error:#}")))
    }

    /// Runs the client to its end: its report.
    pub(super) async fn probe(&mut self, process: &Process) -> anyhow::Result<Report> {
        let mut command = fwdrill(process)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = command.output().await.context("failed to run the client")?;
        match serde_json::from_slice(&output.stdout) {
            Ok(report) => Ok(report),
            Err(_) => bail!(
                "the client has no report: {}{}",
                String::from_utf8_lossy(&output.stderr).trim(),
                self.obituaries()
            ),
        }
    }

    /// Tries the lab's other programs, all at once: on a broken path they mostly wait.
    pub(super) async fn programs(&self, lab: &Lab) -> BTreeMap<String, Ended> {
        let tried = lab.programs.iter().map(async |(name, command)| {
            let ended = program(&lab.probe.on, command).await;
            (name.clone(), ended)
        });
        futures_util::future::join_all(tried).await.into_iter().collect()
    }

    async fn start(&mut self, process: &Process, more: &[&str], awaited: bool) -> anyhow::Result<()> {
        let log = Path::new(DIRECTORY).join(format!("{}-{}.log", process.on, self.children.len()));
        let file = File::create(&log).with_context(|| format!("failed to create {}", log.display()))?;
        let mut command = fwdrill(process)?;
        command
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file);
        let mut child = command
            .spawn()
            .with_context(|| format!("failed to start a process on {}", process.on))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let mut lines = BufReader::new(stdout);
            if awaited {
                let _ = tokio::time::timeout(PATIENCE, lines.read_line(&mut line)).await;
            }
            // Whatever it says later has nobody to read it, but must not end it.
            tokio::spawn(async move { tokio::io::copy(&mut lines, &mut tokio::io::sink()).await });
        }
        if awaited && line.is_empty() {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            bail!(
                "{} does not start on {}: {}",
                process.arguments.join(" "),
                process.on,
                said.trim()
            );
        }
        self.children.push((child, log));
        Ok(())
    }

    /// What those said that have ended, although they should not have.
    fn obituaries(&mut self) -> String {
        let mut text = String::new();
        for (child, log) in &mut self.children {
            if let Ok(Some(status)) = child.try_wait() {
                let said = std::fs::read_to_string(&*log).unwrap_or_default();
                text.push_str(&format!("\n{} ended ({status}): {}", log.display(), said.trim()));
            }
        }
        text
    }
}

async fn program(host: &str, text: &str) -> Ended {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", host, "sh", "-c"])
        .arg(format!("exec 2>&1; {text}"))
        .env("HOME", DIRECTORY)
        .current_dir(DIRECTORY)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) => Ended {
            code: output.status.code(),
            said: String::from_utf8_lossy(&output.stdout).into_owned(),
        },
        Ok(Err(error)) => Ended {
            code: None,
            said: format!("failed to run it: {error}"),
        },
        Err(_) => Ended {
            code: None,
            said: format!("not done within {} s", PATIENCE.as_secs()),
        },
    }
}

pub(super) fn fwdrill(process: &Process) -> anyhow::Result<Command> {
    let own = std::env::current_exe().context("failed to find this program's own file")?;
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", &process.on])
        .arg(own)
        .args(&process.arguments);
    Ok(command)
}
