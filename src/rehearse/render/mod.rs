//! What is said of rehearsals: a renderer turns them into a string.

mod json;
mod junit;
mod matrix;
mod tap;
mod text;

use clap::ValueEnum;
use fwdrill_protocol::finding::Finding;

use super::Rehearsed;

/// A form that the result can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// Everything, the clients' reports included.
    Json,
    /// For CI.
    Junit,
    /// For CI, TAP 14.
    Tap,
    /// A table for a ticket; of scenarios, the confusion matrix.
    Markdown,
    /// The confusion matrix: a markdown table.
    Matrix,
}

impl Form {
    /// The result in this form, with a line end at its end.
    pub(crate) fn render(self, rehearsed: &[Rehearsed]) -> String {
        match self {
            Form::Text => text::render(rehearsed),
            Form::Json => json::render(rehearsed),
            Form::Junit => junit::render(rehearsed),
            Form::Tap => tap::render(rehearsed),
            Form::Markdown | Form::Matrix => matrix::render(rehearsed),
        }
    }
}

/// `error port-dropped (certain, the firewall in front of the server): what it is`.
pub(super) fn headline(finding: &Finding) -> String {
    format!(
        "{} {} ({}, {}): {}",
        finding.severity,
        finding.id,
        finding.confidence,
        finding.place.title(),
        finding.summary
    )
}

/// Everything that does not hold of one, with the end that it does not hold for.
fn complaints(rehearsed: &Rehearsed) -> Vec<String> {
    let mut complaints = Vec::new();
    let sides = [
        ("", Some(&rehearsed.both)),
        ("the client alone: ", rehearsed.alone.as_ref()),
    ];
    for (whose, side) in sides {
        let Some(side) = side else { continue };
        complaints.extend(side.mismatches.iter().map(|mismatch| format!("{whose}{mismatch}")));
        if let Err(problem) = &side.report {
            complaints.push(format!("{whose}could not be carried out: {problem}"));
        }
    }
    complaints
}
