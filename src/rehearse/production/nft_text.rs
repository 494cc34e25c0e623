//! Which line a rule stands on in nft's language, and the text without flowtables.

use super::nft_statements::{Statement, line_at, named, statements};
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
