//! The pages of findings, as people read them: on a terminal, and as Markdown for docs/FINDINGS.md.

mod markdown;
mod terminal;
mod zoo;

use clap::ValueEnum;
use fwdrill_protocol::explain::Page;
use fwdrill_protocol::finding::{Family, FindingId};

/// A form that pages can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// For a wiki, or docs/FINDINGS.md.
    Markdown,
}

impl Form {
    /// What is asked for, with a line end at its end.
    pub(crate) fn render(self, asked: &Asked) -> String {
        match self {
            Form::Text => terminal::render(asked),
            Form::Markdown => markdown::render(asked),
        }
    }
}

/// What somebody wants to have explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// One line for every finding.
    Nothing,
    /// The pages of these.
    Pages(Vec<FindingId>),
    /// All pages.
    Everything,
}

/// Heading of the part of a page that is not written but read off the zoo.
const PATHS: &str = "Paths that produce it";

fn pages(ids: impl IntoIterator<Item = FindingId>) -> impl Iterator<Item = Page> {
    ids.into_iter().map(Page::of)
}

/// The pages of a family, in the order of the contract.
fn of_family(family: Family) -> impl Iterator<Item = Page> {
    pages(FindingId::ALL.iter().copied().filter(move |id| id.family() == family))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_as_committed() {
        let asked = Asked::Pages(vec![FindingId::PassiveRangePartial]);
        let plain = anstream::adapter::strip_str(&Form::Text.render(&asked)).to_string();
        insta::assert_snapshot!("page_text", plain);
        insta::assert_snapshot!("page_markdown", Form::Markdown.render(&asked));
    }

    #[test]
    fn the_list_has_a_line_for_every_finding() {
        let list = Form::Text.render(&Asked::Nothing);
        for id in FindingId::ALL {
            assert!(list.contains(id.name()), "{id}");
        }
    }

    /// With INSTA_UPDATE=always, as snapshots, or by scripts/findings.
    #[test]
    fn docs_findings_is_what_explain_says() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/FINDINGS.md");
        let now = Form::Markdown.render(&Asked::Everything);
        if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
            std::fs::write(file, &now).unwrap();
        }
        let committed = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            committed == now,
            "docs/FINDINGS.md is not up to date: run scripts/findings"
        );
    }
}
