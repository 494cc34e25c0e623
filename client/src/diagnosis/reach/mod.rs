//! Reaching a port: it refuses, somebody answers for it, or nothing does.
//!
//! A RST looks the same from the client whether the server's host, another host behind a wrong
//! forward or a firewall sent it; silence looks the same whoever dropped the SYN. What cannot be
//! told apart stands in `alternatives`.

mod refused;
mod silent;
mod unreachable;

use fwdrill_protocol::finding::Finding;
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Outcome;

use super::facts::{Facts, Listening};
use super::{Diagnosis, list};

/// One finding per cause, naming all ports it holds for.
pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let wanted = |flows: Vec<Flow>| -> Vec<Flow> {
        flows
            .into_iter()
            .filter(|flow| facts.expected(*flow) == Expected::Open)
            .collect()
    };
    let mut refused = wanted(facts.ended(Outcome::Refused));
    let unlistened: Vec<Flow> = refused
        .extract_if(.., |flow| facts.server_listens(*flow) == Some(Listening::No))
        .collect();
    let on_loopback: Vec<Flow> = refused
        .extract_if(.., |flow| facts.server_listens(*flow) == Some(Listening::LoopbackOnly))
        .collect();
    let unreachable = wanted(facts.ended(Outcome::Unreachable));
    let silent = wanted(facts.ended(Outcome::Timeout));
    [
        (unlistened, refused::not_listening as fn(&Facts, &[Flow]) -> Finding),
        (on_loopback, refused::loopback_only),
        (refused, refused::by_someone),
        (unreachable, unreachable::by_icmp),
        (silent, silent::dropped),
    ]
    .into_iter()
    .filter(|(flows, _)| !flows.is_empty())
    .map(|(flows, finding)| {
        let finding = finding(facts, &flows);
        let mut explains = flows;
        // Without a control connection there is no data connection.
        if explains.contains(&Flow::FtpControl) {
            explains.push(Flow::FtpPassive);
        }
        Diagnosis { finding, explains }
    })
    .collect()
}

/// "2225 (client events) and 3333 (version service)", ascending.
fn named(facts: &Facts, flows: &[Flow]) -> String {
    let mut named: Vec<(u16, &str)> = flows
        .iter()
        .filter_map(|flow| Some((facts.attempt(*flow)?.to.port(), flow.title())))
        .collect();
    named.sort_unstable();
    list(named.iter().map(|(port, title)| format!("{port} ({title})")))
}

fn is(flows: &[Flow]) -> &'static str {
    if flows.len() == 1 { "is" } else { "are" }
}
