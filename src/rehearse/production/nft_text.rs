//! nft's language, as far as it takes to say which line a rule stands on, and to take flowtables out.

use super::rules::{ChainName, Rules};

/// The rules of a text, chain by chain.
pub(super) fn rules(text: &str) -> Rules {
    let mut rules = Rules::default();
    for statement in statements(text) {
        statement.note(&mut rules);
    }
    rules
}

/// The text without flowtables, line by line as before, and the lines that were changed (from 1). Packets that take the
/// fast path are seen by no rule, so that nobody could say which one let them in.
pub(super) fn without_flowtables(text: &str) -> (String, Vec<usize>) {
    let mut text = text.to_owned();
    let mut lines = Vec::new();
    let mut edits = Vec::new();
    for statement in statements(&text) {
        if statement.opens("flowtable") {
            edits.push((statement.start, statement.end, ""));
        } else if let Some((from, to)) = statement.flow() {
            edits.push((from, to, "counter"));
        }
    }
    for (from, to, instead) in edits {
        lines.push(line_at(&text, from));
        let blank: String = text[from..to]
            .char_indices()
            .map(|(at, character)| match character {
                '\n' => "\n",
                _ => instead.get(at..=at).unwrap_or(" "),
            })
            .collect();
        // One byte for one, or the next edit would miss: what is not ASCII stands in comments only.
        if blank.len() == to - from {
            text.replace_range(from..to, &blank);
        }
    }
    (text, lines)
}

/// A statement, or the head of a block with the block.
#[derive(Debug)]
struct Statement<'a> {
    /// Its words, less comments.
    words: &'a str,
    start: usize,
    end: usize,
    line: usize,
    within: Option<ChainName>,
    /// The block it stands in is a table's.
    in_table: bool,
}

enum Block {
    Table(String, String),
    Chain(ChainName),
    Other,
}

const FAMILIES: &[&str] = &["ip", "ip6", "inet", "arp", "bridge", "netdev"];

/// Family and what follows it; `ip` where none is said.
fn named<'a>(words: &[&'a str], of: usize) -> Option<(String, Vec<&'a str>)> {
    let (family, rest) = match words.first() {
        Some(first) if FAMILIES.contains(first) && words.len() > of => (*first, &words[1..]),
        _ => ("ip", words),
    };
    (rest.len() >= of).then(|| (family.to_owned(), rest.to_vec()))
}

impl Statement<'_> {
    fn opens(&self, word: &str) -> bool {
        let mut words = self.words.split_whitespace();
        let first = words.next();
        let first = if matches!(first, Some("add" | "create")) {
            words.next()
        } else {
            first
        };
        (self.in_table || self.within.is_none()) && first == Some(word)
    }

    /// Where it puts packets on the fast path.
    fn flow(&self) -> Option<(usize, usize)> {
        let at = self
            .words
            .find("flow add @")
            .or_else(|| self.words.find("flow offload @"))?;
        let whole = self.words[..at].ends_with(char::is_whitespace) || at == 0;
        let rest = &self.words[at..];
        let name = rest.find('@')? + 1;
        let length = rest[name..]
            .find(|character: char| !character.is_alphanumeric() && character != '_')
            .unwrap_or(rest.len() - name);
        whole.then_some((self.start + at, self.start + at + name + length))
    }

    fn note(&self, rules: &mut Rules) {
        let words: Vec<&str> = self.words.split_whitespace().collect();
        if let Some(chain) = &self.within {
            match words.as_slice() {
                ["type", "filter" | "nat" | "route", ..] => {
                    rules.declared(chain.clone(), self.line);
                    if self.words.contains(" policy ") {
                        rules.policy(chain, self.line);
                    }
                }
                ["policy", ..] => rules.policy(chain, self.line),
                ["comment", ..] | [] => {}
                _ => rules.append(chain.clone(), self.line, self.words),
            }
            return;
        }
        match words.as_slice() {
            ["flush" | "delete", "ruleset", ..] => *rules = Rules::default(),
            ["flush" | "delete", "table", rest @ ..] => {
                if let Some((family, names)) = named(rest, 1) {
                    rules.forget(|chain| chain.family == family && chain.table == names[0]);
                }
            }
            ["flush" | "delete", "chain", rest @ ..] => {
                if let Some((family, names)) = named(rest, 2) {
                    rules.forget(|chain| chain.family == family && chain.table == names[0] && chain.chain == names[1]);
                }
            }
            [verb @ ("add" | "insert" | "replace" | "delete"), "rule", rest @ ..] => self.note_rule(rules, verb, rest),
            ["rule", rest @ ..] => self.note_rule(rules, "add", rest),
            _ => {}
        }
    }

    fn note_rule(&self, rules: &mut Rules, verb: &str, rest: &[&str]) {
        let Some((family, names)) = named(rest, 2) else { return };
        let chain = ChainName::new(&family, names[0], names[1]);
        let by_place = matches!(names.get(2), Some(&"handle" | &"position" | &"index"));
        match (verb, by_place) {
            ("add", false) => rules.append(chain, self.line, self.words),
            ("insert", false) => rules.insert(chain, 0, self.line, self.words),
            _ => rules.lost(chain),
        }
    }
}

