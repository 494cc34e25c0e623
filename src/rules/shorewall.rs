//! Shorewall and Shorewall6: a block of its own at the end of the file `rules`, made anew (shorewall-rules(5)).

use std::fmt::Write;
use std::net::IpAddr;

use super::plan::{Crossing, Family, Opening, Place, Plan};
use super::script::{ranges, shell};

/// What all of Shorewall's examples call the Internet's zone.
const DEFAULT_ZONE: &str = "net";

/// A shell script.
pub(super) fn text(plan: &Plan, undo: bool) -> String {
    let about = [
        "For a policy that drops or rejects what no rule lets in; Shorewall lets answers and ICMP errors in by itself.",
    ];
    let mut text = shell(plan, undo, &about);
    if !undo {
        match plan.place {
            Place::Host { .. } => {
                let _ = writeln!(text, "# For the zone {DEFAULT_ZONE}; ZONE=name sh FILE for another.");
            }
            Place::Dnat { .. } => {
                text.push_str("# The server's own connections (tasks) need its line in /etc/shorewall/snat.\n");
            }
            Place::Routed(_) => {}
        }
    }
    text.push_str(
        "set -eu
block() { # FILE: our block without or, with rules on stdin, anew
    sed -i -e '/^# fwdrill begin$/,/^# fwdrill end$/d' -e '$a\\' \"$1\"
    cat >> \"$1\"
}
apply() { # PROGRAM: at once where it runs
    if \"$1\" status >/dev/null 2>&1; then \"$1\" reload >/dev/null; else \"$1\" check >/dev/null; fi
}
",
    );
    if matches!(plan.place, Place::Host { .. }) {
        let _ = writeln!(text, "ZONE=\"${{ZONE:-{DEFAULT_ZONE}}}\"");
    }
    for (family, program) in [(Family::V4, "shorewall"), (Family::V6, "shorewall6")] {
        let rules = rules(plan, family);
        if rules.is_empty() {
            continue;
        }
        // A host may have IPv4 alone.
        let optional = matches!(plan.place, Place::Host { .. }) && family == Family::V6;
        if optional {
            let _ = writeln!(text, "if [ -e /etc/{program}/rules ]; then");
        }
        if undo {
            let _ = writeln!(text, "block /etc/{program}/rules </dev/null");
        } else {
            let _ = writeln!(text, "block /etc/{program}/rules <<RULES\n# fwdrill begin");
            text.extend(rules.into_iter().map(|rule| rule + "\n"));
            text.push_str("# fwdrill end\nRULES\n");
        }
        let _ = writeln!(text, "apply {program}");
        if optional {
            text.push_str("fi\n");
        }
    }
    text
}

fn rules(plan: &Plan, family: Family) -> Vec<String> {
    match &plan.place {
        Place::Host { server } => host(plan, server, family),
        Place::Routed(crossing) => forward(plan, crossing, family),
        Place::Dnat {
            crossing,
            public,
            server,
            ..
        } => match family {
            Family::V6 => forward(plan, crossing, family),
            Family::V4 => {
                let to = format!("{}:{server}", crossing.server);
                let forwards = plan
                    .openings
                    .iter()
                    .map(|opening| rule("DNAT", &crossing.clients, &to, opening, &format!(" - {public}")));
                forwards.chain(back(plan, &to, &crossing.clients)).collect()
            }
        },
    }
}

fn host(plan: &Plan, server: &[IpAddr], family: Family) -> Vec<String> {
    let mut rules = Vec::new();
    for opening in &plan.openings {
        let froms = places("$ZONE", opening.sources(server), family).into_iter();
        rules.extend(froms.map(|from| rule("ACCEPT", &from, "\\$FW", opening, "")));
    }
    for to in places("$ZONE", server, family) {
        rules.extend(back(plan, "\\$FW", &to));
    }
    rules
}

fn forward(plan: &Plan, crossing: &Crossing, family: Family) -> Vec<String> {
    let mut rules = Vec::new();
    for server in places(&crossing.server, &crossing.addresses, family) {
        let openings = plan.openings.iter();
        rules.extend(openings.map(|opening| rule("ACCEPT", &crossing.clients, &server, opening, "")));
        rules.extend(back(plan, &server, &crossing.clients));
    }
    rules
}

fn back(plan: &Plan, from: &str, to: &str) -> impl Iterator<Item = String> {
    plan.back
        .iter()
        .map(move |opening| rule("ACCEPT", from, to, opening, ""))
}

fn rule(action: &str, from: &str, to: &str, opening: &Opening, more: &str) -> String {
    let ports = ranges(&opening.ports, ":").join(",");
    format!("{action} {from} {to} tcp {ports}{more} # {}", opening.comment())
}

/// The hosts of a zone with addresses of the family; the whole zone, where none is given at all.
fn places(zone: &str, addresses: &[IpAddr], family: Family) -> Vec<String> {
    if addresses.is_empty() {
        return vec![zone.to_owned()];
    }
    let of_family = addresses.iter().filter(|address| family.has(address));
    let place = |address: &IpAddr| match address {
        IpAddr::V4(address) => format!("{zone}:{address}"),
        IpAddr::V6(address) => format!("{zone}:[{address}]"),
    };
    of_family.map(place).collect()
}
