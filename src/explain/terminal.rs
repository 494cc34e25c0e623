//! Pages for a terminal: a hundred columns, headings and names in bold.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use fwdrill_protocol::explain::{Block, Page, Section};
use fwdrill_protocol::finding::{Family, FindingId};

use super::{Asked, PATHS, of_family, pages, zoo};

const WIDTH: usize = 100;
const BOLD: Style = Style::new().bold();

pub(super) fn render(asked: &Asked) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = match asked {
        Asked::Nothing => list(&mut text),
        Asked::Pages(ids) => all(&mut text, pages(ids.iter().copied())),
        Asked::Everything => all(&mut text, pages(FindingId::ALL.iter().copied())),
    };
    text
}

fn list(text: &mut String) -> std::fmt::Result {
    let width = FindingId::ALL.iter().map(|id| id.name().len()).max().unwrap_or(0);
    for family in Family::ALL {
        writeln!(text, "{BOLD}{}{BOLD:#}", family.title())?;
        for page in of_family(family) {
            let name = format!("  {:<width$}  ", page.id.name());
            paragraph(text, &name, &" ".repeat(width + 4), page.summary)?;
        }
        writeln!(text)?;
    }
    writeln!(text, "fwdrill explain ID: the whole page of one")
}

fn all(text: &mut String, pages: impl Iterator<Item = Page>) -> std::fmt::Result {
    for (at, page) in pages.enumerate() {
        if at > 0 {
            writeln!(text, "\n{}\n", "-".repeat(WIDTH))?;
        }
        self::page(text, &page)?;
    }
    Ok(())
}

fn page(text: &mut String, page: &Page) -> std::fmt::Result {
    let name = AnsiColor::Cyan.on_default().bold();
    writeln!(text, "{name}{}{name:#}  ({})", page.id, page.id.family().title())?;
    paragraph(text, "", "", page.summary)?;
    for section in &page.sections {
        heading(text, section.heading)?;
        body(text, section)?;
    }
    heading(text, PATHS)?;
    let paths = zoo::paths(page.id);
    if paths.is_empty() {
        writeln!(text, "  None in the zoo yet.")?;
    }
    for path in paths {
        let gap = path
            .gap
            .map_or_else(String::new, |gap| format!(" (not diagnosed yet: {gap})"));
        paragraph(text, "  - ", "    ", &format!("{}: {}{gap}", path.name, path.title))?;
    }
    heading(text, "See also")?;
    let names: Vec<&str> = page.see_also.iter().map(|id| id.name()).collect();
    paragraph(text, "  ", "  ", &names.join(", "))
}

fn heading(text: &mut String, words: &str) -> std::fmt::Result {
    writeln!(text, "\n{BOLD}{words}{BOLD:#}")
}

fn body(text: &mut String, section: &Section) -> std::fmt::Result {
    for block in section.blocks() {
        match block {
            Block::Paragraph(words) => paragraph(text, "  ", "  ", &words)?,
            Block::Item(words) => paragraph(text, "  - ", "    ", &words)?,
            Block::Code(lines) => lines.iter().try_for_each(|line| writeln!(text, "      {line}"))?,
        }
    }
    Ok(())
}

fn paragraph(text: &mut String, first: &str, following: &str, words: &str) -> std::fmt::Result {
    let options = textwrap::Options::new(WIDTH)
        .initial_indent(first)
        .subsequent_indent(following)
        .word_separator(textwrap::WordSeparator::AsciiSpace)
        .word_splitter(textwrap::WordSplitter::NoHyphenation);
    for line in textwrap::wrap(words, options) {
        writeln!(text, "{}", bold_names(&line))?;
    }
    Ok(())
}

/// Words in backquotes in bold; a quoted phrase that goes on in the next line keeps its quotes.
fn bold_names(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return line.to_owned();
    }
    let quoted = |(at, part): (usize, &&str)| match at % 2 {
        0 => (*part).to_owned(),
        _ => format!("{BOLD}{part}{BOLD:#}"),
    };
    parts.iter().enumerate().map(quoted).collect()
}
