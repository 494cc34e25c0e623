//! nft's language, statement by statement: blocks, comments, quotes, and braces within a statement (nft(8)).

use super::rules::ChainName;

/// A statement, or the head of a block with the block.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    /// Its words, less comments.
    pub(super) words: &'a str,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) line: usize,
    pub(super) within: Option<ChainName>,
    /// The block it stands in is a table's.
    pub(super) in_table: bool,
}

/// Every statement, in the order of the text.
pub(super) fn statements(text: &str) -> Vec<Statement<'_>> {
    let bytes = text.as_bytes();
    let mut found: Vec<Statement<'_>> = Vec::new();
    let mut blocks: Vec<(Block, Option<usize>)> = Vec::new();
    // Braces within a statement: sets, maps.
    let mut inline = 0_usize;
    let mut start: Option<usize> = None;
    let mut at = 0;
    let statement = |from: usize, to: usize, blocks: &[(Block, Option<usize>)]| {
        let words = text[from..to].trim_end();
        let (within, in_table) = match blocks.last() {
            Some((Block::Chain(chain), _)) => (Some(chain.clone()), false),
            Some((Block::Table(..), _)) => (None, true),
            _ => (None, false),
        };
        Statement {
            words,
            start: from,
            end: from + words.len(),
            line: line_at(text, from),
            within,
            in_table,
        }
    };
    while at < bytes.len() {
        match bytes[at] {
            b'#' => {
                // Up to the end of the line, which ends the statement.
                let end = text[at..].find('\n').map_or(bytes.len(), |length| at + length);
                if inline == 0
                    && let Some(from) = start.take()
                    && !matches!(blocks.last(), Some((Block::Other, _)))
                {
                    found.push(statement(from, at, &blocks));
                }
                at = end;
                continue;
            }
            b'"' => {
                start.get_or_insert(at);
                at += text[at + 1..]
                    .find('"')
                    .map_or(bytes.len() - at - 1, |length| length + 1);
            }
            b'\\' if bytes.get(at + 1) == Some(&b'\n') => at += 1,
            b'{' => {
                let head = start.map_or("", |from| text[from..at].trim());
                match (inline, block(head, blocks.last().map(|(block, _)| block))) {
                    (0, Some(block)) => {
                        let noted = start.take().filter(|_| matches!(block, Block::Other));
                        blocks.push((block, noted));
                    }
                    _ => {
                        start.get_or_insert(at);
                        inline += 1;
                    }
                }
            }
            b'}' if inline > 0 => inline -= 1,
            b'}' => {
                let ended = start
                    .take()
                    .filter(|_| !matches!(blocks.last(), Some((Block::Other, _)) | None));
                if let Some(from) = ended {
                    found.push(statement(from, at, &blocks));
                }
                if let Some((_, Some(head))) = blocks.pop() {
                    found.push(statement(head, at + 1, &blocks));
                }
            }
            b'\n' | b';' if inline == 0 => {
                if let Some(from) = start.take()
                    && !matches!(blocks.last(), Some((Block::Other, _)))
                {
                    found.push(statement(from, at, &blocks));
                }
            }
            byte if byte.is_ascii_whitespace() => {}
            _ => {
                start.get_or_insert(at);
            }
        }
        at += 1;
    }
    found
}

enum Block {
    Table(String, String),
    Chain(ChainName),
    Other,
}

/// The block that begins behind these words; none: a brace within a statement.
fn block(head: &str, within: Option<&Block>) -> Option<Block> {
    let words: Vec<&str> = head.split_whitespace().collect();
    let words = match words.as_slice() {
        ["add" | "create", rest @ ..] => rest,
        all => all,
    };
    match (within, words) {
        (None, ["table", rest @ ..]) => {
            let (family, names) = named(rest, 1)?;
            Some(Block::Table(family, (*names.first()?).to_owned()))
        }
        (None, ["chain", rest @ ..]) => {
            let (family, names) = named(rest, 2)?;
            Some(Block::Chain(ChainName::new(&family, names[0], names[1])))
        }
        (
            None,
            [
                "set" | "map" | "flowtable" | "counter" | "quota" | "limit" | "ct" | "synproxy" | "secmark",
                ..,
            ],
        ) => Some(Block::Other),
        (Some(Block::Table(family, table)), ["chain", name]) => Some(Block::Chain(ChainName::new(family, table, name))),
        (Some(Block::Table(..) | Block::Other), _) => Some(Block::Other),
        _ => None,
    }
}

const FAMILIES: &[&str] = &["ip", "ip6", "inet", "arp", "bridge", "netdev"];

/// Family and what follows it; `ip` where none is said.
pub(super) fn named<'a>(words: &[&'a str], of: usize) -> Option<(String, Vec<&'a str>)> {
    let (family, rest) = match words.first() {
        Some(first) if FAMILIES.contains(first) && words.len() > of => (*first, &words[1..]),
        _ => ("ip", words),
    };
    (rest.len() >= of).then(|| (family.to_owned(), rest.to_vec()))
}

/// From 1.
pub(super) fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}
