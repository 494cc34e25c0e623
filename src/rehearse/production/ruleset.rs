//! One firewall's ruleset: its files, what is loaded of them, and where each of its rules stands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::bail;

use super::facts::Facts;
use super::rules::{ChainName, Rule, Rules};
use super::source::{Kind, Origin, Source};
use super::{iptables_text, nft_json, nft_text};
use crate::rehearse::inside::Inspection;
use crate::rehearse::lab::{LONGEST_INTERFACE, Loadable, Loader, Tables};
use crate::rehearse::run;

/// A ruleset that loads.
#[derive(Debug, Clone)]
pub(crate) struct Ruleset {
    sources: Vec<(Source, Rules)>,
    pub(super) loadables: Vec<Loadable>,
    pub(super) facts: Facts,
    /// What the user has to know of it: what was left out, what was added.
    pub(super) notes: Vec<String>,
    /// Interfaces that are made only because rules name them.
    pub(super) dummies: BTreeSet<String>,
}

/// Docker's own program for what its rules leave out.
const DOCKER_PROXY: &str =
    "docker-proxy is a program and not there: containers and the host itself reach published ports by rules only";

/// A rule's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) origin: Origin,
    /// As it is written there.
    pub(super) text: String,
}

impl Ruleset {
    /// Reads the files; `legacy`: iptables' own tables instead of nftables'.
    pub(super) fn read(files: &[PathBuf], legacy: bool) -> anyhow::Result<Ruleset> {
        let mut sources: Vec<Source> = Vec::new();
        let mut mistakes = Vec::new();
        for file in files {
            match Source::read(file) {
                Ok(source) => sources.push(source),
                Err(error) => mistakes.push(format!("{error:#}")),
            }
        }
        if !mistakes.is_empty() {
            bail!("{}", mistakes.join("\n"));
        }
        // Sets before the rules that name them; everything else as given.
        sources.sort_by_key(|source| source.kind != Kind::Ipset);
        let mut ruleset = Ruleset {
            sources: Vec::new(),
            loadables: Vec::new(),
            facts: Facts::default(),
            notes: Vec::new(),
            dummies: BTreeSet::new(),
        };
        for source in sources {
            ruleset.take(source, legacy)?;
        }
        ruleset.check_sets()?;
        Ok(ruleset)
    }

    fn take(&mut self, source: Source, legacy: bool) -> anyhow::Result<()> {
        let whole = || (source.text.clone(), Vec::new());
        let (by, (text, without), rules) = match (source.kind, legacy) {
            (Kind::Nft, _) => (
                Loader::Nft,
                nft_text::without_flowtables(&source.text),
                nft_text::rules(&source.text),
            ),
            (Kind::NftJson, _) => (
                Loader::NftJson,
                nft_json::loadable(&source.text)?,
                nft_json::rules(&source.text),
            ),
            (Kind::Ipset, _) => (Loader::Ipset, whole(), Rules::default()),
            (Kind::Iptables, false) => (Loader::IptablesNft, whole(), iptables_text::rules(&source.text, "ip")),
            (Kind::Iptables, true) => (
                Loader::IptablesLegacy,
                whole(),
                iptables_text::rules(&source.text, "ip"),
            ),
            (Kind::Ip6tables, false) => (Loader::Ip6tablesNft, whole(), iptables_text::rules(&source.text, "ip6")),
            (Kind::Ip6tables, true) => (
                Loader::Ip6tablesLegacy,
                whole(),
                iptables_text::rules(&source.text, "ip6"),
            ),
        };
        if is_dockers(&source.text) && !self.notes.iter().any(|note| note == DOCKER_PROXY) {
            self.notes.push(DOCKER_PROXY.to_owned());
        }
        if matches!(source.kind, Kind::Iptables | Kind::Ip6tables) {
            self.facts.join(iptables_text::facts(&source.text));
        }
        let places: Vec<String> = without
            .iter()
            .filter_map(|line| source.origin(*line))
            .map(Origin::to_string)
            .collect();
        if !places.is_empty() {
            self.notes.push(format!(
                "{}: left out what concerns flowtables: packets on the fast path meet no rule (what is decided stays the same)",
                places.join(", ")
            ));
        }
        self.loadables.push(Loadable { by, text });
        self.sources.push((source, rules));
        Ok(())
    }

    /// Sets that iptables rules name have to be there, with members.
    fn check_sets(&mut self) -> anyhow::Result<()> {
        let sets: BTreeMap<String, bool> = (self.sources.iter())
            .filter(|(source, _)| source.kind == Kind::Ipset)
            .flat_map(|(source, _)| iptables_text::sets(&source.text))
            .collect();
        let mut mistakes = Vec::new();
        for name in self.facts.sets.clone() {
            let place = self.mentioned(&name);
            match sets.get(&name) {
                None => mistakes.push(format!(
                    "{place}: the ipset {name} is not defined: give the output of ipset save as one more --ruleset"
                )),
                Some(false) => self.notes.push(format!(
                    "{place}: the ipset {name} has no members: no packet matches it"
                )),
                Some(true) => {}
            }
        }
        if !mistakes.is_empty() {
            bail!("{}", mistakes.join("\n"));
        }
        Ok(())
    }

