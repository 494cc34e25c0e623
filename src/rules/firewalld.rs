//! firewalld: on a host a service of its own in a zone (a policy is idle for the default zone, while no interface is named in
//! it); on a router policies of its own (firewalld.policies(5)), each a file of the permanent configuration that is written
//! as a whole. Services, policies and one reload: calls of firewall-cmd take half a second each.

use std::fmt::Write;
use std::net::IpAddr;

use super::plan::{Opening, Place, Plan};
use super::script::{ranges, shell};

/// All that a router may have of ours; what is not written anew goes.
const POLICIES: [&str; 3] = ["fwdrill", "fwdrill-dnat", "fwdrill-tasks"];

const DIRECTORY: &str = "/etc/firewalld/policies";

/// A policy: its name, whose connections it is about, and its elements.
struct Policy {
    name: &'static str,
    from: String,
    to: String,
    elements: Vec<String>,
}

/// A shell script.
pub(super) fn text(plan: &Plan, undo: bool) -> String {
    let about = ["What no rule lets in, firewalld refuses; it lets answers and ICMP errors in by itself."];
    let mut text = shell(plan, undo, &about);
    if !undo && let Place::Dnat { .. } = plan.place {
        text.push_str("# The server's own connections (tasks) need the masquerading of the clients' zone; Debian's zone external has it.\n");
    }
    text.push_str("set -eu\n");
    text.push_str(&match &plan.place {
        Place::Host { server } => host(plan, server, undo),
        Place::Routed(_) | Place::Dnat { .. } => router(plan, undo),
    });
    text.push_str("firewall-cmd --quiet --reload\n");
    text
}

/// Nothing is said of what the host begins: firewalld lets that out.
fn host(plan: &Plan, server: &[IpAddr], undo: bool) -> String {
    let sources = plan.openings.iter().flat_map(|opening| opening.sources(server));
    let mut entries: Vec<String> = sources.map(entry).collect();
    if entries.is_empty() {
        entries.push("service=fwdrill".to_owned());
    }
    let mut text = "fw() { firewall-cmd --permanent --quiet \"$@\"; }\ngone() { fw \"$@\" 2>/dev/null || true; }\nZONE=\"${ZONE:-$(firewall-cmd --get-default-zone)}\"\n".to_owned();
    let _ = writeln!(
        text,
        "gone --zone=\"$ZONE\"{}\ngone --delete-service=fwdrill",
        each(" --remove-", &entries)
    );
    if undo {
        return text;
    }
    text.push_str("DIRECTORY=\"$(mktemp -d)\"\ntrap 'rm -rf \"$DIRECTORY\"' EXIT\ncat > \"$DIRECTORY/fwdrill.xml\" <<'SERVICE'\n<service>\n");
    for opening in &plan.openings {
        for ports in ranges(&opening.ports, "-") {
            let _ = writeln!(
                text,
                "  <port port=\"{ports}\" protocol=\"tcp\"/> <!-- {} -->",
                opening.comment()
            );
        }
    }
    let _ = writeln!(
        text,
        "</service>\nSERVICE\nfw --new-service-from-file=\"$DIRECTORY/fwdrill.xml\"\nfw --zone=\"$ZONE\"{}",
        each(" --add-", &entries)
    );
    text
}

/// What stands in the zone for the service, without `--add-` or `--remove-`, where only one address may come.
fn entry(source: &IpAddr) -> String {
    let family = family(source);
    format!("rich-rule='rule family=\"{family}\" source address=\"{source}\" service name=\"fwdrill\" accept'")
}

fn each(option: &str, values: &[String]) -> String {
    values.iter().map(|value| format!("{option}{value}")).collect()
}

fn router(plan: &Plan, undo: bool) -> String {
    let paths: Vec<String> = POLICIES.iter().map(|name| format!("{DIRECTORY}/{name}.xml")).collect();
    let remove = format!("rm -f {}", paths.join(" "));
    let mut text = format!("{remove}\n");
    if !undo {
        let _ = writeln!(text, "mkdir -p {DIRECTORY}");
        text.extend(policies(plan).iter().map(file));
        let _ = writeln!(text, "firewall-cmd --quiet --check-config || {{ {remove}; exit 1; }}");
    }
    text
}

