//! nftables: one table of its own, replaced as a whole; or chains of its own in somebody's table, filled anew (nft(8): a file
//! is one transaction).

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use fwdrill_protocol::estate::port_set::PortSet;
use ipnet::Ipv4Net;

use super::plan::{Crossing, Opening, Place, Plan};
use super::script::{NOTHING_ELSE, REST, decides, head, ranges};

/// Makes the table where there is none, so that deleting it cannot fail.
const FRESH: &str = "table inet fwdrill\ndelete table inet fwdrill\n";

/// A chain of ours, by the hook that it is for.
struct Chain {
    hook: &'static str,
    rules: Vec<String>,
}

/// A file for `nft -f`. In a table of its own it refuses what is not opened; in `guest`, somebody's table of the family inet,
/// whatever jumps to its chains does that.
pub(super) fn text(plan: &Plan, guest: Option<&str>, undo: bool) -> String {
    match guest {
        None if undo => format!("# Takes back what fwdrill's rules did: nft -f FILE\n{FRESH}"),
        None => own(plan),
        Some(table) => within(plan, table, undo),
    }
}

fn own(plan: &Plan) -> String {
    let mut about = vec![
        "Made by fwdrill rules. Apply: nft -f FILE. Undo: nft delete table inet fwdrill.".to_owned(),
        format!("A table of its own that decides about {}.", decides(plan)),
        "What it accepts another table can still drop: where yours does, take --table.".to_owned(),
    ];
    if let Place::Host { server } = &plan.place {
        // An accept of ours would change nothing: no rule of this table drops what the host begins.
        about.extend(outbound(plan, server).map(|rule| format!("Outbound, where another table drops it: {rule}")));
    }
    let about: Vec<&str> = about.iter().map(String::as_str).collect();
    let mut text = head(plan, "#", &about) + FRESH + "table inet fwdrill {\n" + &nat(plan);
    for Chain { hook, mut rules } in chains(plan).into_iter().take(1) {
        rules.extend(rest(plan));
        let begin = format!("type filter hook {hook} priority filter; policy accept;");
        text.push_str(&chain(hook, Some(begin), rules));
    }
    text.push_str("}\n");
    text
}

/// Chains in a table that is somebody's, which jumps to them.
fn within(plan: &Plan, table: &str, undo: bool) -> String {
    let mut chains = chains(plan);
    if let Place::Dnat {
        crossing,
        server,
        hairpin: Some(network),
        ..
    } = &plan.place
    {
        chains[0].rules.extend(hairpins(plan, crossing, *network, *server));
    }
    let name = |chain: &Chain| format!("fwdrill_{}", chain.hook);
    let mut text = if undo {
        "# Takes back what fwdrill's rules did: nft -f FILE. The chains stay, empty, as long as something jumps to them.\n".to_owned()
    } else {
        let mut about = vec![format!(
            "Made by fwdrill rules. Apply: nft -f FILE, before whatever jumps to its chains in the table {table}:"
        )];
        about.extend(chains.iter().map(|chain| {
            format!(
                "  chain {}: jump {}, behind your rule for answers and before what drops",
                chain.hook,
                name(chain)
            )
        }));
        about.push("They only accept. Undo: the file of fwdrill rules --undo.".to_owned());
        head(plan, "#", &about.iter().map(String::as_str).collect::<Vec<_>>())
    };
    // Naming a chain makes it where there is none.
    let _ = writeln!(text, "table inet {table} {{");
    text.extend(chains.iter().map(|ours| chain(&name(ours), None, Vec::new())));
    text.push_str("}\n");
    for ours in &chains {
        let _ = writeln!(text, "flush chain inet {table} {}", name(ours));
    }
    let nat = nat(plan);
    if !nat.is_empty() {
        text.push_str(FRESH);
    }
    if undo {
        return text;
    }
    if !nat.is_empty() {
        let _ = write!(text, "table inet fwdrill {{\n{nat}}}\n");
    }
    let _ = writeln!(text, "table inet {table} {{");
    text.extend(chains.into_iter().map(|ours| chain(&name(&ours), None, ours.rules)));
    text.push_str("}\n");
    text
}

fn chain(name: &str, begin: Option<String>, rules: Vec<String>) -> String {
    let lines = begin.into_iter().chain(rules).map(|line| format!("    {line}\n"));
    format!("  chain {name} {{\n{}  }}\n", lines.collect::<String>())
}

/// What is let through: on a host what comes in, and then what it begins itself; on a router what crosses it.
fn chains(plan: &Plan) -> Vec<Chain> {
    let always = [
        "ct state { established, related } accept comment \"answers\"".to_owned(),
        ICMP.to_owned(),
        ICMPV6.to_owned(),
    ];
    match &plan.place {
        Place::Host { server } => {
            let mut input = vec!["iif lo accept comment \"the host itself\"".to_owned()];
            input.extend(always.clone());
            for opening in &plan.openings {
                let froms = matches(opening.sources(server), "saddr").into_iter();
                input.extend(froms.map(|from| from + &accept(opening)));
            }
            let output = always.into_iter().take(1).chain(outbound(plan, server)).collect();
            vec![
                Chain {
                    hook: "input",
                    rules: input,
                },
                Chain {
                    hook: "output",
                    rules: output,
                },
            ]
        }
        Place::Routed(crossing) | Place::Dnat { crossing, .. } => vec![forward(plan, crossing, &always)],
    }
}

