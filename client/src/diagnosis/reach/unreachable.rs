//! An ICMP error answers, or there is no route: somebody says no, in words.

use fwdrill_protocol::finding::{FindingId, Place};
use fwdrill_protocol::host::Counters;

use super::super::facts::Facts;
use super::cause::Cause;
use super::geometry::{Road, shows};
use crate::observation::{Attempt, Icmp};
use FindingId::{ClientEgressBlocked, ClientHostBlocked, ForwardDeadHost, NoRoute, PortRejected, ServerHostBlocked};

/// Linux asks three times, a second apart, before it says that a neighbour does not answer (arp(7), mcast_solicit). An
/// error that comes earlier may as well be the quick answer to a SYN that was sent again, the first one's having been
/// withheld by the router's limit.
const NEIGHBOUR_ASKED_MS: f64 = 2500.0;

pub(super) fn judge(facts: &Facts, attempt: &Attempt) -> Cause {
    let road = Road::to(facts, attempt.to);
    let port = attempt.to.port();
    let after = attempt
        .rtt_ms
        .map_or_else(String::new, |rtt| format!(" after {rtt} ms"));
    let Some(icmp) = attempt.icmp else {
        return without_icmp(attempt);
    };
    let who = icmp.offender.filter(|who| !road.is_here(*who));
    let name = who.map_or_else(|| "this host".to_owned(), |who| who.to_string());
    let v6 = attempt.to.is_ipv6();
    let cause = if says_rejected(icmp, v6) {
        rejected(facts, &road, attempt, who.is_none())
    } else {
        undelivered(facts, attempt, who.is_none(), icmp)
    };
    cause.at(Some(name.clone())).because(format!(
        "TCP {port}: {name} answered with ICMP type {} code {} ({}){after}",
        icmp.kind,
        icmp.code,
        meaning(icmp, v6)
    ))
}

fn without_icmp(attempt: &Attempt) -> Cause {
    let words = attempt.error.clone().unwrap_or_else(|| "unreachable".to_owned());
    let denied = words.contains("Permission denied");
    let cause = if denied {
        Cause::certain(ClientHostBlocked, Place::ClientHost)
    } else {
        Cause::likely(NoRoute, Place::ClientHost, &[ClientHostBlocked])
    };
    cause
        .at(Some("this host".to_owned()))
        .because(format!("TCP {}: {words}, and no packet left", attempt.to.port()))
}

fn rejected(facts: &Facts, road: &Road, attempt: &Attempt, by_this_host: bool) -> Cause {
    if by_this_host {
        return Cause::certain(ClientHostBlocked, Place::ClientHost)
            .because("the error comes from this host itself: its own firewall rejects the connection");
    }
    let offender = attempt.icmp.and_then(|icmp| icmp.offender);
    let knock = facts.seen.path.knock(attempt.to);
    let there = knock.and_then(|knock| knock.server.as_ref());
    if offender == Some(attempt.to.ip()) {
        if shows(there, knock.map_or(0, |knock| knock.syns), Counters::undelivered) {
            return Cause::certain(ServerHostBlocked, Place::ServerHost).because(format!(
                "the server's host received {} packets more than it delivered: its own firewall rejects them",
                there.map_or(0, |there| there.more(Counters::undelivered))
            ));
        }
        return match (there.is_some(), road.is_translated(), road.length()) {
            (_, false, Some(1)) => Cause::likely(ServerHostBlocked, Place::ServerHost, &[PortRejected]).because(
                "no router stands between: its own firewall answers, or a switch that filters does in its name",
            ),
            (true, _, _) => {
                Cause::certain(PortRejected, Place::ServerFirewall).because("the server's host saw nothing of it")
            }
            (false, true, _) => Cause::likely(PortRejected, Place::ServerFirewall, &[ServerHostBlocked]),
            // Without a NAT it is the server's own address.
            (false, false, Some(_)) => Cause::likely(ServerHostBlocked, Place::ServerHost, &[PortRejected]),
            (false, false, None) => Cause::likely(PortRejected, Place::Unknown, &[ServerHostBlocked]),
        };
    }
    let hop = offender.and_then(|who| road.reference?.position(who));
    match hop.map(|hop| road.place(hop)) {
        Some(Place::ClientFirewall) => Cause::likely(ClientEgressBlocked, Place::ClientFirewall, &[PortRejected])
            .because("it stands in front of this client, not of the server"),
        Some(place) => Cause::certain(PortRejected, place),
        None => Cause::certain(PortRejected, Place::Unknown),
    }
}

/// Somebody cannot deliver it. If only some ports fare so, it is a forward that points at nobody; if all do, a route.
fn undelivered(facts: &Facts, attempt: &Attempt, by_this_host: bool, icmp: Icmp) -> Cause {
    let others_arrive = facts.seen.attempts.values().any(Attempt::stood);
    let patient = attempt.rtt_ms.is_some_and(|rtt| rtt >= NEIGHBOUR_ASKED_MS);
    let host_unreachable = (icmp.kind, icmp.code) == if attempt.to.is_ipv6() { (1, 3) } else { (3, 1) };
    if by_this_host {
        return Cause::likely(NoRoute, Place::ClientHost, &[ClientHostBlocked, ForwardDeadHost])
            .because("this host's own kernel says so: its gateway or neighbour does not answer");
    }
    match (others_arrive, host_unreachable && patient) {
        (true, true) => Cause::certain(ForwardDeadHost, Place::ServerFirewall).because(
            "it asked its network for that host and nobody answered (ARP), while other ports of the same address work",
        ),
        (true, false) => Cause::likely(ForwardDeadHost, Place::ServerFirewall, &[NoRoute, PortRejected])
            .because("other ports of the same address work"),
        (false, true) => Cause::likely(ForwardDeadHost, Place::ServerFirewall, &[NoRoute])
            .because("it asked its network for that host and nobody answered (ARP)"),
        (false, false) => Cause::likely(NoRoute, Place::Path, &[ForwardDeadHost, PortRejected])
            .because("no port of this address can be reached"),
    }
}

/// Codes that a packet filter sends and a router or host in good order does not.
fn says_rejected(icmp: Icmp, v6: bool) -> bool {
    if v6 {
        // RFC 4443: 1/1 administratively prohibited, 1/4 port unreachable, 1/5 policy, 1/6 reject route.
        icmp.kind == 1 && matches!(icmp.code, 1 | 4 | 5 | 6)
    } else {
        // RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1. No TCP stack answers a SYN
        // with 3/2 or 3/3: they are what REJECT sends.
        icmp.kind == 3 && matches!(icmp.code, 2 | 3 | 9 | 10 | 13)
    }
}

fn meaning(icmp: Icmp, v6: bool) -> &'static str {
    match (v6, icmp.kind, icmp.code) {
        (false, 3, 0) | (true, 1, 0) => "no route to the network",
        (false, 3, 1) | (true, 1, 3) => "host unreachable",
        (false, 3, 2) => "protocol unreachable",
        (false, 3, 3) | (true, 1, 4) => "port unreachable",
        (false, 3, 9 | 10 | 13) | (true, 1, 1 | 5) => "administratively prohibited",
        (true, 1, 6) => "reject route",
        (false, 11, _) | (true, 3, _) => "time exceeded: a routing loop",
        _ => "another error",
    }
}
