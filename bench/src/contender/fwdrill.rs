//! Ours, the release build.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use fwdrill_protocol::announcement::Announcement;
use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::flow::Flow;

use super::{Contender, spawn, version};
use crate::corpus::Corpus;

/// Builds it beside this program, as it was built.
pub(crate) fn build() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let built = Command::new(cargo)
        .args(["build", "--release", "--package", "fwdrill"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .context("failed to start cargo")?;
    ensure!(built.success(), "fwdrill does not build");
    let here = std::env::current_exe().context("failed to find this program")?;
    let fwdrill = here.with_file_name("fwdrill");
    ensure!(
        fwdrill.is_file() && here.parent().is_some_and(|profile| profile.ends_with("release")),
        "{} is not there: run this program in release mode, or name the program to measure with --fwdrill",
        fwdrill.display()
    );
    Ok(fwdrill)
}

/// Starts `fwdrill serve` on this corpus, with these further `--set`s; `flow` is the service in question.
pub(crate) fn start(
    program: &Path,
    corpus: &Corpus,
    scratch: &Path,
    flow: Flow,
    settings: &[&str],
) -> anyhow::Result<Contender> {
    let mut command = Command::new(program);
    command.args(["serve", "--announce", "--grace", "1", "--state"]);
    command.arg(scratch.join("state")).arg("--depot").arg(corpus.depot());
    command.args(["--set", "server.bind=127.0.0.1"]);
    for flow in Flow::ALL.into_iter().filter(|flow| *flow != Flow::FtpPassive) {
        // The kernel's choice.
        command.arg("--set").arg(format!("{}=0", Estate::port_key(flow)));
    }
    for setting in settings {
        command.args(["--set", setting]);
    }
    let log = scratch.join("fwdrill.log");
    let mut child = spawn(command.stdout(Stdio::piped()), &log)?;
    let mut line = String::new();
    let told = child.stdout.take().context("no stdout")?;
    BufReader::new(told)
        .read_line(&mut line)
        .context("failed to read the announcement")?;
    let announcement: Announcement = serde_json::from_str(&line).with_context(|| {
        format!(
            "fwdrill does not start: {}",
            std::fs::read_to_string(&log).unwrap_or_default()
        )
    })?;
    let address = announcement
        .addresses
        .get(&flow)
        .with_context(|| format!("there is no {flow}"))?;
    Ok(Contender {
        name: version(&program.to_string_lossy(), "--version")?,
        child,
        address: *address,
        uploads: Some(scratch.join("state/dropbox/bench")),
    })
}
