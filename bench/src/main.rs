//! `cargo run --release -p fwdrill-bench`: fwdrill's services beside those of Debian, on one machine, in one run.
//!
//! Not a test, and never part of one: what it prints depends on the machine and on what else that does. Its table goes to
//! docs/BENCHMARKS.md. The map:
//!
//! | file | does |
//! |---|---|
//! | `contender` | a server under test: its files, started as a child process, stopped when dropped |
//! | `process` | what a process and its children have cost: CPU and memory, out of /proc |
//! | `rounds` | runs cases in turn on both servers; medians and ratios |
//! | `table`, `machine` | Markdown: the figures, and what they were measured on |
//! | `http`, `ftp` | the suites: their cases, and how to load a server with them |

mod contender;
mod corpus;
mod ftp;
mod http;
mod machine;
mod process;
mod rounds;
mod table;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// Measure fwdrill beside nginx and vsftpd, side by side
#[derive(Debug, Parser)]
#[command(name = "fwdrill-bench")]
struct Arguments {
    #[command(subcommand)]
    suite: Suite,
    /// How often each case runs on each server; odd, so that the median was measured
    #[arg(long, global = true, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Only cases whose name contains this
    #[arg(
        long,
        global = true,
        default_value = "",
        value_name = "TEXT",
        hide_default_value = true
    )]
    only: String,
    /// The program to measure [default: built now, in release mode]
    #[arg(long, global = true, value_name = "FILE")]
    fwdrill: Option<PathBuf>,
    /// Where the Markdown goes [default: stdout]
    #[arg(long, global = true, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where the files to be served are made; needs 2.5 GB [default: the system's temporary directory]
    #[arg(long, global = true, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Suite {
    /// Downloads over HTTP, beside nginx
    Http,
    /// Downloads, uploads, sessions and idle sessions over FTP, beside vsftpd (as root)
    Ftp,
}

/// What every suite is given.
struct Plan {
    rounds: u32,
    only: String,
    fwdrill: PathBuf,
    scratch: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let directory = tempfile::tempdir_in(arguments.scratch.unwrap_or_else(std::env::temp_dir))
        .context("failed to make a scratch directory")?;
    let plan = Plan {
        rounds: arguments.rounds,
        only: arguments.only,
        fwdrill: arguments.fwdrill.map_or_else(contender::fwdrill::build, Ok)?,
        scratch: directory.path().to_owned(),
    };
    let section = match arguments.suite {
        Suite::Http => http::run(&plan)?,
        Suite::Ftp => ftp::run(&plan)?,
    };
    let text = format!("{}\n{section}", machine::describe()?);
    match arguments.out {
        Some(path) => std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display())),
        None => std::io::stdout()
            .write_all(text.as_bytes())
            .context("failed to write to stdout"),
    }
}

/// One line about what is going on, on stderr.
fn progress(text: &str) {
    // Whoever closed stderr does not want to know.
    let _ = writeln!(std::io::stderr(), "{text}");
}