/// What the host begins, a rule each.
fn outbound(plan: &Plan, server: &[IpAddr]) -> impl Iterator<Item = String> {
    let rules = |opening: &'_ Opening| {
        let rule = accept(opening);
        matches(server, "daddr").into_iter().map(move |to| to + &rule)
    };
    plan.back.iter().flat_map(rules)
}

/// A router's: what clients may begin with the server, and the server with clients.
fn forward(plan: &Plan, crossing: &Crossing, always: &[String]) -> Chain {
    let (clients, server) = (&crossing.clients, &crossing.server);
    let mut rules = always.to_vec();
    for opening in &plan.openings {
        let tos = matches(&crossing.addresses, "daddr").into_iter();
        rules.extend(tos.map(|to| format!("iifname \"{clients}\" oifname \"{server}\" {to}{}", accept(opening))));
    }
    for opening in &plan.back {
        let froms = matches(&crossing.addresses, "saddr").into_iter();
        rules.extend(froms.map(|from| format!("iifname \"{server}\" oifname \"{clients}\" {from}{}", accept(opening))));
    }
    Chain { hook: "forward", rules }
}

/// What clients beside the server begin with it, when their packets come back out where they came in.
fn hairpins(plan: &Plan, crossing: &Crossing, network: Ipv4Net, server: Ipv4Addr) -> impl Iterator<Item = String> {
    let side = &crossing.server;
    let rule = move |opening| {
        format!(
            "iifname \"{side}\" oifname \"{side}\" ip saddr {network} ip daddr {server} {}",
            accept(opening)
        )
    };
    plan.openings.iter().map(rule)
}

/// What a table of its own refuses.
fn rest(plan: &Plan) -> Vec<String> {
    let decided = |ports: &PortSet| format!("tcp dport {} drop comment \"{REST}\"", set(ports));
    let (Place::Routed(crossing) | Place::Dnat { crossing, .. }) = &plan.place else {
        return vec![decided(&plan.decided)];
    };
    let (clients, server) = (&crossing.clients, &crossing.server);
    let mut rules = Vec::new();
    for to in matches(&crossing.addresses, "daddr") {
        // Without an address there is no telling what else goes this way: only the estate's ports are decided about.
        let rest = if to.is_empty() {
            decided(&plan.decided)
        } else {
            format!("meta l4proto tcp drop comment \"{NOTHING_ELSE}\"")
        };
        rules.push(format!("iifname \"{clients}\" oifname \"{server}\" {to}{rest}"));
    }
    if !plan.decided_back.is_empty() {
        let rest = decided(&plan.decided_back);
        rules.push(format!("iifname \"{server}\" oifname \"{clients}\" {rest}"));
    }
    rules
}

/// Both chains of a router that translates; nothing for others. Translating has a table of its own wherever filtering is.
fn nat(plan: &Plan) -> String {
    let Place::Dnat {
        crossing,
        public,
        server,
        hairpin,
    } = &plan.place
    else {
        return String::new();
    };
    let sides = [&crossing.clients, &crossing.server];
    let sides = if hairpin.is_some() { &sides[..] } else { &sides[..1] };
    let mut forwards = Vec::new();
    let mut sources = Vec::new();
    for opening in &plan.openings {
        let (ports, comment) = (set(&opening.ports), opening.comment());
        forwards.extend(sides.iter().map(|side| {
            format!("iifname \"{side}\" ip daddr {public} tcp dport {ports} dnat ip to {server} comment \"{comment}\"")
        }));
    }
    sources.extend(hairpin.map(|network| {
        let side = &crossing.server;
        format!("oifname \"{side}\" ip saddr {network} ip daddr {server} ct status dnat masquerade comment \"fwdrill hairpin: answers come back this way\"")
    }));
    for opening in &plan.back {
        let (side, ports, comment) = (&crossing.clients, set(&opening.ports), opening.comment());
        sources.push(format!(
            "oifname \"{side}\" ip saddr {server} tcp dport {ports} snat ip to {public} comment \"{comment}\""
        ));
    }
    let begin = |hook: &str, priority: &str| Some(format!("type nat hook {hook} priority {priority}; policy accept;"));
    chain("prerouting", begin("prerouting", "dstnat"), forwards)
        + &chain("postrouting", begin("postrouting", "srcnat"), sources)
}

/// Without these, paths with a small MTU swallow large packets (RFC 1191, RFC 8201; RFC 4890 section 4.3.1). Those of known
/// connections are "related" already.
const ICMP: &str = "icmp type { destination-unreachable, time-exceeded, parameter-problem } accept comment \"fragmentation needed among them\"";
const ICMPV6: &str = "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept comment \"path MTU discovery\"";

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
