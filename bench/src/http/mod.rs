//! Downloads over HTTP, beside nginx: the same files, the same load, the same machine.

mod client;

use anyhow::ensure;
use fwdrill_protocol::flow::Flow;

use crate::contender::{Contender, fwdrill, nginx};
use crate::corpus::{Corpus, path};
use crate::rounds::{Case, Unit, alternate};
use crate::{Plan, process, progress, table};
use client::Client;

/// One size of file. Connections are kept alive, and few: their number is what it costs in ports and conntrack entries.
struct Downloads {
    name: &'static str,
    size: u64,
    connections: u32,
    /// In all, over all connections.
    requests: u32,
}

/// Each runs for about a second or two.
const CASES: [Downloads; 5] = [
    Downloads {
        name: "1 KiB, 16 connections",
        size: 1 << 10,
        connections: 16,
        requests: 80_000,
    },
    Downloads {
        name: "64 KiB, 16 connections",
        size: 64 << 10,
        connections: 16,
        requests: 40_000,
    },
    Downloads {
        name: "10 MiB, 1 connection",
        size: 10 << 20,
        connections: 1,
        requests: 400,
    },
    Downloads {
        name: "10 MiB, 8 connections",
        size: 10 << 20,
        connections: 8,
        requests: 400,
    },
    Downloads {
        name: "1 GiB, 1 connection",
        size: 1 << 30,
        connections: 1,
        requests: 4,
    },
];

/// Measures, and returns a section of Markdown.
pub(crate) fn run(plan: &Plan) -> anyhow::Result<String> {
    progress("making files");
    let mut sizes: Vec<u64> = CASES.iter().map(|case| case.size).collect();
    sizes.dedup();
    let corpus = Corpus::make(&plan.scratch, &sizes)?;
    let ours = fwdrill::start(&plan.fwdrill, &corpus, &plan.scratch, Flow::Http, &[])?;
    let theirs = nginx::start(&corpus, &plan.scratch)?;
    let rows = alternate(plan, &CASES, &ours, &theirs)?;
    let memory = |contender: &Contender| process::memory(contender.pid()).map(|bytes| bytes as f64 / 1048576.0);
    Ok(format!(
        "## HTTP\n{} rounds, alternating; medians. Requests over kept-alive connections, one in flight on each.\n\n{}\n\
         Memory of the server afterwards (PSS): {} {:.1} MiB, {} {:.1} MiB.\n",
        plan.rounds,
        table::render(ours.name(), theirs.name(), &rows),
        ours.name(),
        memory(&ours)?,
        theirs.name(),
        memory(&theirs)?,
    ))
}

impl Case for Downloads {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn unit(&self) -> Unit {
        if self.size < 1 << 20 {
            Unit::Pieces("requests")
        } else {
            Unit::Bytes
        }
    }

    /// In waves: a request on every connection, then every answer in turn. A thread that never waits for events costs the
    /// least of a machine which the server has to share with it.
    fn load(&self, contender: &Contender) -> anyhow::Result<u64> {
        let mut clients = Vec::new();
        for _ in 0..self.connections {
            clients.push(Client::connect(contender.address(), &path(self.size))?);
        }
        let mut bytes = 0;
        for _ in 0..self.requests / self.connections {
            for client in &mut clients {
                client.ask()?;
            }
            for client in &mut clients {
                bytes += client.receive(self.size)?;
            }
        }
        let requests = u64::from(self.requests / self.connections * self.connections);
        ensure!(bytes == requests * self.size, "{bytes} bytes came");
        Ok(match self.unit() {
            Unit::Bytes => bytes,
            Unit::Pieces(_) => requests,
        })
    }
}
