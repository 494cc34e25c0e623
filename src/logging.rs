//! Logs go to stderr; how much is said depends on the command and on `-v`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command, LogFormat};

/// `-q`: errors. Default: warnings; for a server its story. `-v`: the story; `-vv`: every line of every protocol.
pub(crate) fn start(cli: &Cli) {
    let serves = matches!(cli.command, Command::Serve(_));
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => "error",
        (false, 0) if serves => "info",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, _) => "debug",
    };
    // What dependencies have to say is for who asks for it by FWDRILL_LOG.
    let default = format!("warn,fwdrill={level},fwdrill_server={level},fwdrill_client={level},fwdrill_depot={level}");
    let filter = EnvFilter::try_from_env("FWDRILL_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours);
    match cli.log_format {
        LogFormat::Text => logs.with_target(false).init(),
        LogFormat::Json => logs.json().init(),
    }
}
