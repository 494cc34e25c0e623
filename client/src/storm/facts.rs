//! What is known when a storm is over: what limits are judged by.

use std::collections::BTreeMap;
use std::time::Duration;

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::storm::{Cause, Step};

use super::Storm;
use super::tally::{Books, Failures};
use super::witness::Witness;

/// Both halves of a storm.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) storm: Storm,
    pub(super) elapsed: Duration,
    /// How long each step took the agent alone, milliseconds; `None`: it did not get through, and there was no crowd.
    pub(super) alone: Option<BTreeMap<Step, f64>>,
    pub(super) books: Books,
    pub(super) witness: Witness,
    /// Somebody wanted it to end before it was over.
    pub(super) stopped: bool,
}

impl Facts {
    /// Failures of a step for a cause, if there were any.
    pub(super) fn failures(&self, step: Step, cause: Cause) -> Option<&Failures> {
        self.books.failures.get(&(step, cause))
    }

    /// The failure whose step began first.
    pub(super) fn first(&self) -> Option<&Failures> {
        self.books.failures.values().min_by_key(|failures| failures.first.began)
    }

    /// The first failure that is this machine's own.
    pub(super) fn first_own(&self) -> Option<&Failures> {
        let own = |failures: &&Failures| failures.first.cause.is_own();
        self.books
            .failures
            .values()
            .filter(own)
            .min_by_key(|failures| failures.first.began)
    }

    /// The passive range as the server tells it, else as the estate does.
    pub(super) fn range(&self) -> PortSet {
        let told = self.witness.range.clone();
        told.unwrap_or_else(|| self.storm.estate.handed_out_ports())
    }

    /// The port of a service; 0 for the passive range.
    pub(super) fn port(&self, flow: Flow) -> u16 {
        self.storm.estate.port(flow).unwrap_or(0)
    }

    /// Whether the server itself was away for a while: more than one of its services refused, or what stood was cut.
    pub(super) fn server_was_away(&self) -> bool {
        let refusing = |flow: &&Flow| {
            let book = self.books.ports.get(*flow);
            book.is_some_and(|book| book.of(&[Cause::Refused]) > 0)
        };
        let services = [Flow::Version, Flow::FtpControl, Flow::Http, Flow::Events];
        let refusing = services.iter().filter(refusing).count();
        let cut = [Step::Login, Step::Passive, Step::Download, Step::Upload]
            .iter()
            .any(|step| self.failures(*step, Cause::Reset).is_some());
        refusing > 1 || (refusing > 0 && cut)
    }
}
