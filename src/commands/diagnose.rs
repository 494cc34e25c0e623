//! `fwdrill diagnose`: join records taken where the two ends could not talk.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use fwdrill_client::diagnosis::diagnose;
use fwdrill_client::journal::Journal;
use fwdrill_client::observation::Observations;

use crate::cli::EstateArgs;
use crate::exit::{Exit, Failure};
use crate::output::{self, ReportArgs};
use crate::record;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fwdrill probe 203.0.113.2 --no-evidence --save client.json         on the client\n  fwdrill diagnose client.json --server journal.jsonl                anywhere, with the journal of serve --state DIR\n  ssh server cat state/journal.jsonl | fwdrill diagnose client.json --server - --format markdown --out ticket.md"
)]
pub(crate) struct DiagnoseArgs {
    /// What the client saw: the file of `fwdrill probe --save`
    #[arg(value_name = "CLIENT.json")]
    client: PathBuf,
    /// What the server saw: journal.jsonl of its --state directory, or - for stdin; repeat it for journal.jsonl.1
    #[arg(long, value_name = "JOURNAL", required = true)]
    server: Vec<PathBuf>,
    #[command(flatten)]
    estate: EstateArgs,
    #[command(flatten)]
    report: ReportArgs,
}

pub(crate) fn run(args: DiagnoseArgs) -> Result<Exit, Failure> {
    args.report.destinations()?;
    let (recorded, mut seen) = record::read(&args.client)?;
    let estate = if args.estate.is_given() {
        args.estate.load([])?
    } else {
        recorded
    };
    let mut journal = Journal::default();
    for file in &args.server {
        let text = read(file)?;
        let cut = journal
            .read(&text)
            .with_context(|| format!("{} is not the journal of a server", file.display()))?;
        if cut {
            output::tell(&format!(
                "{}: its last line is not whole, and is left out: it was copied while it was being written",
                file.display()
            ));
        }
    }
    if !journal.join(&mut seen) {
        return Err(unknown(&args.server, &journal, &seen).into());
    }
    let report = diagnose(&estate, &seen);
    args.report.write(&report)?;
    Ok(report.verdict.into())
}

fn unknown(files: &[PathBuf], journal: &Journal, seen: &Observations) -> anyhow::Error {
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let lines = match journal.span() {
        Some((first, last)) => format!("its lines are from {first:.0} to {last:.0}"),
        None => "it has no lines".to_owned(),
    };
    anyhow!(
        "{} knows nothing of drill {}, which began {:.0} by the client's clock ({lines}): it is another server's or another time's journal, or nothing that named the drill has reached the server",
        names.join(" and "),
        seen.drill,
        seen.started
    )
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("failed to read the journal from stdin")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("failed to read the journal {}", file.display()))
}
