//! Pages as Markdown: of one finding, or docs/FINDINGS.md.

use std::fmt::Write;

use fwdrill_protocol::explain::Page;
use fwdrill_protocol::finding::{Family, FindingId};

use super::{Asked, PATHS, of_family, pages, zoo};

const HEAD: &str = "# Findings
What a diagnosis can say: a page for each id. The same pages are in the program: `fwdrill explain`, `fwdrill explain ID`. Which
paths are diagnosed rightly today is in the [confusion matrix](MATRIX.md). Written by `scripts/findings`.
";

pub(super) fn render(asked: &Asked) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = match asked {
        Asked::Nothing => list(&mut text, Link::None),
        Asked::Pages(ids) => {
            pages(ids.iter().copied()).try_for_each(|page| self::page(&mut text, &page, 1, Link::None))
        }
        Asked::Everything => everything(&mut text),
    };
    text
}

/// Whether there is something to link to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Link {
    None,
    /// All pages are in this one document, and the zoo lies beside it.
    Here,
}

fn everything(text: &mut String) -> std::fmt::Result {
    writeln!(text, "{HEAD}")?;
    list(text, Link::Here)?;
    for family in Family::ALL {
        writeln!(text, "\n## {}", family.title())?;
        for page in of_family(family) {
            writeln!(text)?;
            self::page(text, &page, 3, Link::Here)?;
        }
    }
    Ok(())
}

fn list(text: &mut String, link: Link) -> std::fmt::Result {
    writeln!(text, "| finding | |\n|---|---|")?;
    for family in Family::ALL {
        writeln!(text, "| **{}** | |", family.title())?;
        for page in of_family(family) {
            writeln!(text, "| {} | {} |", name(page.id, link), page.summary)?;
        }
    }
    Ok(())
}

fn page(text: &mut String, page: &Page, level: usize, link: Link) -> std::fmt::Result {
    let level = "#".repeat(level);
    writeln!(text, "{level} {}\n{}", page.id, page.summary)?;
    for section in &page.sections {
        writeln!(
            text,
            "\n{level}# {}\n{}",
            section.heading,
            with_links(section.text, link)
        )?;
    }
    writeln!(text, "\n{level}# {PATHS}")?;
    let paths = zoo::paths(page.id);
    if paths.is_empty() {
        writeln!(text, "None in the zoo yet.")?;
    }
    for zoo::Path { name, title, gap } in paths {
        let name = match link {
            Link::None => format!("`{name}`"),
            Link::Here => format!("[{name}](../fixtures/paths/{name}.toml)"),
        };
        let gap = gap.map_or_else(String::new, |gap| format!(" (not diagnosed yet: {gap})"));
        writeln!(text, "- {name}: {title}{gap}")?;
    }
    let names: Vec<String> = page.see_also.iter().map(|id| name(*id, link)).collect();
    writeln!(text, "\n{level}# See also\n{}", names.join(", "))
}

fn name(id: FindingId, link: Link) -> String {
    match link {
        Link::None => format!("`{id}`"),
        Link::Here => format!("[{id}](#{id})"),
    }
}

/// Names of findings in backquotes become links.
fn with_links(text: &str, link: Link) -> String {
    if link == Link::None {
        return text.to_owned();
    }
    let linked = |text: String, id: &FindingId| text.replace(&format!("`{id}`"), &name(*id, link));
    FindingId::ALL.iter().fold(text.to_owned(), linked)
}
