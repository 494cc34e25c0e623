//! Not one port of the server can be used: a cause that concerns the client or the address, not a port.

use fwdrill_protocol::estate::expectation::INSIDE;
use fwdrill_protocol::finding::{FindingId, Place};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Outcome;

use super::super::facts::{Facts, is_private};
use super::super::list;
use super::cause::Cause;
use super::{silent, unreachable};
use crate::observation::Attempt;
use crate::observation::path::{Knock, Trace};
use FindingId::{
    AsymmetricRoute, ClientEgressBlocked, ClientHostBlocked, ForwardMissing, HairpinMissing, LatencyAboveTimeout,
    NoRoute, PortDropped, PortRejected, ProxyBackendDown, ReturnPathBroken, ServerHostBlocked, ServerHung,
    ServerNotListening, SourceBlocked,
};

/// A cause for all of the wanted flows, where all of them fare alike.
pub(super) fn check(facts: &Facts, wanted: &[Flow]) -> Option<Cause> {
    let attempts: Vec<&Attempt> = wanted.iter().filter_map(|flow| facts.attempt(*flow)).collect();
    if attempts.len() < 2 {
        return None;
    }
    let all = |outcomes: &[Outcome]| attempts.iter().all(|attempt| outcomes.contains(&attempt.outcome));
    if all(&[Outcome::Timeout]) {
        return Some(silence(facts, &attempts));
    }
    // Routers answer only so often: some ports get the ICMP error, the others nothing.
    if all(&[Outcome::Timeout, Outcome::Unreachable]) {
        let told = attempts
            .iter()
            .find(|attempt| attempt.outcome == Outcome::Unreachable)?;
        let silent = attempts
            .iter()
            .filter(|attempt| attempt.outcome == Outcome::Timeout)
            .count();
        let cause = unreachable::judge(facts, told);
        let of_routing = matches!(cause.id, NoRoute | FindingId::ForwardDeadHost);
        return (of_routing && silent > 0).then(|| {
            cause.because(format!(
                "{silent} of {} ports got no answer at all: routers send only so many ICMP errors a second",
                attempts.len()
            ))
        });
    }
    if all(&[Outcome::Refused]) {
        return refused_next_door(facts, &attempts);
    }
    one_way(facts, wanted)
}

/// A client inside dials the public address, and the first device on the way refuses every port: it has that address itself
/// and keeps for itself what it should send back in, or it lets nothing out.
fn refused_next_door(facts: &Facts, attempts: &[&Attempt]) -> Option<Cause> {
    let path = &facts.seen.path;
    let by_the_first = |attempt: &&Attempt| path.trace(attempt.to).and_then(Trace::answered) == Some(1);
    // Looked at are a few of the ports; none of them may have been answered from farther away.
    let traced: Vec<&&Attempt> = attempts
        .iter()
        .filter(|attempt| path.trace(attempt.to).is_some())
        .collect();
    if !is_inside(facts) || traced.is_empty() || !traced.iter().all(|attempt| by_the_first(attempt)) {
        return None;
    }
    let target = facts.address()?;
    let ports = list(attempts.iter().map(|attempt| attempt.to.port()));
    let others = [
        ForwardMissing,
        ClientEgressBlocked,
        PortRejected,
        ClientHostBlocked,
        ServerNotListening,
    ];
    Some(
        Cause::likely(HairpinMissing, Place::ServerFirewall, &others).because(format!(
            "TCP {ports} of {target}, an address for outside, are all refused by the first device on the way: it answers for itself instead of sending them back in"
        )),
    )
}

/// Every connection stands, and not one byte comes over any of them.
fn one_way(facts: &Facts, wanted: &[Flow]) -> Option<Cause> {
    let talking = [Flow::FtpControl, Flow::Version, Flow::Http];
    let stood = |flow: &&Flow| facts.attempt(**flow).is_some_and(|attempt| attempt.stood());
    let tried: Vec<Flow> = talking.iter().filter(stood).copied().collect();
    let mute = tried.iter().all(|flow| !facts.seen.spoke(*flow));
    let silent = tried.iter().all(|flow| {
        facts
            .trouble(*flow)
            .is_some_and(|trouble| trouble.outcome == Outcome::Silent)
    });
    if tried.len() < 2
        || !mute
        || !silent
        || wanted
            .iter()
            .any(|flow| facts.attempt(*flow).is_some_and(|attempt| !attempt.stood()))
    {
        return None;
    }
    let ports = facts.ports(&tried);
    let too_much = facts
        .ended(Outcome::Open)
        .into_iter()
        .any(|flow| facts.expected(flow) == Expected::Closed)
        || facts.seen.path.unplanned.iter().any(Attempt::stood);
    let cause = if too_much {
        Cause::likely(ProxyBackendDown, Place::Path, &[AsymmetricRoute, ServerHung])
            .because("ports that nobody serves are accepted too: somebody on the way accepts everything")
    } else {
        Cause::likely(AsymmetricRoute, Place::Path, &[ProxyBackendDown, ServerHung])
    };
    Some(cause.because(format!(
        "TCP {ports}: every connection stands, and not one byte ever comes, whether the server or the client speaks first"
    )))
}