fn line_at(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Every statement, in the order of the text.
fn statements(text: &str) -> Vec<Statement<'_>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"#!/usr/sbin/nft -f
flush ruleset
define LAN = eth1
table inet fw {
	flowtable fast {
		hook ingress priority filter
		devices = { eth0, eth1 }
	}
	set ports {
		type inet_service
		elements = { 2021, 3333 }
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state vmap { established : accept, related : accept,
			invalid : drop }
		ip protocol { tcp, udp } flow add @fast # the fast path
		iifname "eth0" tcp dport @ports accept comment "{ # } ;"
		iifname $LAN tcp dport {
			2222, 2225 } \
			accept; counter
	}
	chain own { type filter hook input priority 0
		policy accept
		drop }
}
add rule inet fw forward log prefix "end"
insert rule inet fw own accept
table ip nat {
	chain pre {
		dnat to 10.0.0.1
	}
}
"#;

    #[test]
    fn every_rule_has_its_line() {
        let rules = rules(TEXT);
        let lines = |family, table, chain| {
            let rules = rules.of(&ChainName::new(family, table, chain)).unwrap();
            rules.iter().map(|rule| rule.line).collect::<Vec<_>>()
        };
        assert_eq!(lines("inet", "fw", "forward"), [15, 17, 18, 19, 21, 27]);
        assert_eq!(lines("inet", "fw", "own"), [28, 25]);
        assert_eq!(lines("ip", "nat", "pre"), [31]);
        let forward = ChainName::new("inet", "fw", "forward");
        assert_eq!(
            rules.of(&forward).unwrap()[2].text,
            "iifname \"eth0\" tcp dport @ports accept comment \"{ # } ;\""
        );
        assert_eq!(rules.line_of_policy(&forward), Some(14));
        assert_eq!(rules.line_of_policy(&ChainName::new("inet", "fw", "own")), Some(24));
    }

    #[test]
    fn flowtables_go_and_every_line_stays_where_it_was() {
        let (text, changed) = without_flowtables(TEXT);
        assert_eq!(changed, [5, 17]);
        assert!(!text.contains("fast {") && !text.contains("flow add"), "{text}");
        assert_eq!(text.lines().count(), TEXT.lines().count());
        assert_eq!(
            text.lines().nth(16).unwrap().trim(),
            "ip protocol { tcp, udp } counter        # the fast path"
        );
        assert_eq!(
            without_flowtables("table ip a {\n}\n"),
            ("table ip a {\n}\n".to_owned(), Vec::new())
        );
    }

    #[test]
    fn a_chain_whose_order_nobody_can_tell_has_no_lines() {
        let rules = rules("table ip a {\n chain c {\n accept\n }\n}\ninsert rule ip a c index 0 drop\n");
        assert!(rules.of(&ChainName::new("ip", "a", "c")).is_none());
    }
}
