//! Nothing answers a SYN.
//!
//! Where the trace ends says who may have dropped it. If it ends where that of a port that works does, the server's host
//! knows more: a connection in SYN_RECV (the answer is lost), packets that were not delivered (its own firewall), a full
//! accept queue. If it knows of nothing at all, nothing arrived.

use fwdrill_protocol::finding::{FindingId, Place};
use fwdrill_protocol::host::Counters;
use fwdrill_protocol::report::Outcome;

use super::super::facts::Facts;
use super::cause::Cause;
use super::geometry::{Edge, Road, shows};
use super::unreachable;
use crate::observation::Attempt;
use crate::observation::path::Knock;
use FindingId::{
    ClientEgressBlocked, ClientHostBlocked, ConnectionLimit, ConnectionRateLimit, ForwardMissing, ForwardWrongHost,
    LatencyAboveTimeout, PacketLoss, PortDropped, ReturnPathBroken, ServerBacklogFull, ServerHostBlocked, ServerHung,
    StateTableFull,
};

pub(super) fn judge(facts: &Facts, attempt: &Attempt) -> Cause {
    let road = Road::to(facts, attempt.to);
    let knock = facts.seen.path.knock(attempt.to);
    let port = attempt.to.port();
    // Somebody did say something, later than clients wait.
    let patient = facts.seen.path.patient.iter().find(|patient| patient.to == attempt.to);
    if let Some(patient) = patient.filter(|patient| patient.outcome == Outcome::Unreachable) {
        return unreachable::judge(facts, patient);
    }
    if let Some(cause) = sometimes(facts, attempt) {
        return cause;
    }
    let cause = knock
        .and_then(|knock| counted(knock, port))
        .unwrap_or_else(|| by_trace(facts, &road, knock));
    let cause = cause.because(format!("TCP {port}: the SYN was repeated and nothing came back"));
    match road.in_words() {
        Some(words) => cause.because(words),
        None => cause,
    }
}

/// The port answers after all, at another time: it is not blocked.
pub(super) fn sometimes(facts: &Facts, attempt: &Attempt) -> Option<Cause> {
    let path = &facts.seen.path;
    let port = attempt.to.port();
    let patient = path
        .patient
        .iter()
        .find(|patient| patient.to == attempt.to && patient.stood());
    if let Some(rtt) = patient.and_then(|patient| patient.rtt_ms)
        && path.knocks.iter().all(|knock| knock.stood == 0)
        && rtt >= SLOW_MS
    {
        return Some(
            Cause::likely(LatencyAboveTimeout, Place::Path, &[PacketLoss]).because(format!(
                "TCP {port} answers, but only after {rtt} ms: later than was waited for"
            )),
        );
    }
    let knocked = path.knock(attempt.to).filter(|knock| knock.stood > 0);
    let traced = path.trace(attempt.to).and_then(|trace| trace.answered());
    if patient.is_none() && knocked.is_none() && traced.is_none() {
        return None;
    }
    let cause = Cause::likely(
        PacketLoss,
        Place::Path,
        &[ConnectionRateLimit, ConnectionLimit, StateTableFull, PortDropped],
    );
    Some(match knocked {
        Some(knock) => cause.because(format!(
            "TCP {port} did not answer at first; of {} more attempts {} were answered",
            knock.syns, knock.stood
        )),
        None => cause.because(format!("TCP {port} did not answer at first, and does at another time")),
    })
}

/// What the counters of the two hosts prove.
pub(super) fn counted(knock: &Knock, port: u16) -> Option<Cause> {
    let Knock { syns, .. } = *knock;
    let (here, there) = (knock.client.as_ref(), knock.server.as_ref());
    let grew = |counter: fn(&Counters) -> u64| there.map_or(0, |there| there.more(counter));
    // First: an answer that reaches this host leaves the server's half open as well.
    if shows(here, syns, Counters::undelivered) {
        return Some(Cause::certain(ClientHostBlocked, Place::ClientHost).because(format!(
            "this host received {} packets more than it delivered while {syns} SYNs were sent to TCP {port}: its own firewall drops the answers",
            here.map_or(0, |here| here.more(Counters::undelivered))
        )));
    }
    if let Some(half_open) = knock.half_open.filter(|half_open| *half_open * 2 >= syns && syns > 1) {
        return Some(Cause::certain(ReturnPathBroken, Place::Path).because(format!(
            "the server's host has {half_open} connections from here to TCP {port} in SYN_RECV: the SYN arrives, the SYN-ACK does not come back"
        )));
    }
    if shows(there, syns, |counters| counters.listen_overflows) {
        return Some(backlog_full(knock, port, grew(|counters| counters.listen_overflows)));
    }
    if shows(there, syns, |counters| counters.reverse_path) {
        return Some(Cause::certain(ReturnPathBroken, Place::ServerHost).because(format!(
            "the server's host threw away {} packets by reverse path filtering (rp_filter) while {syns} SYNs were sent: its route back to the client leaves by another interface",
            grew(|counters| counters.reverse_path)
        )));
    }
    if shows(there, syns, Counters::undelivered) {
        return Some(Cause::certain(ServerHostBlocked, Place::ServerHost).because(format!(
            "the server's host received {} packets more than it delivered while {syns} SYNs were sent to TCP {port}: its own firewall drops them",
            grew(Counters::undelivered)
        )));
    }
    // Answers of earlier attempts that come this late are another matter.
    let resets = here
        .filter(|here| here.quiet.out_resets == 0)
        .map_or(0, |here| here.dialled.out_resets);
    if syns > 1 && resets.abs_diff(syns) <= 1 {
        return Some(
            Cause::likely(ReturnPathBroken, Place::ServerFirewall, &[LatencyAboveTimeout]).because(format!(
                "this host sent {resets} resets while {syns} SYNs were sent to TCP {port}: the SYN-ACKs come from another address than was dialled"
            )),
        );
    }
    if shows(there, syns, |counters| counters.attempt_fails) {
        return Some(Cause::certain(ReturnPathBroken, Place::Path).because(format!(
            "{} connections to the server's host ended in the handshake while {syns} SYNs were sent to TCP {port}",
            grew(|counters| counters.attempt_fails)
        )));
    }
    None
}

