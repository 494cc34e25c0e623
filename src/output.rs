//! The only place that prints: reports to stdout or files, everything else to stderr.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the place")]

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use fwdrill_client::report::Format;
use fwdrill_protocol::report::Report;

/// Where a report goes, and how it looks.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Form of the report: text, json, junit, tap, markdown, html or sarif; repeat it for several at once
    #[arg(long, value_name = "FORMAT", help_heading = "Report")]
    format: Vec<Format>,
    /// File for the report instead of stdout; the first --out takes the first --format, and so on
    ///
    /// Without a --format of its own a file's form follows from its name: .txt, .json, .xml (JUnit), .tap, .md, .html, .sarif.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    out: Vec<PathBuf>,
}

impl ReportArgs {
    /// Each form with its file; `None` is stdout. Checked before anything is measured.
    pub(crate) fn destinations(&self) -> anyhow::Result<Vec<(Format, Option<&Path>)>> {
        let mut destinations = Vec::new();
        for (at, file) in self.out.iter().enumerate() {
            let format = self.format.get(at).copied().or_else(|| Format::of_file(file));
            let format = format
                .with_context(|| format!("cannot tell the form of --out {}: give it a --format", file.display()))?;
            destinations.push((format, Some(file.as_path())));
        }
        let to_stdout = self.format.iter().skip(self.out.len());
        destinations.extend(to_stdout.map(|format| (*format, None)));
        if destinations.iter().filter(|(_, file)| file.is_none()).count() > 1 {
            bail!("only one --format can go to stdout: give the others an --out FILE");
        }
        if destinations.is_empty() {
            destinations.push((Format::Text, None));
        }
        Ok(destinations)
    }

    /// Writes the report everywhere it shall go.
    pub(crate) fn write(&self, report: &Report) -> anyhow::Result<()> {
        for (format, file) in self.destinations()? {
            match file {
                None => anstream::print!("{}", format.render(report)),
                Some(file) => {
                    let plain = anstream::adapter::strip_str(&format.render(report)).to_string();
                    std::fs::write(file, plain)
                        .with_context(|| format!("failed to write the report to {}", file.display()))?;
                }
            }
        }
        Ok(())
    }
}

/// A result for stdout.
///
/// Somebody who has read enough (`fwdrill explain | head`) is no error.
pub(crate) fn say(text: &str) {
    match writeln!(anstream::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => complain(&format!("failed to write to stdout: {error}")),
        _ => {}
    }
}

/// Something for people, on stderr.
pub(crate) fn tell(text: &str) {
    anstream::eprintln!("{text}");
}

/// What went wrong, on stderr.
pub(crate) fn complain(text: &str) {
    let style = anstyle::AnsiColor::Red.on_default().bold();
    anstream::eprintln!("{style}error{style:#}: {text}");
}
