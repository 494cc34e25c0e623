//! `fwdrill`, the firewall drill: one program for every role. See the crates `protocol`, `depot`, `server` and `client`
//! for what it is made of; here is only the command line.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cli;
mod commands;
mod exit;
mod explain;
mod host;
mod logging;
mod middlebox;
mod output;
mod record;
mod rehearse;
mod rules;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // A sweep dials a thousand ports at once, and every connection is a file. Where the limit stays low, checks fail one
    // by one and say so.
    fwdrill_server::connection::raise_file_limit();
    logging::start(&cli);
    // Namespaces can only be entered before there are threads.
    if matches!(cli.command, cli::Command::RehearseLab { inside: false }) {
        return rehearse::namespace::enter().unwrap_or_else(|error| exit::report(&error.into()).into());
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return exit::report(&anyhow::Error::from(error).context("failed to start the runtime").into()).into();
        }
    };
    let ended = runtime.block_on(commands::run(cli));
    // Whatever still blocks (a resolver, a disk) must not hold up the end.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => exit::report(&failure).into(),
    }
}
