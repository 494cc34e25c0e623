//! Which line of a ruleset a rule stands on, by its chain and its place within that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A chain of the kernel's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ChainName {
    pub(crate) family: String,
    pub(crate) table: String,
    pub(crate) chain: String,
}

impl ChainName {
    pub(super) fn new(family: &str, table: &str, chain: &str) -> Self {
        ChainName {
            family: family.to_owned(),
            table: table.to_owned(),
            chain: chain.to_owned(),
        }
    }
}

impl std::fmt::Display for ChainName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.family, self.table, self.chain)
    }
}

/// A rule in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// From 1, where it begins.
    pub(super) line: usize,
    /// As it is written, on one line.
    pub(super) text: String,
}

/// All rules of a text, as the kernel has them when it is loaded.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    chains: BTreeMap<ChainName, Chain>,
}

#[derive(Debug, Clone, Default)]
struct Chain {
    rules: Vec<Rule>,
    declared: Option<usize>,
    policy: Option<usize>,
    /// A rule was put where only the kernel knows.
    lost: bool,
}

impl Rules {
    /// The rules of a chain in the kernel's order; none where that is not known.
    pub(super) fn of(&self, chain: &ChainName) -> Option<&[Rule]> {
        let chain = self.chains.get(chain)?;
        (!chain.lost).then_some(chain.rules.as_slice())
    }

    /// The line that says a chain's policy, or the chain's own.
    pub(super) fn line_of_policy(&self, chain: &ChainName) -> Option<usize> {
        let chain = self.chains.get(chain)?;
        chain.policy.or(chain.declared)
    }

    pub(super) fn append(&mut self, chain: ChainName, line: usize, text: &str) {
        self.chains.entry(chain).or_default().rules.push(Rule::new(line, text));
    }

    pub(super) fn insert(&mut self, chain: ChainName, at: usize, line: usize, text: &str) {
        let chain = self.chains.entry(chain).or_default();
        match at <= chain.rules.len() {
            true => chain.rules.insert(at, Rule::new(line, text)),
            false => chain.lost = true,
        }
    }

    pub(super) fn declared(&mut self, chain: ChainName, line: usize) {
        self.chains.entry(chain).or_default().declared.get_or_insert(line);
    }

    pub(super) fn policy(&mut self, chain: &ChainName, line: usize) {
        self.chains.entry(chain.clone()).or_default().policy = Some(line);
    }

    pub(super) fn lost(&mut self, chain: ChainName) {
        self.chains.entry(chain).or_default().lost = true;
    }

    pub(super) fn forget(&mut self, meant: impl Fn(&ChainName) -> bool) {
        self.chains.retain(|chain, _| !meant(chain));
    }
}

impl Rule {
    fn new(line: usize, text: &str) -> Self {
        let words: Vec<&str> = text.split_whitespace().filter(|word| *word != "\\").collect();
        Rule {
            line,
            text: words.join(" "),
        }
    }
}
