//! `iptables-save`, line by line: rules, and what they say of the network around the firewall.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fwdrill_protocol::estate::port_set::PortSet;
use ipnet::IpNet;

use super::facts::{Facts, Translation};
use super::rules::{ChainName, Rules};

/// The rules of a text; `family` is `ip` or `ip6`.
pub(super) fn rules(text: &str, family: &str) -> Rules {
    let mut rules = Rules::default();
    each(text, |table, line, words, text| {
        let name = |chain: &str| ChainName::new(family, table, chain);
        match words {
            [chain, policy, ..] if chain.starts_with(':') => {
                let chain = name(&chain[1..]);
                rules.declared(chain.clone(), line);
                if policy != "-" {
                    rules.policy(&chain, line);
                }
            }
            [verb, chain, ..] if verb == "-A" || verb == "--append" => rules.append(name(chain), line, text),
            [verb, chain, rest @ ..] if verb == "-I" || verb == "--insert" => {
                let at = rest
                    .first()
                    .and_then(|number| number.parse::<usize>().ok())
                    .unwrap_or(1);
                rules.insert(name(chain), at.saturating_sub(1), line, text);
            }
            [verb, chain, ..] if ["-D", "-R", "--delete", "--replace"].contains(&verb.as_str()) => {
                rules.lost(name(chain))
            }
            _ => {}
        }
    });
    rules
}

/// What `iptables-save` says of the kernel's tables, as far as it takes to say what became of a packet.
#[derive(Debug, Default)]
pub(super) struct Saved {
    pub(super) chains: BTreeMap<ChainName, SavedChain>,
}

/// A chain of those.
#[derive(Debug, Default)]
pub(super) struct SavedChain {
    /// Of a built-in chain: `ACCEPT` or `DROP`.
    pub(super) policy: Option<String>,
    pub(super) rules: Vec<SavedRule>,
}

/// A rule of those.
#[derive(Debug)]
pub(super) struct SavedRule {
    words: Vec<String>,
    pub(super) text: String,
}

impl Saved {
    pub(super) fn chain(&self, name: &ChainName) -> Option<&SavedChain> {
        self.chains.get(name)
    }
}

impl SavedRule {
    /// `jump` or `goto`, and where to; none for a rule that only counts.
    pub(super) fn target(&self) -> Option<(&'static str, &str)> {
        let at = self.words.iter().rposition(|word| word == "-j" || word == "-g")?;
        let verb = if self.words[at] == "-j" { "jump" } else { "goto" };
        Some((verb, self.words.get(at + 1)?))
    }
}

/// Reads it; `family` is `ip` or `ip6`.
pub(super) fn saved(text: &str, family: &str) -> Saved {
    let mut saved = Saved::default();
    each(text, |table, _, words, text| {
        let name = |chain: &str| ChainName::new(family, table, chain);
        match words {
            [chain, policy, ..] if chain.starts_with(':') => {
                let chain = saved.chains.entry(name(&chain[1..])).or_default();
                chain.policy = (policy != "-").then(|| policy.clone());
            }
            [verb, chain, ..] if verb == "-A" => saved.chains.entry(name(chain)).or_default().rules.push(SavedRule {
                words: words.to_vec(),
                text: text.to_owned(),
            }),
            _ => {}
        }
    });
    saved
}

/// What the rules say of the network around.
pub(super) fn facts(text: &str) -> Facts {
    let mut facts = Facts::default();
    each(text, |_, _, words, _| {
        let mut ports = Vec::new();
        let mut targets = Vec::new();
        for (option, value) in words.iter().zip(words.iter().skip(1)) {
            match option.as_str() {
                "-i" | "-o" | "--in-interface" | "--out-interface" | "--physdev-in" | "--physdev-out" => {
                    facts.interfaces.insert(value.replace('+', "*"));
                }
                "-s" | "-d" | "--source" | "--destination" => facts.networks.extend(network(value)),
                "--dport" | "--dports" | "--destination-port" | "--destination-ports" => {
                    ports = value
                        .split(',')
                        .filter_map(range)
                        .flat_map(|ports| ports.iter().collect::<Vec<_>>())
                        .collect();
                }
                "--to-destination" => targets.extend(address(value)),
                "--match-set" => {
                    facts.sets.insert(value.clone());
                }
                _ => {}
            }
        }
        let ports: PortSet = ports.into_iter().collect();
        facts.translations.extend(targets.into_iter().map(|target| Translation {
            target,
            ports: ports.clone(),
        }));
    });
    facts
}

