//! nftables: one table of its own, replaced as a whole (nft(8): a file is one transaction).

use std::fmt::Write;
use std::net::IpAddr;

use fwdrill_protocol::estate::port_set::PortSet;

use super::plan::{Crossing, Opening, Place, Plan};
use super::script::{NOTHING_ELSE, REST, decides, head, ranges};

/// A file for `nft -f`.
pub(super) fn text(plan: &Plan, undo: bool) -> String {
    // The first line makes the table where there is none, so that deleting it cannot fail.
    let fresh = "table inet fwdrill\ndelete table inet fwdrill\n";
    if undo {
        return format!("# Takes back what fwdrill's rules did: nft -f FILE\n{fresh}");
    }
    let mut about = vec![
        "Made by fwdrill rules. Apply: nft -f FILE. Undo: nft delete table inet fwdrill.".to_owned(),
        format!("A table of its own that decides about {}.", decides(plan)),
        "What it accepts another table can still drop: there, too, let these ports through.".to_owned(),
    ];
    if let Place::Host { server } = &plan.place {
        // An accept of ours would change nothing: no rule of this table drops what the host begins.
        about.extend(outbound(plan, server).map(|rule| format!("Outbound, where another table drops it: {rule}")));
    }
    let about: Vec<&str> = about.iter().map(String::as_str).collect();
    let mut text = head(plan, "#", &about);
    text.push_str(fresh);
    text.push_str("table inet fwdrill {\n");
    match &plan.place {
        Place::Host { server } => text.push_str(&host(plan, server)),
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
            for opening in &plan.back {
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
fn host(plan: &Plan, server: &[IpAddr]) -> String {
    let mut text = "  chain input {\n    type filter hook input priority filter; policy accept;\n".to_owned();
    text.push_str("    iif lo accept comment \"the host itself\"\n");
    text.push_str("    ct state { established, related } accept comment \"answers\"\n");
    text.push_str(ICMP);
    for opening in &plan.openings {
        for from in matches(opening.sources(server), "saddr") {
            let _ = writeln!(
                text,
                "    {from}tcp dport {} accept comment \"{}\"",
                set(&opening.ports),
                opening.comment()
            );
        }
    }
    let _ = writeln!(text, "    tcp dport {} drop comment \"{REST}\"", set(&plan.decided));
    text.push_str("  }\n");
    text
}

/// What the host begins, a rule each.
fn outbound(plan: &Plan, server: &[IpAddr]) -> impl Iterator<Item = String> {
    let rules = |opening: &'_ Opening| {
        let rule = accept(opening);
        matches(server, "daddr")
            .into_iter()
            .map(move |to| format!("{to}{rule}"))
    };
    plan.back.iter().flat_map(rules)
}

/// A router's: what clients may begin with the server, and the server with clients.
fn forward(plan: &Plan, crossing: &Crossing) -> String {
    let (clients, server) = (&crossing.clients, &crossing.server);
    let mut text = "  chain forward {\n    type filter hook forward priority filter; policy accept;\n".to_owned();
    text.push_str("    ct state { established, related } accept comment \"answers\"\n");
    text.push_str(ICMP);
    for opening in &plan.openings {
        for to in matches(&crossing.addresses, "daddr") {
            let rule = accept(opening);
            let _ = writeln!(text, "    iifname \"{clients}\" oifname \"{server}\" {to}{rule}");
        }
    }
    for opening in &plan.back {
        for from in matches(&crossing.addresses, "saddr") {
            let rule = accept(opening);
            let _ = writeln!(text, "    iifname \"{server}\" oifname \"{clients}\" {from}{rule}");
        }
    }
    for to in matches(&crossing.addresses, "daddr") {
        // Without an address there is no telling what else goes this way: only the estate's ports are decided about.
        let rest = if to.is_empty() {
            format!("tcp dport {} drop comment \"{REST}\"", set(&plan.decided))
        } else {
            format!("meta l4proto tcp drop comment \"{NOTHING_ELSE}\"")
        };
        let _ = writeln!(text, "    iifname \"{clients}\" oifname \"{server}\" {to}{rest}");
    }
    if !plan.decided_back.is_empty() {
        let ports = set(&plan.decided_back);
        let _ = writeln!(
            text,
            "    iifname \"{server}\" oifname \"{clients}\" tcp dport {ports} drop comment \"{REST}\""
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

/// One match for each address; an empty one for any.
fn matches(addresses: &[IpAddr], field: &str) -> Vec<String> {
    if addresses.is_empty() {
        return vec![matching(field, None)];
    }
    let addresses = addresses.iter();
    addresses.map(|address| matching(field, Some(*address))).collect()
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
