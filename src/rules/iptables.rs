//! iptables and ip6tables: chains of its own, filled in one transaction each (iptables-restore(8), --noflush), and one jump
//! from every built-in chain that leads into them.

use std::fmt::Write;
use std::net::IpAddr;

use fwdrill_protocol::estate::port_set::PortSet;

use super::plan::{Crossing, Family, Opening, Place, Plan};
use super::script::{NOTHING_ELSE, REST, decides, multiports, shell};

/// A chain of ours: its table, its name, the built-in chain that jumps to it, and its rules without `-A NAME`.
struct Chain {
    table: &'static str,
    name: &'static str,
    from: &'static str,
    rules: Vec<String>,
}

/// A shell script.
pub(super) fn text(plan: &Plan, undo: bool) -> String {
    let decides = format!(
        "Chains of their own, asked before your other rules. They decide about {}.",
        decides(plan)
    );
    let about = [
        decides.as_str(),
        "IPTABLES=iptables-legacy IP6TABLES=ip6tables-legacy sh FILE: for the legacy tables.",
        "After a reboot they are gone, unless you save them (Debian: netfilter-persistent save).",
    ];
    let mut text = shell(plan, undo, &about);
    text.push_str("set -eu\n");
    for (family, variable, program) in [
        (Family::V4, "IPTABLES", "iptables"),
        (Family::V6, "IP6TABLES", "ip6tables"),
    ] {
        let chains = chains(plan, family);
        if chains.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n{variable}=\"${{{variable}:-{program}}}\"");
        let command = format!("\"${variable}\"");
        text.push_str(&if undo {
            unload(&chains, &command)
        } else {
            load(&chains, variable, &command)
        });
    }
    text
}

fn load(chains: &[Chain], variable: &str, command: &str) -> String {
    let mut text = format!("\"${{{variable}}}-restore\" --wait --noflush <<'RULES'\n");
    for table in tables(chains) {
        let _ = writeln!(text, "*{table}");
        let ours = chains.iter().filter(|chain| chain.table == table);
        // Naming a chain empties it, even with --noflush.
        ours.clone().for_each(|chain| {
            let _ = writeln!(text, ":{} - [0:0]", chain.name);
        });
        for chain in ours {
            text.extend(chain.rules.iter().map(|rule| format!("-A {} {rule}\n", chain.name)));
        }
        text.push_str("COMMIT\n");
    }
    text.push_str("RULES\n");
    for Chain { table, name, from, .. } in chains {
        let _ = writeln!(
            text,
            "{command} -w -t {table} -C {from} -j {name} 2>/dev/null || {command} -w -t {table} -I {from} 1 -j {name}"
        );
    }
    text
}

fn unload(chains: &[Chain], command: &str) -> String {
    let mut text = String::new();
    for Chain { table, name, from, .. } in chains {
        let _ = writeln!(text, "if {command} -w -t {table} -S {name} >/dev/null 2>&1; then");
        let _ = writeln!(
            text,
            "  while {command} -w -t {table} -D {from} -j {name} 2>/dev/null; do :; done"
        );
        let _ = writeln!(
            text,
            "  {command} -w -t {table} -F {name}\n  {command} -w -t {table} -X {name}\nfi"
        );
    }
    text
}

fn tables(chains: &[Chain]) -> Vec<&'static str> {
    let mut tables: Vec<&str> = chains.iter().map(|chain| chain.table).collect();
    tables.dedup();
    tables
}

fn chains(plan: &Plan, family: Family) -> Vec<Chain> {
    match &plan.place {
        Place::Host { server } => host(plan, server, family),
        Place::Routed(crossing) => forward(plan, crossing, family).into_iter().collect(),
        Place::Dnat { crossing, .. } => {
            let nat = if family == Family::V4 { nat(plan) } else { Vec::new() };
            nat.into_iter().chain(forward(plan, crossing, family)).collect()
        }
    }
}

fn host(plan: &Plan, server: &[IpAddr], family: Family) -> Vec<Chain> {
    let mut input = vec![format!("-i lo -j ACCEPT {}", comment("the host itself"))];
    input.extend(always(family));
    for opening in &plan.openings {
        for from in matches("-s", opening.sources(server), family) {
            input.extend(accept(opening).map(|rule| format!("{from}{rule}")));
        }
    }
    let rest = comment(REST);
    input.extend(tcp(&plan.decided).map(|ports| format!("{ports} -j DROP {rest}")));
    let mut output = vec![answers()];
    for opening in &plan.back {
        for to in matches("-d", server, family) {
            output.extend(accept(opening).map(|rule| format!("{to}{rule}")));
        }
    }
    let chain = |name, from, rules| Chain {
        table: "filter",
        name,
        from,
        rules,
    };
    vec![
        chain("FWDRILL-INPUT", "INPUT", input),
        chain("FWDRILL-OUTPUT", "OUTPUT", output),
    ]
}