/// The sets of an `ipset save`, each with whether it has a member.
pub(super) fn sets(text: &str) -> Vec<(String, bool)> {
    let words = |verb: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix(verb));
        lines
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect()
    };
    let members = words("add ");
    words("create ")
        .into_iter()
        .map(|name| (name.clone(), members.contains(&name)))
        .collect()
}

/// Calls with table, line, words and the line's text, for all lines that say something.
fn each(text: &str, mut then: impl FnMut(&str, usize, &[String], &str)) {
    let mut table = "filter".to_owned();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('*') {
            name.trim().clone_into(&mut table);
        } else if !line.is_empty() && !line.starts_with('#') {
            // `iptables-save -c` puts `[packets:bytes]` before a rule.
            let rule = if line.starts_with('[') {
                line.split_once("] ").map_or(line, |(_, rule)| rule)
            } else {
                line
            };
            then(&table, at + 1, &words(rule), rule);
        }
    }
}

/// Words as iptables-restore takes them apart: quotes hold them together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let (mut quoted, mut escaped) = (false, false);
    for character in line.chars() {
        match character {
            _ if escaped => {
                word.get_or_insert_default().push(character);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' | '\t' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

fn range(text: &str) -> Option<PortSet> {
    let (low, high) = text.split_once(':').unwrap_or((text, text));
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (low <= high).then(|| PortSet::range(low, high))
}

fn network(text: &str) -> Option<IpNet> {
    text.parse()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// The first address of `ADDRESS[-ADDRESS][:PORT[-PORT]]`.
fn address(text: &str) -> Option<IpAddr> {
    if let Some(six) = text.strip_prefix('[') {
        return six.split([']', '-']).next()?.parse().ok();
    }
    let text = text.split('-').next()?;
    text.parse().ok().or_else(|| text.rsplit_once(':')?.0.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# Generated by iptables-save v1.8.9 (nf_tables) on Tue
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d 203.0.113.2/32 -i eth0 -p tcp -m multiport --dports 2021,3023:3025 -m comment --comment "the \"update\" server -i no" -j DNAT --to-destination 10.20.0.10
-A PREROUTING ! -i docker0 -p tcp --dport 80 -j DNAT --to-destination 10.20.0.80:8080-8081
COMMIT
*filter
:FORWARD DROP [0:0]
:extra - [0:0]
[3:180] -A FORWARD -m set --match-set blocked src -j DROP
-I FORWARD 1 -o ppp+ -j extra
-I FORWARD -j ACCEPT
COMMIT
"#;

    #[test]
    fn rules_have_their_lines_in_the_order_of_the_kernel() {
        let rules = rules(TEXT, "ip");
        let forward = ChainName::new("ip", "filter", "FORWARD");
        let lines: Vec<usize> = rules.of(&forward).unwrap().iter().map(|rule| rule.line).collect();
        assert_eq!(lines, [12, 11, 10]);
        assert_eq!(rules.line_of_policy(&forward), Some(8));
        assert_eq!(rules.of(&ChainName::new("ip", "nat", "PREROUTING")).unwrap().len(), 2);
        assert!(rules.of(&ChainName::new("ip", "filter", "extra")).unwrap().is_empty());
    }

    #[test]
    fn interfaces_targets_networks_and_sets_are_read_off_and_comments_are_not() {
        let facts = facts(TEXT);
        assert_eq!(facts.interfaces.iter().collect::<Vec<_>>(), ["docker0", "eth0", "ppp*"]);
        let told: Vec<(String, String)> = facts
            .translations
            .iter()
            .map(|translation| (translation.target.to_string(), translation.ports.to_string()))
            .collect();
        let expected = [("10.20.0.10", "2021,3023-3025"), ("10.20.0.80", "80")];
        assert_eq!(
            told,
            expected.map(|(target, ports)| (target.to_owned(), ports.to_owned()))
        );
        assert!(facts.sets.contains("blocked") && facts.networks.contains(&"203.0.113.2/32".parse().unwrap()));
        assert_eq!(address("[2001:db8::1]:80").unwrap().to_string(), "2001:db8::1");
        assert_eq!(address("2001:db8::1").unwrap().to_string(), "2001:db8::1");
    }

    #[test]
    fn a_set_without_members_shows() {
        let text = "create blocked hash:net family inet\ncreate allowed hash:ip\nadd allowed 192.0.2.1\n";
        assert_eq!(
            sets(text),
            [("allowed".to_owned(), true), ("blocked".to_owned(), false)]
        );
    }
}