    /// Has the kernel take it, with these interfaces there. Everything that it does not take is told at once.
    pub(super) async fn inspect(&mut self, described: &BTreeSet<String>) -> anyhow::Result<()> {
        let interfaces = described.iter().cloned().collect();
        let inspection = Inspection {
            interfaces,
            rulesets: self.loadables.clone(),
        };
        let inspected = run::inspect(inspection).await?;
        let complaints: Vec<String> = inspected
            .refused
            .iter()
            .map(|refused| {
                let source = self.sources.get(refused.ruleset).map(|(source, _)| source);
                let origin =
                    source.and_then(|source| refused.line.and_then(|line| source.origin(line)).or(source.origin(1)));
                match origin {
                    Some(origin) if refused.line.is_some() => format!("{origin}: {}", refused.said),
                    Some(origin) => format!("{}: {}", origin.file.display(), refused.said),
                    None => refused.said.clone(),
                }
            })
            .collect();
        if !complaints.is_empty() {
            bail!("{}", complaints.join("\n"));
        }
        self.facts.join(Facts::of_kernel(&inspected.listed));
        self.facts.interfaces.extend(inspected.missing);
        self.place_interfaces(described)
    }

    /// An interface that is only named is made, so that the rules hold as they are.
    fn place_interfaces(&mut self, described: &BTreeSet<String>) -> anyhow::Result<()> {
        let covers = |name: &str, interface: &str| match name.strip_suffix('*') {
            Some(start) => interface.starts_with(start),
            None => name == interface,
        };
        let named: Vec<String> = self
            .facts
            .interfaces
            .iter()
            .filter(|name| *name != "lo" && *name != "*")
            .cloned()
            .collect();
        let strangers: Vec<String> = named
            .iter()
            .filter(|name| !described.iter().any(|interface| covers(name, interface)))
            .cloned()
            .collect();
        let list: Vec<String> = strangers
            .iter()
            .map(|name| format!("{name} ({})", self.mentioned(name)))
            .collect();
        if !strangers.is_empty() && strangers.len() == named.len() {
            let described: Vec<&str> = described.iter().map(String::as_str).collect();
            bail!(
                "none of the interfaces described ({}) is named in the ruleset; it names {}",
                described.join(", "),
                list.join(", ")
            );
        }
        self.dummies = strangers
            .into_iter()
            .filter(|name| !name.contains(['*', '/', ' ']) && name.len() <= LONGEST_INTERFACE)
            .collect();
        if !list.is_empty() {
            self.notes.push(format!(
                "named in the ruleset but not described: {}; nothing is connected there",
                list.join(", ")
            ));
        }
        Ok(())
    }

    fn mentioned(&self, word: &str) -> String {
        // iptables writes eth+ for what nft calls eth*.
        let also = word.replace('*', "+");
        (self.sources.iter())
            .find_map(|(source, _)| source.mention(word).or_else(|| source.mention(&also)))
            .map_or_else(|| "line unknown".to_owned(), Origin::to_string)
    }

    /// Where the rule stands that the kernel has at this place of a chain of so many.
    pub(super) fn rule(&self, chain: &ChainName, at: usize, of: usize) -> Option<Place> {
        let parts: Vec<(&Source, &[Rule])> = (self.sources.iter())
            .filter_map(|(source, rules)| Some((source, rules.of(chain)?)))
            .collect();
        // The kernel has other rules than the text: a program that merges or splits them.
        let counted: usize = parts.iter().map(|(_, rules)| rules.len()).sum();
        if counted != of {
            return None;
        }
        let mut at = at;
        for (source, rules) in parts {
            match rules.get(at) {
                Some(rule) => {
                    return Some(Place {
                        origin: source.origin(rule.line)?.clone(),
                        text: rule.text.clone(),
                    });
                }
                None => at -= rules.len(),
            }
        }
        None
    }

    /// Where a chain's policy stands.
    pub(super) fn policy(&self, chain: &ChainName) -> Option<Origin> {
        let (source, line) = (self.sources.iter())
            .filter_map(|(source, rules)| Some((source, rules.line_of_policy(chain)?)))
            .next_back()?;
        source.origin(line).cloned()
    }

    /// Whose tables tell which rule decided; none where packets pass through those of both.
    pub(super) fn tables(&self) -> Option<Tables> {
        let of = |loadable: &Loadable| match loadable.by {
            Loader::IptablesLegacy | Loader::Ip6tablesLegacy => Some(Tables::Legacy),
            Loader::Nft | Loader::NftJson | Loader::IptablesNft | Loader::Ip6tablesNft => Some(Tables::Nftables),
            Loader::Ipset => None,
        };
        let mut all = self.loadables.iter().filter_map(of);
        let first = all.next()?;
        all.all(|tables| tables == first).then_some(first)
    }
}

/// Whether Docker keeps its chains here, as nft or as iptables-save writes them.
fn is_dockers(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim_start);
    lines.any(|line| line.starts_with(":DOCKER ") || line.starts_with("chain DOCKER {"))
}
