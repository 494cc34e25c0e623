//! Storms for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::storm::{Cause, Machine, Step};

use crate::ftp::Passive;
use crate::limits::Limits;
use crate::storm::facts::Facts;
use crate::storm::passive_book::PassiveBook;
use crate::storm::tally::{Books, Failures};
use crate::storm::trouble::Trouble;
use crate::storm::witness::Witness;
use crate::storm::{Course, Storm};
use crate::sync::Server;

/// So many agents, a range of 50 ports, and nothing wrong.
pub(super) fn storm_of(clients: u32) -> Facts {
    let mut estate = Estate::default();
    estate.ftp.passive_ports = "3023-3072".parse().unwrap();
    Facts {
        storm: Storm {
            server: Server::at([192, 0, 2, 1].into(), &estate),
            estate,
            client: "pc".parse().unwrap(),
            clients,
            at_once: None,
            ramp: Duration::ZERO,
            course: Course::Rounds(1),
            think: Duration::ZERO,
            passive: Passive::Auto,
            login: None,
            key: None,
            uploads: true,
            limits: Limits::default(),
            patience: Duration::from_secs(1),
            machine: Machine::default(),
        },
        elapsed: Duration::from_secs(10),
        alone: Some(BTreeMap::new()),
        books: Books::default(),
        witness: Witness::default(),
        stopped: false,
    }
}

/// A step fails so often, the first time after so long.
pub(super) fn fail(facts: &mut Facts, step: Step, cause: Cause, count: u64, began: Duration) {
    let first = Trouble {
        step,
        cause,
        began,
        agents: 100,
        words: "as it was said".to_owned(),
    };
    let failures = Failures {
        count,
        first,
        samples: Vec::new(),
    };
    facts.books.failures.insert((step, cause), failures);
}

/// The server refuses `count` passive ports a second after the beginning, all of them asked for at the same time.
pub(super) fn refused_ports(count: u64) -> Facts {
    let mut facts = storm_of(100);
    let mut book = PassiveBook::default();
    for _ in 0..count {
        book.ask(Duration::from_secs(1));
    }
    book.refused("425 none");
    facts.books.passive = book;
    fail(
        &mut facts,
        Step::Passive,
        Cause::NoPassivePort,
        count,
        Duration::from_secs(1),
    );
    facts
}
