//! What became of a flow at the firewall, and the rule that decided, with its line: facts, and in words.

use std::path::PathBuf;

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::flow::Flow;
use serde::Serialize;

/// What became of a flow's first packets, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Decision {
    pub(crate) flow: Flow,
    /// The answer (SYN-ACK) to who began: the client, or for tasks the server. Else the SYN.
    pub(crate) answer: bool,
    pub(crate) fate: Fate,
    /// What decided; none: no rule and no policy stood in the way.
    pub(crate) by: Option<By>,
    /// The rule that sent it to the chain of that one.
    pub(crate) sent_by: Option<By>,
    /// The rule that gave it another destination.
    pub(crate) translated_by: Option<By>,
    /// It was for the firewall itself, as far as the firewall could tell.
    pub(crate) to_firewall: bool,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fate {
    Dropped,
    Rejected,
    Accepted,
}

/// A rule, or a chain's policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct By {
    /// Family, table and name.
    pub(crate) chain: String,
    /// The chain's policy; else a rule.
    pub(crate) policy: bool,
    /// Absent where the kernel's rules are not those of the text, one by one.
    pub(crate) file: Option<PathBuf>,
    pub(crate) line: Option<usize>,
    /// As it is written in the file, else as nft writes it.
    pub(crate) rule: Option<String>,
}

/// A decision and the ports it was made about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Decided {
    #[serde(flatten)]
    pub(crate) decision: Decision,
    pub(crate) ports: PortSet,
}

impl Decided {
    /// One line for people.
    pub(crate) fn told(&self) -> String {
        let Decision {
            flow,
            answer,
            fate,
            by,
            sent_by,
            translated_by,
            to_firewall,
            ..
        } = &self.decision;
        let what = match (*flow == Flow::Tasks, *answer) {
            (false, false) => "the request",
            (false, true) => "the server's answer",
            (true, false) => "the server's request",
            (true, true) => "the client's answer",
        };
        let mut text = match fate {
            Fate::Dropped => format!("{what} was dropped by "),
            Fate::Rejected => format!("{what} was rejected by "),
            Fate::Accepted => format!("{what} was accepted by "),
        };
        text.push_str(&by.as_ref().map_or_else(|| "no rule".to_owned(), By::told));
        // A chain that drops whatever gets there does not say why it got there.
        if let Some(sender) = sent_by.as_ref().filter(|_| by.as_ref().is_some_and(By::takes_all)) {
            text.push_str(&format!(", where it was sent by {}", sender.told()));
        }
        if let Some(translation) = translated_by {
            text.push_str(&format!("; translated by {}", translation.told()));
        } else if *to_firewall {
            text.push_str("; no rule translated it, so that it was for the firewall itself");
        }
        text
    }
}

impl By {
    /// Whether the rule is for every packet.
    fn takes_all(&self) -> bool {
        let mut words = self.rule.as_deref().unwrap_or_default().split_whitespace();
        match words.next() {
            // iptables: chain, target, and the target's own options.
            Some("-A" | "-I") => words.nth(1) == Some("-j"),
            Some(first) => ["accept", "counter", "drop", "log", "reject"].contains(&first),
            None => false,
        }
    }

    /// `fw.nft:12 (chain inet filter forward): tcp dport 2021 drop`.
    pub(crate) fn told(&self) -> String {
        let place = match (&self.file, self.line) {
            (Some(file), Some(line)) => format!("{}:{line}", file.display()),
            _ => "a rule whose line is not known".to_owned(),
        };
        match &self.rule {
            _ if self.policy => format!("the policy of chain {}, {place}", self.chain),
            Some(rule) => format!("{place} (chain {}): {rule}", self.chain),
            None => format!("{place} (chain {})", self.chain),
        }
    }
}
