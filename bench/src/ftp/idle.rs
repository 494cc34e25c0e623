//! What sessions cost that do nothing.

use std::fmt::Write;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::client::Session;
use crate::contender::Contender;
use crate::{process, progress};

/// How many sessions are held.
const SESSIONS: [u64; 2] = [1_000, 10_000];

/// Opens sessions on one server after the other, and returns a table of Markdown.
pub(super) fn run(contenders: [&Contender; 2]) -> anyhow::Result<String> {
    let mut text =
        "| idle sessions, logged in | server | memory before (PSS) | with them | each |\n|--:|---|--:|--:|--:|\n"
            .to_owned();
    for count in SESSIONS {
        for contender in contenders {
            progress(&format!("{count} idle sessions on {}", contender.name()));
            let before = process::memory(contender.pid())?;
            let held: Vec<Session> = (0..count)
                .map(|n| Session::login(contender.address()).with_context(|| format!("session {n}")))
                .collect::<anyhow::Result<_>>()?;
            let with = process::memory(contender.pid())?;
            drop(held);
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {count} | {} | {:.1} MiB | {:.1} MiB | {:.1} KiB |",
                contender.name(),
                before as f64 / 1048576.0,
                with as f64 / 1048576.0,
                with.saturating_sub(before) as f64 / 1024.0 / count as f64,
            );
        }
    }
    Ok(text)
}

/// Lets this process, and the servers it starts after that, have as many files open as they ever may.
pub(super) fn raise_file_limit() -> anyhow::Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit).context("failed to raise the limit of open files")
}