/// Without rules there is no policy.
fn policies(plan: &Plan) -> Vec<Policy> {
    let policy = |name, from: &str, to: &str, elements| Policy {
        name,
        from: from.to_owned(),
        to: to.to_owned(),
        elements,
    };
    let accepts = |openings: &[Opening], field, addresses: &[IpAddr]| -> Vec<String> {
        let rules = |opening| {
            matches(field, addresses)
                .into_iter()
                .flat_map(move |to| accept(opening, &to))
        };
        openings.iter().flat_map(rules).collect()
    };
    let mut policies = match &plan.place {
        Place::Host { .. } => Vec::new(),
        Place::Routed(crossing) => {
            let rules = accepts(&plan.openings, "destination", &crossing.addresses);
            vec![policy("fwdrill", &crossing.clients, &crossing.server, rules)]
        }
        Place::Dnat {
            crossing,
            public,
            server,
            ..
        } => {
            let to = matches("destination", &[IpAddr::V4(*public)]).concat();
            let forward =
                |ports: String| format!("<forward-port port=\"{ports}\" protocol=\"tcp\" to-addr=\"{server}\"/>");
            let forwards = plan.openings.iter().flat_map(|opening| rules(opening, &to, forward));
            // IPv6 is not translated.
            let v6: Vec<IpAddr> = crossing.addresses.iter().copied().filter(IpAddr::is_ipv6).collect();
            let untranslated = if v6.is_empty() {
                Vec::new()
            } else {
                accepts(&plan.openings, "destination", &v6)
            };
            vec![
                policy("fwdrill-dnat", &crossing.clients, "ANY", forwards.collect()),
                policy("fwdrill", &crossing.clients, &crossing.server, untranslated),
            ]
        }
    };
    if let Place::Routed(crossing) | Place::Dnat { crossing, .. } = &plan.place {
        let rules = accepts(&plan.back, "source", &crossing.addresses);
        policies.push(policy("fwdrill-tasks", &crossing.server, &crossing.clients, rules));
    }
    policies.retain(|policy| !policy.elements.is_empty());
    policies
}

fn file(policy: &Policy) -> String {
    let Policy {
        name,
        from,
        to,
        elements,
    } = policy;
    let mut text = format!(
        "cat > {DIRECTORY}/{name}.xml <<POLICY\n<policy priority=\"-1\" target=\"CONTINUE\">\n  <ingress-zone name=\"{from}\"/>\n  <egress-zone name=\"{to}\"/>\n"
    );
    text.extend(elements.iter().map(|element| format!("  {element}\n")));
    text.push_str("</policy>\nPOLICY\n");
    text
}

fn accept(opening: &Opening, matching: &str) -> Vec<String> {
    let port = |ports: String| format!("<port port=\"{ports}\" protocol=\"tcp\"/><accept/>");
    rules(opening, matching, port).collect()
}

/// Rich rules of one flow, one a range, each with its comment.
fn rules(opening: &Opening, matching: &str, rule: impl Fn(String) -> String) -> impl Iterator<Item = String> {
    let all = ranges(&opening.ports, "-").into_iter();
    all.map(move |ports| format!("<rule{matching}{}</rule> <!-- {} -->", rule(ports), opening.comment()))
}

/// How a rule begins, behind `<rule`: once for each address; once for all, where none is given.
fn matches(field: &str, addresses: &[IpAddr]) -> Vec<String> {
    if addresses.is_empty() {
        return vec![">".to_owned()];
    }
    let addresses = addresses.iter();
    addresses
        .map(|address| format!(" family=\"{}\"><{field} address=\"{address}\"/>", family(address)))
        .collect()
}

fn family(address: &IpAddr) -> &'static str {
    if address.is_ipv4() { "ipv4" } else { "ipv6" }
}
