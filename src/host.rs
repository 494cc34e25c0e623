//! What the host gives the program: directories and signals.

use std::path::PathBuf;

use anyhow::Context;
use etcetera::BaseStrategy;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::exit::{EndsAs, Exit, Failure};

/// The directory for keys, certificates, the drop box and the journal: systemd's, else the user's own (XDG).
pub(crate) fn default_state() -> anyhow::Result<PathBuf> {
    if let Some(directory) = std::env::var_os("STATE_DIRECTORY") {
        return Ok(directory.into());
    }
    let user = etcetera::choose_base_strategy()
        .context("failed to find a directory for the server's state: give one with --state")?;
    let state = user.state_dir().unwrap_or_else(|| user.data_dir());
    Ok(state.join("fwdrill"))
}

/// Does `work` unless the user stops it first; `told` is what an interruption leaves behind.
pub(crate) async fn unless_stopped<T>(
    stop: &CancellationToken,
    told: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    stop.run_until_cancelled(work)
        .await
        .ok_or_else(|| anyhow::anyhow!("interrupted: {told}"))
        .ends_as(Exit::Inconclusive)
}

/// What an interrupted measurement leaves behind.
pub(crate) const UNMEASURED: &str = "nothing was measured to its end";

/// Cancelled at the first SIGINT or SIGTERM. A second one ends the program at once.
pub(crate) fn stop_signal() -> anyhow::Result<CancellationToken> {
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        told.cancel();
        tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} }
        // 128 + SIGINT, as a shell reports a program that a signal ended.
        std::process::exit(130);
    });
    Ok(stop)
}
