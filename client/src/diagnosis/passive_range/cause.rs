//! Who stops a data connection: read from the trace to its port beside that of a port that is open, from the distance of
//! whoever refuses it, and from what the server's host counted meanwhile.
//!
//! A router answers "time exceeded" before it asks its forward chain, so a SYN that is dropped there still shows that
//! router; one that is meant for the router itself (nothing is forwarded) does not.

use std::net::{IpAddr, SocketAddr};

use fwdrill_protocol::finding::{Confidence, FindingId, Place};
use fwdrill_protocol::report::Outcome;

use super::super::facts::Facts;
use crate::observation::path::{AnswerTtl, Knock, Trace, TraceEnd};

/// What stops connections to one port of the range.
pub(in super::super) struct Cause {
    pub(in super::super) id: FindingId,
    pub(in super::super) place: Place,
    pub(in super::super) confidence: Confidence,
    pub(in super::super) evidence: Vec<String>,
    pub(in super::super) alternatives: Vec<FindingId>,
}

use FindingId::{
    AlgRelatedMissing, ClientEgressDataBlocked, DataReturnPathBroken, PassiveRangeBlocked, PassiveRangeNotForwarded,
    PassiveRangeRejected, PassiveRangeShifted, PassiveRangeWrongHost, ServerHostBlocked,
};

/// The cause behind a port that lets nothing through; `outcome` is how its connections end.
pub(in super::super) fn of(facts: &Facts, port: SocketAddr, outcome: Outcome) -> Cause {
    let path = &facts.seen.path;
    let (trace, reference) = (path.trace(port), path.reference());
    let mut cause = at_the_server(path.knock(port), outcome)
        .or_else(|| match outcome {
            Outcome::Refused => refused(
                trace?,
                reference?,
                path.answer(port),
                facts.address()?,
                path.knock(port),
            ),
            Outcome::Unreachable => None,
            _ => silent(
                trace?,
                reference?,
                facts.address()?,
                server_was_not_reached(path.knock(port)),
            ),
        })
        .unwrap_or_else(|| unlocated(facts, outcome));
    if let (Some(trace), Some(reference)) = (trace, reference) {
        cause
            .evidence
            .push(format!("the way to TCP {}: {}", port.port(), trace.in_words()));
        cause.evidence.push(format!(
            "the way to the open TCP {}: {}",
            reference.to.port(),
            reference.in_words()
        ));
    }
    cause
}

/// The server's host counted the SYNs: they came that far.
fn at_the_server(knock: Option<&Knock>, outcome: Outcome) -> Option<Cause> {
    let knock = knock?;
    let port = knock.to.port();
    if let Some(half_open) = knock.half_open.filter(|count| *count > 0) {
        let here = knock
            .client
            .is_some_and(|growth| growth.more(|count| count.undelivered()) >= knock.syns);
        return Some(Cause {
            id: DataReturnPathBroken,
            place: if here { Place::ClientHost } else { Place::Path },
            confidence: Confidence::Certain,
            evidence: vec![format!(
                "the server's host holds {half_open} half-open connections from here to TCP {port}: the SYNs arrive, its answers do not come back"
            )],
            alternatives: Vec::new(),
        });
    }
    let growth = knock.server?;
    let dropped = growth.more(|count| count.undelivered());
    if dropped >= knock.syns {
        return Some(Cause {
            id: ServerHostBlocked,
            place: Place::ServerHost,
            confidence: Confidence::Certain,
            evidence: vec![format!(
                "while TCP {port} was dialled {} times, the server's host received {dropped} packets more than it delivered: its own firewall drops them",
                knock.syns
            )],
            alternatives: Vec::new(),
        });
    }
    let resets = growth.more(|count| count.out_resets);
    (outcome == Outcome::Refused && resets >= knock.syns).then(|| Cause {
        id: PassiveRangeShifted,
        place: Place::ServerFirewall,
        confidence: Confidence::Certain,
        evidence: vec![format!(
            "while TCP {port} was dialled {} times, the server's host sent {resets} resets, though a listener of its own was there before: the SYNs reach it on another port",
            knock.syns
        )],
        alternatives: Vec::new(),
    })
}

/// Whether the server's host counted and nothing came.
fn server_was_not_reached(knock: Option<&Knock>) -> bool {
    knock.is_some_and(|knock| knock.server.is_some() && knock.half_open == Some(0))
}

fn refused(
    trace: &Trace,
    reference: &Trace,
    answer: Option<&AnswerTtl>,
    target: IpAddr,
    knock: Option<&Knock>,
) -> Option<Cause> {
    let (hop, far) = (trace.answered()?, reference.answered()?);
    let counted = server_was_not_reached(knock);
    if hop < far {
        return Some(Cause {
            id: PassiveRangeNotForwarded,
            place: place_of(hop, far, reference, target),
            confidence: Confidence::Likely,
            evidence: vec![format!(
                "hop {hop} refuses the connection itself, the open port is at hop {far}"
            )],
            alternatives: vec![PassiveRangeRejected],
        });
    }
    let distance = answer?.distance();
    if distance < far {
        return Some(Cause {
            id: PassiveRangeRejected,
            place: place_of(distance, far, reference, target),
            confidence: Confidence::Certain,
            evidence: vec![format!(
                "the RST was made {distance} hops away, the server is {far} hops away{}",
                hop_words(reference, distance)
            )],
            alternatives: Vec::new(),
        });
    }
    Some(Cause {
        id: PassiveRangeWrongHost,
        place: Place::ServerFirewall,
        confidence: if counted {
            Confidence::Likely
        } else {
            Confidence::Possible
        },
        evidence: vec![if counted {
            format!(
                "the RST was made {distance} hops away, as far as the server, but the server's host sent none: another host did"
            )
        } else {
            format!("the RST was made {distance} hops away, as far as the server")
        }],
        alternatives: if counted {
            vec![ServerHostBlocked]
        } else {
            vec![PassiveRangeShifted, ServerHostBlocked, PassiveRangeRejected]
        },
    })
}

