//! The connection stands, and the service never says a word.
//!
//! Somebody on the way accepted it (nearer than the server, or though nothing listens there), the program does not accept it
//! (its queue grows), or the program accepted and what it said did not arrive.

use fwdrill_protocol::finding::{FindingId, Place};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::{Outcome, Seen};

use super::super::content;
use super::super::facts::{Facts, Listening};
use super::cause::Cause;
use super::geometry::Road;
use crate::observation::Attempt;
use FindingId::{
    ForwardWrongHost, InspectionBlocksFtp, ProxyBackendDown, ServerConnectionLimit, ServerHung, TransparentProxy,
};

pub(super) fn judge(facts: &Facts, flow: Flow, attempt: &Attempt) -> Option<Cause> {
    if let Some(cause) = turned_away(facts, flow) {
        return Some(cause);
    }
    let joined = facts.server().is_some();
    // 2226 and 2227 never say a word to anybody (docs/PROTOCOL.md), so their silence tells nothing.
    if matches!(flow, Flow::System | Flow::SelfEvents) {
        return None;
    }
    let sentinel = matches!(flow, Flow::Agent | Flow::Events | Flow::Console);
    // Somebody else's service on these ports need not answer us.
    if facts.seen.spoke(flow) || sentinel && (!joined || facts.seen_by_server(flow) == Seen::Yes) {
        return None;
    }
    // What it said was too large for the path.
    if content::loses_large_packets(facts) {
        return None;
    }
    let road = Road::to(facts, attempt.to);
    let cause = by_the_server(facts, flow, attempt, &road)
        .or_else(|| by_distance(&road))
        .unwrap_or_else(|| by_how_it_ended(facts, flow, attempt, &road));
    let ended = match (attempt.outcome, facts.trouble(flow)) {
        (Outcome::Reset, _) => "reset at once".to_owned(),
        (_, Some(trouble)) => trouble.text.clone(),
        (_, None) => "nothing came".to_owned(),
    };
    let cause = cause.because(format!(
        "TCP {}: the connection stands, then: {ended}",
        attempt.to.port()
    ));
    Some(match road.in_words() {
        Some(words) => cause.because(words),
        None => cause,
    })
}

/// RFC 959: 421 instead of a greeting.
fn turned_away(facts: &Facts, flow: Flow) -> Option<Cause> {
    let greeting = facts.seen.ftp.as_ref()?.greeting.as_ref()?;
    if flow != Flow::FtpControl || greeting.code != 421 {
        return None;
    }
    Some(
        Cause::likely(ServerConnectionLimit, Place::Server, &[]).because(format!(
            "instead of a greeting the server says \"421 {}\"",
            greeting.text()
        )),
    )
}

fn by_the_server(facts: &Facts, flow: Flow, attempt: &Attempt, road: &Road) -> Option<Cause> {
    let knock = facts.seen.path.knock(attempt.to);
    match facts.server_listens(flow)? {
        Listening::No | Listening::LoopbackOnly => {
            let cause = Cause::certain(ProxyBackendDown, between(road));
            return Some(cause.because(if road.is_direct() {
                "nothing listens there where clients could reach it, and no router stands between: something on the server's own host accepts the connection for it"
            } else {
                "nothing listens there on the server's host: somebody on the way accepts the connection"
            }));
        }
        Listening::Yes => {}
    }
    let knock = knock?;
    if flow == Flow::FtpControl && knock.accepted.is_some_and(|accepted| accepted > 0) {
        return Some(
            Cause::certain(InspectionBlocksFtp, between(road))
                .because("the server accepted the connection, and greets at once: its greeting does not arrive"),
        );
    }
    if knock.waiting.is_some_and(|waiting| waiting > 0) {
        return Some(Cause::certain(ServerHung, Place::Server).because(format!(
            "{} connections wait at the server's host for the program to accept them",
            knock.waiting.unwrap_or_default()
        )));
    }
    (flow == Flow::FtpControl && knock.accepted == Some(0)).then(|| {
        Cause::likely(ProxyBackendDown, between(road), &[ForwardWrongHost, ServerHung])
            .because("the server accepted no such connection, and none waits for it")
    })
}

/// Where whoever has the connection in the server's place stands.
fn between(road: &Road) -> Place {
    if road.is_direct() {
        Place::ServerHost
    } else {
        Place::Path
    }
}

/// Whoever answers nearer than the server is not the server.
fn by_distance(road: &Road) -> Option<Cause> {
    let (length, answered) = (road.length()?, road.trace?.answered()?);
    (answered < length).then(|| {
        Cause::likely(ProxyBackendDown, road.place(answered), &[ForwardWrongHost])
            .at(road.device(answered))
            .because(format!(
                "hop {answered} accepts the connection, while a port that works answers at hop {length}"
            ))
    })
}

fn by_how_it_ended(facts: &Facts, flow: Flow, attempt: &Attempt, road: &Road) -> Cause {
    let cut = attempt.outcome == Outcome::Reset
        || facts
            .trouble(flow)
            .is_some_and(|trouble| trouble.outcome == Outcome::Reset);
    let ftp = flow == Flow::FtpControl;
    let (id, place, mut others) = if cut {
        let place = if road.is_direct() {
            Place::ServerHost
        } else {
            Place::Unknown
        };
        (
            ProxyBackendDown,
            place,
            vec![ServerHung, ForwardWrongHost, TransparentProxy],
        )
    } else {
        (ServerHung, Place::Server, vec![ProxyBackendDown, ForwardWrongHost])
    };
    if ftp {
        others.insert(0, InspectionBlocksFtp);
    }
    if road.is_direct() {
        // Who would forward it, or stand between?
        others.retain(|other| !matches!(other, ForwardWrongHost | TransparentProxy));
    }
    Cause::possible(id, place, &others)
}
