//! `fwdrill completions`: what a shell needs to complete this program's command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::output;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fwdrill completions bash > /etc/bash_completion.d/fwdrill\n  fwdrill completions zsh > /usr/local/share/zsh/site-functions/_fwdrill\n  fwdrill completions fish > ~/.config/fish/completions/fwdrill.fish"
)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> Exit {
    output::say(script(args.shell).trim_end());
    Exit::Pass
}

fn script(shell: Shell) -> String {
    let mut bytes = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "fwdrill", &mut bytes);
    // Made of the command line's own words, which are UTF-8.
    String::from_utf8_lossy(&bytes).into_owned()
}