fn silent(trace: &Trace, reference: &Trace, target: IpAddr, counted: bool) -> Option<Cause> {
    if trace.end != TraceEnd::Silence {
        return None;
    }
    let (last, far, known) = (trace.last_hop(), reference.answered()?, reference.last_hop());
    let owner = reference.position(target);
    if last >= known {
        // Every router that shows itself was passed.
        let certain = counted && known + 1 == far;
        return Some(Cause {
            id: PassiveRangeBlocked,
            place: if counted { Place::ServerFirewall } else { Place::Unknown },
            confidence: if certain {
                Confidence::Certain
            } else {
                Confidence::Likely
            },
            evidence: vec![format!(
                "the SYN passes {known} of {} routers, as far as they show themselves{}{}",
                far - 1,
                hop_words(reference, known),
                if counted {
                    ", and does not arrive at the server's host"
                } else {
                    ""
                }
            )],
            alternatives: if certain {
                Vec::new()
            } else {
                vec![ServerHostBlocked, DataReturnPathBroken, AlgRelatedMissing]
            },
        });
    }
    if last == 0 {
        return Some(Cause {
            id: ClientEgressDataBlocked,
            place: Place::ClientHost,
            confidence: Confidence::Likely,
            evidence: vec!["the SYN does not reach the first router: this host's own firewall drops it".to_owned()],
            alternatives: Vec::new(),
        });
    }
    let near_the_client = owner.map_or(last * 2 < far, |owner| last + 1 < owner);
    if near_the_client {
        return Some(Cause {
            id: ClientEgressDataBlocked,
            place: if last == 1 { Place::ClientFirewall } else { Place::Path },
            confidence: if counted {
                Confidence::Certain
            } else {
                Confidence::Likely
            },
            evidence: vec![format!(
                "the SYN gets no further than hop {last}{}, long before the server's firewall",
                hop_words(reference, last)
            )],
            alternatives: Vec::new(),
        });
    }
    let (id, other) = match owner {
        Some(owner) if last + 1 == owner => (PassiveRangeNotForwarded, PassiveRangeBlocked),
        Some(_) => (PassiveRangeBlocked, PassiveRangeNotForwarded),
        None => (PassiveRangeBlocked, ServerHostBlocked),
    };
    Some(Cause {
        id,
        place: Place::ServerFirewall,
        confidence: Confidence::Likely,
        evidence: vec![format!(
            "the SYN is last seen at hop {last}{}; to the open port hop {} passes it on",
            hop_words(reference, last),
            last + 1
        )],
        alternatives: vec![other, ClientEgressDataBlocked, AlgRelatedMissing],
    })
}

/// Nothing says where.
fn unlocated(facts: &Facts, outcome: Outcome) -> Cause {
    let refused = matches!(outcome, Outcome::Refused | Outcome::Unreachable);
    let mut alternatives = if refused {
        vec![
            PassiveRangeWrongHost,
            PassiveRangeNotForwarded,
            PassiveRangeShifted,
            ServerHostBlocked,
            ClientEgressDataBlocked,
        ]
    } else {
        vec![
            PassiveRangeNotForwarded,
            ClientEgressDataBlocked,
            ServerHostBlocked,
            DataReturnPathBroken,
            AlgRelatedMissing,
        ]
    };
    let mut cause = Cause {
        id: if refused {
            PassiveRangeRejected
        } else {
            PassiveRangeBlocked
        },
        place: Place::Unknown,
        confidence: Confidence::Likely,
        evidence: Vec::new(),
        alternatives: Vec::new(),
    };
    let icmp = facts.seen.passive.ports.iter().find_map(|tried| tried.attempt.icmp);
    if let (Outcome::Unreachable, Some(icmp)) = (outcome, icmp) {
        let who = icmp
            .offender
            .map_or_else(|| "this host".to_owned(), |who| who.to_string());
        cause
            .evidence
            .push(format!("ICMP {}/{} from {who}", icmp.kind, icmp.code));
        let (reference, target) = (facts.seen.path.reference(), facts.address());
        let at = reference
            .zip(icmp.offender)
            .and_then(|(reference, who)| reference.position(who));
        if let (Some(reference), Some(target), Some(at), Some(far)) =
            (reference, target, at, reference.and_then(Trace::answered))
        {
            cause.place = place_of(at, far, reference, target);
        }
        // Host unreachable: the forward leads to an address where nobody is.
        if (icmp.kind, icmp.code) == (3, 1) {
            cause.id = PassiveRangeWrongHost;
            alternatives = vec![PassiveRangeRejected];
        } else if cause.place != Place::Unknown {
            alternatives = vec![PassiveRangeNotForwarded];
        }
    }
    cause.alternatives = alternatives;
    cause
}

/// Whose device the router at a hop is: in front of the server from the target's own address on, else the client's if it
/// is the first of several.
fn place_of(hop: u8, far: u8, reference: &Trace, target: IpAddr) -> Place {
    let owner = reference.position(target).unwrap_or(far.saturating_sub(1));
    if hop >= far {
        Place::ServerHost
    } else if hop >= owner {
        Place::ServerFirewall
    } else if hop <= 1 {
        Place::ClientFirewall
    } else {
        Place::Path
    }
}

fn hop_words(reference: &Trace, hop: u8) -> String {
    reference.hop(hop).map_or_else(String::new, |who| format!(" ({who})"))
}
