//! ufw: one call a rule. ufw itself passes over a rule that is there already, and over deleting one that is not.

use std::fmt::Write;
use std::net::IpAddr;

use anyhow::bail;

use super::plan::{Crossing, Opening, Place, Plan};
use super::script::{multiports, shell};

/// A shell script.
pub(super) fn text(plan: &Plan, undo: bool) -> anyhow::Result<String> {
    let calls = match &plan.place {
        Place::Host { server } => host(plan, server),
        Place::Routed(crossing) => forward(plan, crossing),
        Place::Dnat { .. } => bail!("ufw forwards no address: take --for iptables or nftables with --topology dnat"),
    };
    let about = [
        "For a ufw that is enabled and denies what no rule allows (ufw status verbose: deny (incoming), deny (routed)).",
        "Answers and ICMP errors are let in by ufw's own before.rules.",
        "A rule of yours that is the same word for word counts as one of these, also for the undo.",
    ];
    let mut text = shell(plan, undo, &about);
    text.push_str("set -eu\n");
    for (direction, rule, comment) in calls {
        let _ = if undo {
            // "Could not delete non-existent rule" is no failure.
            writeln!(text, "ufw {direction}delete allow {rule}")
        } else {
            writeln!(text, "ufw {direction}allow {rule} comment '{comment}'")
        };
    }
    Ok(text)
}

/// `route ` or nothing, the rule after `allow`, and its comment.
type Call = (&'static str, String, String);

fn host(plan: &Plan, server: &[IpAddr]) -> Vec<Call> {
    let mut calls = Vec::new();
    for opening in &plan.openings {
        for from in places(opening.sources(server)) {
            let rule = |ports| format!("in proto tcp from {from} to any port {ports}");
            calls.extend(ports(opening).map(|ports| ("", rule(ports), opening.comment())));
        }
    }
    for opening in &plan.back {
        for to in places(server) {
            let rule = |ports| format!("out proto tcp to {to} port {ports}");
            calls.extend(ports(opening).map(|ports| ("", rule(ports), opening.comment())));
        }
    }
    calls
}

fn forward(plan: &Plan, crossing: &Crossing) -> Vec<Call> {
    let (clients, server) = (&crossing.clients, &crossing.server);
    let mut calls = Vec::new();
    for address in places(&crossing.addresses) {
        for opening in &plan.openings {
            let rule = |ports| format!("in on {clients} out on {server} proto tcp from any to {address} port {ports}");
            calls.extend(ports(opening).map(|ports| ("route ", rule(ports), opening.comment())));
        }
        for opening in &plan.back {
            let rule = |ports| format!("in on {server} out on {clients} proto tcp from {address} to any port {ports}");
            calls.extend(ports(opening).map(|ports| ("route ", rule(ports), opening.comment())));
        }
    }
    calls
}

fn places(addresses: &[IpAddr]) -> Vec<String> {
    match addresses {
        [] => vec!["any".to_owned()],
        some => some.iter().map(ToString::to_string).collect(),
    }
}

fn ports(opening: &Opening) -> impl Iterator<Item = String> {
    multiports(&opening.ports).into_iter()
}