fn backlog_full(knock: &Knock, port: u16, overflows: u64) -> Cause {
    let cause = Cause::certain(ServerBacklogFull, Place::Server).because(format!(
        "the server's host counted {overflows} SYNs for a full accept queue (ListenOverflows) while {} were sent to TCP {port}",
        knock.syns
    ));
    match knock.waiting {
        Some(waiting) => cause.because(format!("{waiting} connections wait there to be accepted")),
        None => cause,
    }
}

fn by_trace(facts: &Facts, road: &Road, knock: Option<&Knock>) -> Cause {
    match road.edge() {
        Edge::Nowhere if road.is_not_forwarded_after(0) => not_forwarded(road, 1, &[ClientHostBlocked, PortDropped]),
        Edge::Nowhere => Cause::likely(
            ClientHostBlocked,
            Place::ClientHost,
            &[ClientEgressBlocked, PortDropped],
        )
        .because("not one router on the way sees these packets, while those of another port are seen"),
        Edge::After(hop) if road.is_not_forwarded_after(hop) => {
            not_forwarded(road, hop + 1, &[PortDropped, ClientEgressBlocked])
        }
        Edge::After(hop) => lost_after(road, hop),
        Edge::Last => at_the_server(facts, road, knock),
        Edge::Unknown => {
            let mut cause = Cause::likely(PortDropped, Place::Unknown, &UNSEEN);
            if knock.is_some_and(|knock| knock.server.is_some()) {
                cause.alternatives.retain(|id| !SERVER_SIDE.contains(id));
                cause = cause.because("the server's host saw nothing of it");
            }
            cause
        }
    }
}

/// The kernel repeats a SYN after 1 and 3 seconds: an answer that comes at another time is the first one's.
const SLOW_MS: f64 = 1500.0;

/// What nobody can exclude who has not asked the server and has no trace.
const UNSEEN: [FindingId; 8] = [
    ForwardMissing,
    ServerHostBlocked,
    ClientEgressBlocked,
    ClientHostBlocked,
    ReturnPathBroken,
    ServerBacklogFull,
    ServerHung,
    ForwardWrongHost,
];

const SERVER_SIDE: [FindingId; 4] = [ServerHostBlocked, ReturnPathBroken, ServerBacklogFull, ServerHung];

fn not_forwarded(road: &Road, hop: u8, alternatives: &[FindingId]) -> Cause {
    Cause::likely(ForwardMissing, Place::ServerFirewall, alternatives)
        .at(road.device(hop))
        .because(format!(
            "the packets end at hop {hop}, the NAT in front of the server, one hop before those of a port that works: it does not forward them"
        ))
}

fn lost_after(road: &Road, hop: u8) -> Cause {
    let cause = match road.place(hop) {
        Place::ClientFirewall => Cause::likely(ClientEgressBlocked, Place::ClientFirewall, &[PortDropped]),
        // What the next router drops before it looks at the TTL looks the same.
        place => Cause::likely(PortDropped, place, &[ClientEgressBlocked, ForwardMissing]),
    };
    cause.at(road.device(hop)).because(format!(
        "the packets are last seen at hop {hop}; the next hop, which sees those of a port that works, does not see them"
    ))
}

/// As far as a port that works. Whether the server's host is asked decides how much is left.
fn at_the_server(facts: &Facts, road: &Road, knock: Option<&Knock>) -> Cause {
    let last = road.length().map_or(0, |length| length.saturating_sub(1));
    let asked = knock.is_some_and(|knock| knock.server.is_some());
    if asked {
        let others: &[FindingId] = if road.is_translated() { &[ForwardWrongHost] } else { &[] };
        let cause = match others {
            [] if last > 0 => Cause::certain(PortDropped, Place::ServerFirewall),
            others => Cause::likely(PortDropped, Place::ServerFirewall, others),
        };
        return cause.at((last > 0).then(|| road.device(last)).flatten()).because(
            "the server's host saw nothing of it: no half-open connection, no packet that its own firewall dropped, no full accept queue",
        );
    }
    if last == 0 {
        return Cause::likely(
            ServerHostBlocked,
            Place::ServerHost,
            &[
                ServerBacklogFull,
                ServerHung,
                ReturnPathBroken,
                ClientHostBlocked,
                PortDropped,
            ],
        )
        .because("there is no router between this host and the server");
    }
    let mut others = SERVER_SIDE.to_vec();
    if road.is_translated() || facts.server().is_none() {
        others.push(ForwardWrongHost);
    }
    Cause::likely(PortDropped, Place::ServerFirewall, &others)
        .at(road.device(last))
        .because("what the server's host saw of it is not known")
}
