//! nftables: one table of its own, replaced as a whole (nft(8): a file is one transaction).

use std::fmt::Write;
use std::net::IpAddr;

use fwdrill_protocol::estate::port_set::PortSet;

use super::plan::{Crossing, Opening, Place, Plan};
use super::script::{head, ranges};

/// A file for `nft -f`.
pub(super) fn text(plan: &Plan, undo: bool) -> String {
    // The first line makes the table where there is none, so that deleting it cannot fail.
    let fresh = "table inet fwdrill\ndelete table inet fwdrill\n";
    if undo {
        return format!("# Takes back what fwdrill's rules did: nft -f FILE\n{fresh}");
    }
    let mut text = head(
        plan,
        "#",
        &[
            "Made by fwdrill rules. Apply: nft -f FILE. Undo: nft delete table inet fwdrill.",
            "A table of its own that decides about the estate's flows and leaves everything else to your other rules.",
            "What it accepts another table can still drop: there, too, let these ports through.",
        ],
    );
    text.push_str(fresh);
    text.push_str("table inet fwdrill {\n");
    match &plan.place {
        Place::Host { sources } => text.push_str(&host(plan, sources)),
        Place::Routed(crossing) => text.push_str(&forward(plan, crossing)),
        Place::Dnat {
            crossing,
            public,
            server,
            hairpin,
        } => {
            text.push_str("  chain prerouting {\n    type nat hook prerouting priority dstnat; policy accept;\n");
            let sides = [&crossing.clients, &crossing.server];
            let sides = if hairpin.is_some() { &sides[..] } else { &sides[..1] };
            for opening in &plan.openings {
                for side in sides {
                    let ports = set(&opening.ports);
                    let comment = opening.comment();
                    let _ = writeln!(
                        text,
                        "    iifname \"{side}\" ip daddr {public} tcp dport {ports} dnat ip to {server} comment \"{comment}\""
                    );
                }
            }
            text.push_str(
                "  }\n  chain postrouting {\n    type nat hook postrouting priority srcnat; policy accept;\n",
            );
            if let Some(network) = hairpin {
                let _ = writeln!(
                    text,
                    "    oifname \"{}\" ip saddr {network} ip daddr {server} ct status dnat masquerade comment \"fwdrill hairpin: answers come back this way\"",
                    crossing.server
                );
            }
            if let Some(opening) = &plan.tasks {
                let _ = writeln!(
                    text,
                    "    oifname \"{}\" ip saddr {server} tcp dport {} snat ip to {public} comment \"{}\"",
                    crossing.clients,
                    set(&opening.ports),
                    opening.comment()
                );
            }
            text.push_str("  }\n");
            text.push_str(&forward(plan, crossing));
        }
    }
    text.push_str("}\n");
    text
}

/// The host's own firewall: the estate's ports, and nothing else.
fn host(plan: &Plan, sources: &[IpAddr]) -> String {
    let mut text = "  chain input {\n    type filter hook input priority filter; policy accept;\n".to_owned();
    text.push_str("    iif lo accept comment \"the host itself\"\n");
    text.push_str("    ct state { established, related } accept comment \"answers\"\n");
    text.push_str(ICMP);
    for opening in &plan.openings {
        let froms: Vec<String> = if sources.is_empty() {
            vec![String::new()]
        } else {
            sources.iter().map(|source| matching("saddr", Some(*source))).collect()
        };
        for from in froms {
            let _ = writeln!(
                text,
                "    {from}tcp dport {} accept comment \"{}\"",
                set(&opening.ports),
                opening.comment()
            );
        }
    }
    let _ = writeln!(
        text,
        "    tcp dport {} drop comment \"fwdrill rest: ports of the estate that nobody else reaches\"",
        set(&plan.decided)
    );
    text.push_str("  }\n");
    text
}

/// A router's: what clients may begin with the server, and the server with clients.
fn forward(plan: &Plan, crossing: &Crossing) -> String {
    let (clients, server) = (&crossing.clients, &crossing.server);
    let mut text = "  chain forward {\n    type filter hook forward priority filter; policy accept;\n".to_owned();
    text.push_str("    ct state { established, related } accept comment \"answers\"\n");
    text.push_str(ICMP);
    for opening in &plan.openings {
        for to in matches(crossing, "daddr") {
            let rule = accept(opening);
            let _ = writeln!(text, "    iifname \"{clients}\" oifname \"{server}\" {to}{rule}");
        }
    }
    if let Some(opening) = &plan.tasks {
        for from in matches(crossing, "saddr") {
            let rule = accept(opening);
            let _ = writeln!(text, "    iifname \"{server}\" oifname \"{clients}\" {from}{rule}");
        }
    }
    for to in matches(crossing, "daddr") {
        // Without an address there is no telling what else goes this way: only the estate's ports are decided about.
        let ports = if to.is_empty() {
            format!("tcp dport {} ", set(&plan.decided))
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "    iifname \"{clients}\" oifname \"{server}\" {to}{ports}drop comment \"fwdrill rest: nothing else\""
        );
    }
    text.push_str("  }\n");
    text
}

/// Without these, paths with a small MTU swallow large packets (RFC 1191, RFC 8201; RFC 4890 section 4.3.1). Those of known
/// connections are "related" already.
const ICMP: &str = "    icmp type { destination-unreachable, time-exceeded, parameter-problem } accept comment \"fragmentation needed among them\"
    icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept comment \"path MTU discovery\"
";

fn accept(opening: &Opening) -> String {
    format!(
        "tcp dport {} accept comment \"{}\"",
        set(&opening.ports),
        opening.comment()
    )
}

/// One match for each of the server's addresses; an empty one for any.
fn matches(crossing: &Crossing, field: &str) -> Vec<String> {
    if crossing.addresses.is_empty() {
        return vec![matching(field, None)];
    }
    crossing
        .addresses
        .iter()
        .map(|address| matching(field, Some(*address)))
        .collect()
}

fn matching(field: &str, address: Option<IpAddr>) -> String {
    match address {
        Some(IpAddr::V4(address)) => format!("ip {field} {address} "),
        Some(IpAddr::V6(address)) => format!("ip6 {field} {address} "),
        None => String::new(),
    }
}

fn set(ports: &PortSet) -> String {
    match ranges(ports, "-").as_slice() {
        [one] => one.clone(),
        several => format!("{{ {} }}", several.join(", ")),
    }
}
