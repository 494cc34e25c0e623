//! A RST answers: nothing listens, or somebody on the way (or behind a wrong forward) says so.
//!
//! How far away the RST was made, by its TTL, against how far the SYN had to go for it: nearer means that somebody on the way
//! forged it. From as far as the server it needs the server's own word.

use fwdrill_protocol::finding::{FindingId, Place};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::host::Counters;
use fwdrill_protocol::report::Outcome;

use super::super::facts::{Facts, Listening};
use super::cause::Cause;
use super::geometry::{Road, shows};
use crate::observation::Attempt;
use FindingId::{
    ClientEgressBlocked, ClientHostBlocked, ForwardMissing, ForwardWrongHost, PortRejected, ServerHostBlocked,
    ServerLoopbackOnly, ServerNotListening,
};

pub(super) fn judge(facts: &Facts, flow: Flow, attempt: &Attempt) -> Cause {
    let road = Road::to(facts, attempt.to);
    let port = attempt.to.port();
    let cause = listening(facts, flow)
        .or_else(|| by_distance(facts, &road, attempt))
        .unwrap_or_else(|| from_the_server(facts, flow, &road, attempt));
    let after = attempt
        .rtt_ms
        .map_or_else(String::new, |rtt| format!(" after {rtt} ms"));
    let cause = cause.because(format!("TCP {port} answered with a RST{after}"));
    match road.in_words() {
        Some(words) => cause.because(words),
        None => cause,
    }
}

/// The server says itself that nobody can reach a listener there.
fn listening(facts: &Facts, flow: Flow) -> Option<Cause> {
    match facts.server_listens(flow)? {
        Listening::No => Some(
            Cause::certain(ServerNotListening, Place::Server)
                .because("the server's own list of listening sockets lacks them"),
        ),
        Listening::LoopbackOnly => Some(
            Cause::certain(ServerLoopbackOnly, Place::Server)
                .because("the server's own list of listening sockets says 127.0.0.1 or ::1"),
        ),
        Listening::Yes => None,
    }
}

/// What the distances prove; `None` where the RST comes from as far as the server.
fn by_distance(facts: &Facts, road: &Road, attempt: &Attempt) -> Option<Cause> {
    let length = road.length()?;
    let reached = road.trace?.answered()?;
    let answer = facts
        .seen
        .path
        .answer(attempt.to)
        .filter(|answer| answer.outcome == Outcome::Refused);
    let made = answer.map(|answer| answer.distance().saturating_add_signed(detour(facts, length)));
    match made {
        Some(made) if made > 0 && made < reached => {
            let cause = match road.place(made) {
                Place::ClientFirewall => Cause::likely(ClientEgressBlocked, Place::ClientFirewall, &[PortRejected]),
                place => Cause::certain(PortRejected, place),
            };
            let ttl = answer.map_or(0, |answer| answer.ttl);
            Some(cause.at(road.device(made)).because(format!(
                "the RST arrives with TTL {ttl}: it was made at hop {made}, but it took a SYN with TTL {reached} to get it, and the server is at hop {length}"
            )))
        }
        _ if reached >= length => None,
        _ if reached == 1 && road.owner() != Some(1) && !road.is_not_forwarded_after(0) => Some(
            Cause::likely(ClientHostBlocked, Place::ClientHost, &[ClientEgressBlocked, PortRejected])
                .because("the RST comes before any router: this host's own firewall makes it"),
        ),
        _ if road.is_not_forwarded_after(reached - 1) => Some(
            Cause::likely(ForwardMissing, Place::ServerFirewall, &[PortRejected])
                .at(road.device(reached))
                .because(format!(
                    "hop {reached}, the NAT in front of the server, answers for itself, while a port that works answers at hop {length}"
                )),
        ),
        _ => Some(
            Cause::likely(PortRejected, road.place(reached), &[ForwardMissing, ClientEgressBlocked])
                .at(road.device(reached))
                .because(format!("hop {reached} answers, while the server is at hop {length}")),
        ),
    }
}

/// By how many hops the way there is longer than the way back, as a port that works shows.
fn detour(facts: &Facts, length: u8) -> i8 {
    let reference = facts.seen.path.reference.and_then(|to| facts.seen.path.answer(to));
    let back = reference.map_or(length, |answer| answer.distance());
    i8::try_from(i16::from(length) - i16::from(back)).unwrap_or(0)
}

/// The RST comes from as far as the server, or from nobody knows where.
fn from_the_server(facts: &Facts, flow: Flow, road: &Road, attempt: &Attempt) -> Cause {
    let knock = facts.seen.path.knock(attempt.to);
    let there = knock.and_then(|knock| knock.server.as_ref());
    let syns = knock.map_or(0, |knock| knock.syns);
    let far = facts.address().is_some_and(|address| !address.is_loopback());
    // The RST comes from as far as the server: nobody nearer made it.
    let placed = road.length().is_some() && facts.seen.path.answer(attempt.to).is_some();
    if shows(there, syns, Counters::undelivered) {
        return Cause::certain(ServerHostBlocked, Place::ServerHost).because(format!(
            "the server listens there, and its host received {} packets more than it delivered while {syns} SYNs were sent: its own firewall rejects them",
            there.map_or(0, |there| there.more(Counters::undelivered))
        ));
    }
    let listens = facts.server_listens(flow) == Some(Listening::Yes);
    if listens && shows(there, syns, |counters| counters.out_resets) {
        return Cause::likely(ForwardWrongHost, Place::ServerFirewall, &[ServerLoopbackOnly, ServerNotListening]).because(format!(
            "the server listens there, and its host sent {} resets while {syns} SYNs were sent: they arrive at another port or address of it",
            there.map_or(0, |there| there.more(|counters| counters.out_resets))
        ));
    }
    if listens {
        let cause = match (there.is_some(), road.is_translated()) {
            (true, true) if placed => Cause::certain(ForwardWrongHost, Place::ServerFirewall),
            (true, true) => Cause::likely(ForwardWrongHost, Place::ServerFirewall, &[PortRejected]),
            (true, false) => Cause::likely(PortRejected, Place::Unknown, &[ForwardWrongHost]),
            (false, _) => Cause::likely(PortRejected, Place::Unknown, &[ForwardWrongHost, ServerHostBlocked]),
        };
        let cause = cause.because("the server says that it listens on them, so the RST is not for want of a listener");
        return if there.is_some() {
            cause.because("the server's host saw nothing of the SYNs: another host answers")
        } else {
            cause
        };
    }
    let mut others = vec![ServerHostBlocked];
    if far {
        others.extend([ForwardWrongHost, ServerLoopbackOnly]);
        if !placed {
            others.extend([PortRejected, ForwardMissing]);
        }
    }
    let cause = if placed || !far {
        Cause::likely(ServerNotListening, Place::Server, &others)
    } else {
        Cause::possible(ServerNotListening, Place::Unknown, &others)
    };
    let cause = cause.because("the server's own list of listening sockets is not known");
    match facts.seen.path.answer(attempt.to) {
        Some(answer) if placed => cause.because(format!(
            "the RST arrives with TTL {}: it was made at hop {}, as far as the server",
            answer.ttl,
            answer.distance()
        )),
        _ => cause,
    }
}
