//! Statements for the tests of rules.

use super::{Ephemeral, Source, Statements, lint};
use crate::estate::Estate;
use crate::estate::port_set::PortSet;
use crate::finding::Finding;

/// Statements that own what they refer to.
pub(super) struct Case {
    pub(super) estate: Estate,
    ini: Option<PortSet>,
    list: Option<PortSet>,
    pub(super) ephemeral: Vec<Ephemeral>,
}

impl Case {
    /// The guide's estate, and nothing else said.
    pub(super) fn guide() -> Self {
        Case {
            estate: Estate::default(),
            ini: None,
            list: None,
            ephemeral: Vec::new(),
        }
    }

    /// The same with a range after 3333, as the guide itself advises.
    pub(super) fn healthy() -> Self {
        let mut case = Case::guide();
        case.estate.ftp.passive_ports = PortSet::range(3334, 4333);
        case
    }

    /// An eserv.ini with this range; the estate is what it says.
    pub(super) fn ini(&mut self, range: &str) {
        let range: PortSet = range.parse().unwrap();
        self.estate.ftp.passive_ports = range.clone();
        self.ini = Some(range);
    }

    /// The firewall's list.
    pub(super) fn list(&mut self, ports: &str) {
        self.list = Some(super::port_list::parse("ports.txt", ports).unwrap());
    }

    /// This host's ports for outgoing connections.
    pub(super) fn ephemeral(&mut self, low: u16, high: u16) {
        self.ephemeral.push(Ephemeral {
            ports: PortSet::range(low, high),
            source: Source::ThisHost,
        });
    }

    pub(super) fn lint(&self) -> Vec<Finding> {
        self.with(lint)
    }

    /// The findings of one rule.
    pub(super) fn with(&self, rule: super::Rule) -> Vec<Finding> {
        rule(&Statements {
            estate: &self.estate,
            eserv_ini: self.ini.as_ref(),
            port_list: self.list.as_ref(),
            ephemeral: &self.ephemeral,
        })
    }
}

pub(super) fn names(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.id.name()).collect()
}
