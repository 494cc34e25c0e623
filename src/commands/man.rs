//! `fwdrill man`: the man pages, made from the same words as `--help`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_mangen::Man;

use crate::cli::Cli;
use crate::exit::{Exit, Failure};
use crate::output;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fwdrill man | man -l -                                the program's own page\n  fwdrill man --into /usr/local/share/man/man1          fwdrill.1, and one page for every subcommand"
)]
pub(crate) struct ManArgs {
    /// Write all pages into this directory, made if absent; without it the program's own page goes to stdout
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
}

pub(crate) fn run(args: &ManArgs) -> Result<Exit, Failure> {
    let mut program = Cli::command();
    // Subcommands get their full names, `fwdrill-serve`, and the global flags.
    program.build();
    match &args.into {
        None => output::say(page(&program)?.trim_end()),
        Some(directory) => write_all(&program, directory)?,
    }
    Ok(Exit::Pass)
}

fn write_all(program: &clap::Command, directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory).with_context(|| format!("failed to make {}", directory.display()))?;
    let subcommands = program.get_subcommands();
    let meant = subcommands.filter(|command| !command.is_hide_set() && command.get_name() != "help");
    for command in std::iter::once(program).chain(meant) {
        let man = Man::new(command.clone());
        let file = directory.join(man.get_filename());
        std::fs::write(&file, page(command)?).with_context(|| format!("failed to write {}", file.display()))?;
    }
    Ok(())
}

fn page(command: &clap::Command) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let rendered = Man::new(command.clone()).render(&mut bytes);
    rendered.with_context(|| format!("failed to render the page of {}", command.get_name()))?;
    // Made of the command line's own words, which are UTF-8.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