fn silence(facts: &Facts, attempts: &[&Attempt]) -> Cause {
    let path = &facts.seen.path;
    if let Some(cause) = attempts.iter().find_map(|attempt| silent::sometimes(facts, attempt)) {
        return cause;
    }
    // What is counted at a port that nobody planned is another matter.
    let theirs = |knock: &&Knock| attempts.iter().any(|attempt| attempt.to == knock.to);
    let counted = path
        .knocks
        .iter()
        .filter(theirs)
        .find_map(|knock| silent::counted(knock, knock.to.port()));
    let farthest = path.traces.iter().max_by_key(|trace| trace.last_hop());
    let ports = list(attempts.iter().map(|attempt| attempt.to.port()));
    let cause = counted.unwrap_or_else(|| by_trace(facts, farthest));
    let cause = cause.because(format!("no port of this host answered: TCP {ports} stayed silent"));
    match farthest {
        Some(trace) => cause.because(format!("trace to TCP {}: {}", trace.to.port(), trace.in_words())),
        None => cause,
    }
}

fn by_trace(facts: &Facts, farthest: Option<&Trace>) -> Cause {
    let Some(trace) = farthest else {
        return Cause::possible(SourceBlocked, Place::Unknown, &possible(facts, None, SourceBlocked));
    };
    let last = trace.last_hop();
    let who = trace.hop(last);
    // The very address that was dialled says that it would have passed the packet on: to the server, since nobody else is
    // behind it. So the packets come as far as the firewall, and are forwarded; what drops them all drops them there or behind.
    if let Some(owner) = trace.position(trace.to.ip()) {
        let others = possible(facts, Some(trace), SourceBlocked);
        return Cause::likely(SourceBlocked, Place::ServerFirewall, &others)
            .at(Some(format!("{} (hop {owner})", trace.to.ip())))
            .because(format!(
                "hop {owner} has the very address that was dialled and passes the packets on to the server: the way there is open and every port is forwarded, but not one is answered"
            ));
    }
    let (id, place) = match last {
        _ if is_inside(facts) => (HairpinMissing, Place::ServerFirewall),
        0 => (ClientHostBlocked, Place::ClientHost),
        // A private router before a public address is the client's.
        _ if who.is_some_and(is_private) && !is_private(trace.to.ip()) => (ClientEgressBlocked, Place::ClientFirewall),
        _ => (SourceBlocked, Place::Unknown),
    };
    let cause = Cause::possible(id, place, &possible(facts, Some(trace), id));
    match who {
        Some(who) if last > 0 => cause.at(Some(format!("{who} (hop {last})"))),
        _ => cause,
    }
}

/// What nobody can exclude besides `id`: each of these less what the facts speak against.
fn possible(facts: &Facts, trace: Option<&Trace>, id: FindingId) -> Vec<FindingId> {
    let path = &facts.seen.path;
    let owner_passes_on = trace.is_some_and(|trace| trace.position(trace.to.ip()).is_some());
    let leaves = trace.is_some_and(|trace| trace.last_hop() > 0);
    let waited = !path.patient.is_empty() && path.patient.iter().all(|patient| patient.outcome == Outcome::Timeout);
    let answers_counted = path.knocks.iter().any(|knock| knock.client.is_some());
    let inside = is_inside(facts) || path.local.is_none_or(is_private);
    let excluded = |other: FindingId| match other {
        ForwardMissing | NoRoute | ClientEgressBlocked => owner_passes_on,
        // What leaves it and does not come back undelivered is not dropped by this host.
        ClientHostBlocked => leaves && answers_counted,
        LatencyAboveTimeout => waited,
        HairpinMissing => owner_passes_on || !inside,
        _ => false,
    };
    [
        SourceBlocked,
        PortDropped,
        ForwardMissing,
        NoRoute,
        ReturnPathBroken,
        ServerHostBlocked,
        HairpinMissing,
        ClientEgressBlocked,
        ClientHostBlocked,
        LatencyAboveTimeout,
    ]
    .into_iter()
    .filter(|other| *other != id && !excluded(*other))
    .collect()
}

/// Whether this client is inside and dials the address for outside: it says where it stands, or it is on one of the networks
/// for which the server advertises an address of its own.
fn is_inside(facts: &Facts) -> bool {
    let Some(local) = facts.seen.path.local else {
        return false;
    };
    let outward = is_private(local) && facts.address().is_some_and(|target| !is_private(target));
    if facts.seen.vantage == INSIDE && outward {
        return true;
    }
    facts
        .estate
        .ftp
        .advertised_for
        .iter()
        .any(|rule| rule.network.contains(&local))
}
