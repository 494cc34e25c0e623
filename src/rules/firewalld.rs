//! firewalld: a service of its own for each flow on a host, a policy of its own on a router (firewalld.policies(5)).
//! Everything goes to the permanent configuration and takes effect with one reload.

use std::fmt::Write;
use std::net::IpAddr;

use super::plan::{Crossing, Opening, Place, Plan};
use super::script::{ranges, shell};

/// A shell script.
pub(super) fn text(plan: &Plan, undo: bool) -> String {
    let about = ["What no rule lets in, firewalld refuses; it lets answers and ICMP errors in by itself."];
    let mut text = shell(plan, undo, &about);
    if !undo && let Place::Dnat { .. } = plan.place {
        text.push_str("# The server's own connections (tasks) need the masquerading of the clients' zone; Debian's zone external has it.\n");
    }
    text.push_str(
        "set -eu\nfw() { firewall-cmd --permanent --quiet \"$@\"; }\ngone() { fw \"$@\" 2>/dev/null || true; }\n",
    );
    match &plan.place {
        Place::Host { sources } => text.push_str(&host(plan, sources, undo)),
        Place::Routed(crossing) => text.push_str(&forward(plan, crossing, undo)),
        Place::Dnat {
            crossing,
            public,
            server,
            ..
        } => {
            let address = format!("destination address=\"{public}\" ");
            let forwards = plan.openings.iter().flat_map(|opening| {
                let rule = |ports| format!("forward-port port=\"{ports}\" protocol=\"tcp\" to-addr=\"{server}\"");
                rules(opening, &format!("family=\"ipv4\" {address}"), rule)
            });
            text.push_str(&policy("fwdrill-dnat", &crossing.clients, "ANY", forwards, undo));
            // IPv6 is not translated.
            let v6: Vec<IpAddr> = crossing.addresses.iter().copied().filter(IpAddr::is_ipv6).collect();
            let in_v6 = openings(plan, v6.into_iter().map(Some).collect());
            text.push_str(&policy(
                "fwdrill",
                &crossing.clients,
                &crossing.server,
                in_v6.into_iter(),
                undo,
            ));
            text.push_str(&tasks(plan, crossing, undo));
        }
    }
    text.push_str("firewall-cmd --quiet --reload\n");
    text
}

fn host(plan: &Plan, sources: &[IpAddr], undo: bool) -> String {
    let mut text = "ZONE=\"${ZONE:-$(firewall-cmd --get-default-zone)}\"\n".to_owned();
    for opening in &plan.openings {
        let service = format!("fwdrill-{}", opening.flow.name());
        let comment = opening.comment();
        let entries = entries(&service, sources);
        let _ = writeln!(
            text,
            "gone --zone=\"$ZONE\"{} # {comment}",
            each(" --remove-", &entries)
        );
        let _ = writeln!(text, "gone --delete-service={service} # {comment}");
        if !undo {
            let ports: Vec<String> = (ranges(&opening.ports, "-").iter())
                .map(|range| format!("port={range}/tcp"))
                .collect();
            let _ = writeln!(text, "fw --new-service={service} # {comment}");
            let _ = writeln!(text, "fw --service={service}{} # {comment}", each(" --add-", &ports));
            let _ = writeln!(text, "fw --zone=\"$ZONE\"{} # {comment}", each(" --add-", &entries));
        }
    }
    text
}

/// What stands in the zone for a service, without `--add-` or `--remove-`.
fn entries(service: &str, sources: &[IpAddr]) -> Vec<String> {
    let from = |source: &IpAddr| {
        let family = family(*source);
        format!("rich-rule='rule family=\"{family}\" source address=\"{source}\" service name=\"{service}\" accept'")
    };
    match sources {
        [] => vec![format!("service={service}")],
        some => some.iter().map(from).collect(),
    }
}

fn each(option: &str, values: &[String]) -> String {
    values.iter().map(|value| format!("{option}{value}")).collect()
}

fn forward(plan: &Plan, crossing: &Crossing, undo: bool) -> String {
    let addresses = addresses(crossing);
    let mut text = policy(
        "fwdrill",
        &crossing.clients,
        &crossing.server,
        openings(plan, addresses).into_iter(),
        undo,
    );
    text.push_str(&tasks(plan, crossing, undo));
    text
}

fn openings(plan: &Plan, addresses: Vec<Option<IpAddr>>) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for address in addresses {
        let to = matching("destination", address);
        all.extend(plan.openings.iter().flat_map(|opening| rules(opening, &to, accept)));
    }
    all
}

fn tasks(plan: &Plan, crossing: &Crossing, undo: bool) -> String {
    let Some(tasks) = &plan.tasks else { return String::new() };
    let froms = addresses(crossing);
    let rules = froms
        .into_iter()
        .flat_map(|from| rules(tasks, &matching("source", from), accept));
    policy("fwdrill-tasks", &crossing.server, &crossing.clients, rules, undo)
}

fn accept(ports: String) -> String {
    format!("port port=\"{ports}\" protocol=\"tcp\" accept")
}

fn addresses(crossing: &Crossing) -> Vec<Option<IpAddr>> {
    match crossing.addresses.as_slice() {
        [] => vec![None],
        some => some.iter().copied().map(Some).collect(),
    }
}

/// Rich rules (firewalld.richlanguage(5)) of one flow, one a range, each with its comment.
fn rules(opening: &Opening, matching: &str, rule: impl Fn(String) -> String) -> Vec<(String, String)> {
    let all = ranges(&opening.ports, "-").into_iter();
    all.map(|ports| (format!("rule {matching}{}", rule(ports)), opening.comment()))
        .collect()
}

/// A policy made anew from zone to zone; none where there are no rules.
fn policy(name: &str, from: &str, to: &str, rules: impl Iterator<Item = (String, String)>, undo: bool) -> String {
    let mut text = format!("gone --delete-policy={name}\n");
    let mut rules = rules.peekable();
    if undo || rules.peek().is_none() {
        return text;
    }
    let _ = writeln!(text, "fw --new-policy={name}");
    let _ = writeln!(
        text,
        "fw --policy={name} --add-ingress-zone={from}\nfw --policy={name} --add-egress-zone={to}"
    );
    for (rule, comment) in rules {
        let _ = writeln!(text, "fw --policy={name} --add-rich-rule='{rule}' # {comment}");
    }
    text
}

fn matching(field: &str, address: Option<IpAddr>) -> String {
    address
        .map(|address| format!("family=\"{}\" {field} address=\"{address}\" ", family(address)))
        .unwrap_or_default()
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ipv4" } else { "ipv6" }
}
