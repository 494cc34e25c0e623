//! A finding's page of `explain`, folded away under the finding.

use std::fmt::{self, Write};

use fwdrill_protocol::explain::{Block, Page, Section};
use fwdrill_protocol::finding::FindingId;

use super::Text;

pub(super) fn explained(html: &mut String, id: FindingId) -> fmt::Result {
    let page = Page::of(id);
    writeln!(
        html,
        "<details>\n<summary>What {id} means</summary>\n<p>{}</p>",
        Text(page.summary)
    )?;
    page.sections
        .iter()
        .try_for_each(|section| self::section(html, section))?;
    writeln!(html, "</details>")
}

fn section(html: &mut String, section: &Section) -> fmt::Result {
    writeln!(html, "<h4>{}</h4>", section.heading)?;
    let mut in_list = false;
    for block in section.blocks() {
        let item = matches!(block, Block::Item(_));
        if item != in_list {
            writeln!(html, "{}", if item { "<ul>" } else { "</ul>" })?;
            in_list = item;
        }
        match block {
            Block::Paragraph(words) => writeln!(html, "<p>{}</p>", with_code(&words))?,
            Block::Item(words) => writeln!(html, "<li>{}</li>", with_code(&words))?,
            Block::Code(lines) => writeln!(html, "<pre>{}</pre>", Lines(&lines))?,
        }
    }
    if in_list {
        writeln!(html, "</ul>")?;
    }
    Ok(())
}

/// Words in backquotes as code.
fn with_code(words: &str) -> String {
    let part = |(at, part): (usize, &str)| match at % 2 {
        0 => Text(part).to_string(),
        _ => format!("<code>{}</code>", Text(part)),
    };
    words.split('`').enumerate().map(part).collect()
}

/// Lines, each kept as one.
struct Lines<'a>(&'a [&'a str]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| writeln!(f, "{}", Text(line)))
    }
}
