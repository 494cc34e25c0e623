//! Data connections do not reach the passive range: `passive-range-blocked`, `-rejected`, `-partial`, `-not-forwarded`,
//! `-shifted`, `-wrong-host`, `passive-port-stolen`, `client-egress-data-blocked`, `data-return-path-broken`.

mod cause;
mod partial;
mod ports;
mod proofs;

use std::net::SocketAddr;

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::{Outcome, PassiveRange};

use super::facts::Facts;
use super::{Diagnosis, alg, privacy};
pub(super) use cause::Cause;
pub(super) use ports::{blocked, holes_are_untrue, open_in_sweep, opened_for_sessions, tried_count};
use ports::{in_sessions, open, tried};

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let helped = alg::is_to_blame(facts) || privacy::is_to_blame(facts);
    if facts.expected(Flow::FtpPassive) != Expected::Open || helped {
        return Vec::new();
    }
    let (blocked, open) = (blocked(facts), open(facts));
    let mut findings = proofs::findings(facts);
    // Where ports lead elsewhere, those that lead nowhere are most likely of the same making.
    if findings.is_empty() && !blocked.is_empty() {
        let answered = ports::answered_unswept(facts);
        findings.push(if !open.is_empty() {
            partial::finding(facts, &open, &blocked)
        } else if !answered.is_empty() && how(facts, &blocked) == Outcome::Timeout {
            partial::finding(facts, &answered, &blocked)
        } else {
            whole(facts, &blocked)
        });
    }
    findings
        .into_iter()
        .map(|finding| Diagnosis {
            finding,
            explains: vec![Flow::FtpPassive],
        })
        .collect()
}

/// The report's line about the range.
pub(super) fn result(facts: &Facts) -> Option<PassiveRange> {
    let planned = facts.seen.passive.planned.clone();
    if !facts.estate.ftp.enabled || planned.is_empty() {
        return None;
    }
    let inside = |ports: PortSet| -> PortSet { ports.iter().filter(|port| planned.contains(*port)).collect() };
    let (open, blocked) = (inside(open(facts)), inside(blocked(facts)));
    let untested = planned.without(&open).without(&blocked);
    Some(PassiveRange {
        planned,
        open,
        blocked,
        untested,
    })
}

/// What stops data connections, by the port of the range that was looked at most closely.
pub(super) fn cause(facts: &Facts, blocked: &PortSet) -> Cause {
    let lost = |outcome: Outcome| matches!(outcome, Outcome::Timeout | Outcome::Unreachable | Outcome::Refused);
    let of_sweep = facts.seen.passive.ports.iter().map(|tried| &tried.attempt);
    let of_sessions = ports::data_connections(facts).filter_map(|talk| talk.data.as_ref());
    let path = &facts.seen.path;
    let port = of_sweep
        .chain(of_sessions)
        .filter(|attempt| lost(attempt.outcome) && blocked.contains(attempt.to.port()))
        .map(|attempt| attempt.to)
        .min_by_key(|to| (path.trace(*to).is_none(), path.knock(*to).is_none(), *to))
        .unwrap_or(SocketAddr::from(([0; 4], 0)));
    cause::of(facts, port, how(facts, blocked))
}

/// How connections to the ports end, taken together: ICMP errors are rate limited, so some of them speak for all.
fn how(facts: &Facts, blocked: &PortSet) -> Outcome {
    let ended = |outcome| -> PortSet {
        let is = |other| other == outcome;
        tried(facts, is).iter().chain(in_sessions(facts, is).iter()).collect()
    };
    if blocked.without(&ended(Outcome::Refused)).is_empty() {
        Outcome::Refused
    } else if blocked.iter().any(|port| ended(Outcome::Unreachable).contains(port)) {
        Outcome::Unreachable
    } else {
        Outcome::Timeout
    }
}

fn whole(facts: &Facts, blocked: &PortSet) -> Finding {
    let planned = &facts.seen.passive.planned;
    let range = if planned.is_empty() { blocked } else { planned };
    let mut cause = cause(facts, blocked);
    if cause.confidence != Confidence::Certain && privacy::may_be_blind(facts) {
        // Not every helper shows itself, and under TLS each of them is blind.
        cause.alternatives.push(FindingId::AlgBlindToTls);
    }
    let how = match cause.id {
        FindingId::PassiveRangeRejected => "rejected",
        FindingId::PassiveRangeNotForwarded => "not forwarded to the server",
        FindingId::PassiveRangeWrongHost => "forwarded to another host",
        FindingId::PassiveRangeShifted => "forwarded to other ports of the server",
        FindingId::ClientEgressDataBlocked => "not let out on the client's side",
        FindingId::DataReturnPathBroken => "reached, but the answers do not come back",
        FindingId::ServerHostBlocked => "blocked by the server's own host",
        _ => "blocked",
    };
    Finding {
        id: cause.id,
        severity: Severity::Error,
        confidence: cause.confidence,
        flow: Flow::FtpPassive,
        summary: format!("the passive range {range} is {how}: the control connection works, no data connection does"),
        place: cause.place,
        evidence: ports::evidence(facts, blocked)
            .into_iter()
            .chain(cause.evidence)
            .collect(),
        remedy: remedy(facts, cause.id, cause.place, range),
        alternatives: cause.alternatives,
    }
}

fn remedy(facts: &Facts, id: FindingId, place: Place, range: &PortSet) -> String {
    let target = &facts.seen.target;
    let server = inside_address(facts);
    // The server's side of the firewall knows no others.
    let listened = facts.renumbering().all_listened(range);
    match (id, place) {
        (FindingId::ClientEgressDataBlocked, Place::ClientHost) => {
            format!("accept tcp dport {{ {range} }} to {target} in the output chain of the client's own firewall")
        }
        (FindingId::ClientEgressDataBlocked, _) => format!(
            "accept new connections to tcp dport {{ {range} }} at {target} in the forward chain of the client's firewall"
        ),
        (
            FindingId::PassiveRangeNotForwarded | FindingId::PassiveRangeWrongHost | FindingId::PassiveRangeShifted,
            _,
        ) => {
            let how = if listened == *range {
                format!("without changing the port (prerouting: dnat to {server})")
            } else {
                format!(
                    "as {{ {listened} }}, where the server listens for them, the first for the first and so on (prerouting: dnat)"
                )
            };
            format!(
                "forward tcp dport {{ {range} }} at {target} to {server} {how}, as TCP {} is",
                facts.estate.ftp.port
            )
        }
        (FindingId::ServerHostBlocked, _) => {
            format!("accept tcp dport {{ {listened} }} in the input chain of the server's own firewall")
        }
        (FindingId::DataReturnPathBroken, _) => format!(
            "let answers from tcp sport {{ {range} }} back through the way the SYNs came (established, related), and check the server's route back"
        ),
        _ => format!(
            "accept new connections to tcp dport {{ {listened} }} at {server} in the forward chain, beside TCP {} (and forward them to the server, where the firewall is a NAT)",
            facts.estate.ftp.port
        ),
    }
}

/// The server's own address where it said so, else the one that was dialled.
pub(super) fn inside_address(facts: &Facts) -> String {
    let own = facts.seen.evidence.joined().and_then(|evidence| {
        let sighting = evidence
            .sightings
            .iter()
            .find(|sighting| sighting.flow == Flow::FtpControl);
        Some(sighting?.local.ip().to_string())
    });
    own.unwrap_or_else(|| facts.seen.target.clone())
}
