//! `fwdrill explain`: what a finding means, how it was told apart, how to fix it.

use anyhow::anyhow;
use clap::Args;
use fwdrill_protocol::finding::FindingId;

use crate::exit::{Exit, Failure};
use crate::explain::{Asked, Form};
use crate::output;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fwdrill explain                            every finding in a line\n  fwdrill explain passive-range-partial\n  fwdrill explain --all --format markdown    all pages, as in docs/FINDINGS.md"
)]
pub(crate) struct ExplainArgs {
    /// The findings to explain; without one, all of them in a line each
    #[arg(value_name = "ID", value_parser = id)]
    ids: Vec<FindingId>,
    /// Every page
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Form of the pages
    #[arg(long, value_enum, default_value_t = Form::Text, value_name = "FORMAT")]
    format: Form,
}

pub(crate) fn run(args: ExplainArgs) -> Result<Exit, Failure> {
    let asked = match (args.all, args.ids.is_empty()) {
        (true, _) => Asked::Everything,
        (false, true) => Asked::Nothing,
        (false, false) => Asked::Pages(args.ids),
    };
    output::say(args.format.render(&asked).trim_end());
    Ok(Exit::Pass)
}

fn id(name: &str) -> anyhow::Result<FindingId> {
    FindingId::of_name(name).ok_or_else(|| {
        let similar: Vec<&str> = FindingId::similar_to(name).iter().map(|id| id.name()).collect();
        match similar.as_slice() {
            [] => anyhow!("there is no such finding; `fwdrill explain` lists them all"),
            [one] => anyhow!("there is no such finding; did you mean {one}?"),
            several => anyhow!("there is no such finding; did you mean one of {}?", several.join(", ")),
        }
    })
}
