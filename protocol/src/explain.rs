//! A page for each finding id: what it means, how it is told apart, how to fix it. The pages are Markdown files in
//! `explain/pages`, all of one form: the id, one sentence, then the sections of [`SECTIONS`].

use crate::finding::FindingId;

/// The sections of every page, in their order.
pub const SECTIONS: [&str; 6] = [
    "What it means",
    "From both ends",
    "How it is told apart",
    "How sure",
    "How to fix it",
    SEE_ALSO,
];

const SEE_ALSO: &str = "See also";

/// What there is to say of one finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Which finding.
    pub id: FindingId,
    /// One sentence.
    pub summary: &'static str,
    /// The sections but the last one.
    pub sections: Vec<Section>,
    /// The ids that it is mistaken for, or that go with it.
    pub see_also: Vec<FindingId>,
}

/// A part of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// One of [`SECTIONS`].
    pub heading: &'static str,
    /// Markdown: paragraphs, lists, blocks of code.
    pub text: &'static str,
}

impl Page {
    /// The page of a finding.
    pub fn of(id: FindingId) -> Page {
        let mut parts = id.page().split("\n## ");
        let summary = parts.next().and_then(|head| head.split_once('\n'));
        let (see_also, sections) = parts
            .filter_map(|part| part.split_once('\n'))
            .map(|(heading, text)| Section {
                heading,
                text: text.trim(),
            })
            .partition::<Vec<_>, _>(|section| section.heading == SEE_ALSO);
        Page {
            id,
            summary: summary.map_or("", |(_, summary)| summary.trim()),
            sections,
            see_also: see_also.iter().flat_map(|section| named(section.text)).collect(),
        }
    }

    /// The text of a section.
    pub fn section(&self, heading: &str) -> Option<&'static str> {
        let section = self.sections.iter().find(|section| section.heading == heading)?;
        Some(section.text)
    }
}

/// What sections consist of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block<'a> {
    /// Words; names of ids, keys and programs in them are in backquotes.
    Paragraph(String),
    /// One item of a list, the same.
    Item(String),
    /// Lines to type or to write into a file, as they are.
    Code(Vec<&'a str>),
}

impl Section {
    /// The text, taken apart.
    pub fn blocks(&self) -> Vec<Block<'static>> {
        let mut blocks = Vec::new();
        let mut code: Option<Vec<&'static str>> = None;
        // Whether the next line goes on with the words of the last block.
        let mut open = false;
        for line in self.text.lines() {
            match (&mut code, line.starts_with("```")) {
                (Some(lines), false) => lines.push(line),
                (_, true) => {
                    open = false;
                    match code.take() {
                        Some(lines) => blocks.push(Block::Code(lines)),
                        None => code = Some(Vec::new()),
                    }
                }
                (None, false) => {
                    let item = line.strip_prefix("- ");
                    match (blocks.last_mut(), item) {
                        (Some(Block::Paragraph(words) | Block::Item(words)), None) if open && !line.is_empty() => {
                            words.push(' ');
                            words.push_str(line.trim());
                        }
                        (_, Some(item)) => blocks.push(Block::Item(item.to_owned())),
                        _ if line.is_empty() => {}
                        _ => blocks.push(Block::Paragraph(line.to_owned())),
                    }
                    open = !line.is_empty();
                }
            }
        }
        blocks
    }
}

fn named(list: &str) -> impl Iterator<Item = FindingId> {
    list.split(',').filter_map(|name| FindingId::of_name(name.trim()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_id_has_a_page_of_the_same_form() {
        let mut summaries = BTreeSet::new();
        for id in FindingId::ALL {
            let page = Page::of(*id);
            assert_eq!(id.page().lines().next(), Some(format!("# {id}").as_str()));
            assert!(page.summary.ends_with('.') && !page.summary.contains('\n'), "{id}");
            assert!(page.summary.len() <= 120, "{id}: {}", page.summary.len());
            assert!(
                summaries.insert(page.summary),
                "{id}: another page begins with the same sentence"
            );
            let headings: Vec<&str> = id.page().lines().filter_map(|line| line.strip_prefix("## ")).collect();
            assert_eq!(headings, SECTIONS, "{id}");
            assert!(page.sections.iter().all(|section| section.text.len() > 20), "{id}");
            assert_eq!(id.page().matches("```").count() % 2, 0, "{id}");
        }
    }

    #[test]
    fn a_section_is_taken_apart_into_words_lists_and_code() {
        let section = Section {
            heading: "",
            text: "One\ntwo.\n- a\n  b\n- c\n```\nnft  x\n\ny\n```\nThree.",
        };
        let item = |words: &str| Block::Item(words.to_owned());
        let words = |words: &str| Block::Paragraph(words.to_owned());
        let code = Block::Code(vec!["nft  x", "", "y"]);
        assert_eq!(
            section.blocks(),
            [words("One two."), item("a b"), item("c"), code, words("Three.")]
        );
    }

    #[test]
    fn every_page_sees_also_ids_that_there_are_and_not_itself() {
        for id in FindingId::ALL {
            let (_, list) = id.page().split_once("\n## See also\n").unwrap();
            let written = list.split(',').count();
            let ids: BTreeSet<FindingId> = Page::of(*id).see_also.into_iter().collect();
            assert_eq!(ids.len(), written, "{id}: {list}");
            assert!(!ids.contains(id), "{id}");
        }
    }

    /// In backquotes and with a hyphen: a finding, or another word of the program's.
    #[test]
    fn pages_name_no_id_that_does_not_exist() {
        for id in FindingId::ALL {
            let prose: String = id.page().split("```").step_by(2).collect();
            for word in prose.split('`').skip(1).step_by(2) {
                let like_an_id = word.contains('-')
                    && !word.starts_with('-')
                    && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
                assert!(!like_an_id || FindingId::of_name(word).is_some(), "{id}: {word}");
            }
        }
    }

    #[test]
    fn a_page_has_no_line_that_is_too_long_to_edit() {
        for id in FindingId::ALL {
            for line in id
                .page()
                .lines()
                .filter(|line| !line.contains("nft ") && !line.contains("iptables "))
            {
                assert!(line.chars().count() <= 120, "{id}: {line}");
            }
        }
    }
}