/// `None` where the server has no address of the family.
fn forward(plan: &Plan, crossing: &Crossing, family: Family) -> Option<Chain> {
    let tos = matches("-d", &crossing.addresses, family);
    let froms = matches("-s", &crossing.addresses, family);
    if tos.is_empty() {
        return None;
    }
    let (clients, server) = (&crossing.clients, &crossing.server);
    let mut rules = always(family);
    for opening in &plan.openings {
        for to in &tos {
            rules.extend(accept(opening).map(|rule| format!("-i {clients} -o {server} {to}{rule}")));
        }
    }
    for opening in &plan.back {
        for from in &froms {
            rules.extend(accept(opening).map(|rule| format!("-i {server} -o {clients} {from}{rule}")));
        }
    }
    if let Place::Dnat {
        hairpin: Some(network),
        server: address,
        ..
    } = &plan.place
        && family == Family::V4
    {
        for opening in &plan.openings {
            rules.extend(
                accept(opening).map(|rule| format!("-i {server} -o {server} -s {network} -d {address} {rule}")),
            );
        }
    }
    let rest = comment(REST);
    for to in tos {
        // Without an address there is no telling what else goes this way: only the estate's ports are decided about.
        if to.is_empty() {
            rules.extend(tcp(&plan.decided).map(|ports| format!("-i {clients} -o {server} {ports} -j DROP {rest}")));
        } else {
            let rest = comment(NOTHING_ELSE);
            rules.push(format!("-i {clients} -o {server} {to}-p tcp -j DROP {rest}"));
        }
    }
    rules.extend(tcp(&plan.decided_back).map(|ports| format!("-i {server} -o {clients} {ports} -j DROP {rest}")));
    Some(Chain {
        table: "filter",
        name: "FWDRILL-FORWARD",
        from: "FORWARD",
        rules,
    })
}

fn nat(plan: &Plan) -> Vec<Chain> {
    let Place::Dnat {
        crossing,
        public,
        server,
        hairpin,
    } = &plan.place
    else {
        return Vec::new();
    };
    let mut forwards = Vec::new();
    let mut sources = Vec::new();
    let sides = [&crossing.clients, &crossing.server];
    let sides = if hairpin.is_some() { &sides[..] } else { &sides[..1] };
    for opening in &plan.openings {
        for side in sides {
            let comment = comment(&opening.comment());
            forwards.extend(
                tcp(&opening.ports)
                    .map(|ports| format!("-i {side} -d {public} {ports} -j DNAT --to-destination {server} {comment}")),
            );
        }
    }
    if let Some(network) = hairpin {
        let why = comment("fwdrill hairpin: answers come back this way");
        sources.push(format!(
            "-o {} -s {network} -d {server} -m conntrack --ctstate DNAT -j MASQUERADE {why}",
            crossing.server
        ));
    }
    for opening in &plan.back {
        let comment = comment(&opening.comment());
        sources.extend(tcp(&opening.ports).map(|ports| {
            format!(
                "-o {} -s {server} {ports} -j SNAT --to-source {public} {comment}",
                crossing.clients
            )
        }));
    }
    let chain = |name, from, rules| Chain {
        table: "nat",
        name,
        from,
        rules,
    };
    vec![
        chain("FWDRILL-DNAT", "PREROUTING", forwards),
        chain("FWDRILL-SNAT", "POSTROUTING", sources),
    ]
}

/// Answers, and the ICMP errors without which paths with a small MTU swallow large packets (RFC 1191, RFC 8201; RFC 4890
/// section 4.3.1).
fn always(family: Family) -> Vec<String> {
    let (protocol, option, types): (_, _, &[&str]) = match family {
        Family::V4 => (
            "icmp",
            "--icmp-type",
            &["destination-unreachable", "time-exceeded", "parameter-problem"],
        ),
        Family::V6 => (
            "ipv6-icmp",
            "--icmpv6-type",
            &[
                "destination-unreachable",
                "packet-too-big",
                "time-exceeded",
                "parameter-problem",
            ],
        ),
    };
    let icmp = types
        .iter()
        .map(|kind| format!("-p {protocol} {option} {kind} -j ACCEPT"));
    [answers()].into_iter().chain(icmp).collect()
}

fn answers() -> String {
    format!(
        "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT {}",
        comment("answers")
    )
}

fn accept(opening: &Opening) -> impl Iterator<Item = String> {
    let comment = comment(&opening.comment());
    tcp(&opening.ports).map(move |ports| format!("{ports} -j ACCEPT {comment}"))
}

/// Matches of TCP ports, as many as it takes.
fn tcp(ports: &PortSet) -> impl Iterator<Item = String> {
    multiports(ports).into_iter().map(|ports| match ports.contains(',') {
        false => format!("-p tcp --dport {ports}"),
        true => format!("-p tcp -m multiport --dports {ports}"),
    })
}

/// One match for each address of the family; an empty one for any, where none is given at all.
fn matches(option: &str, addresses: &[IpAddr], family: Family) -> Vec<String> {
    if addresses.is_empty() {
        return vec![String::new()];
    }
    let of_family = addresses.iter().filter(|address| family.has(address));
    of_family.map(|address| format!("{option} {address} ")).collect()
}

fn comment(text: &str) -> String {
    format!("-m comment --comment \"{text}\"")
}
