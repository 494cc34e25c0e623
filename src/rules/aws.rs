//! An AWS security group, as Terraform (provider hashicorp/aws 5 and later: a resource of its own for each rule).

use std::fmt::Write;
use std::net::IpAddr;

use anyhow::bail;

use super::plan::{Opening, Place, Plan};
use super::script::head;

const ANYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// A Terraform file.
pub(super) fn text(plan: &Plan, undo: bool) -> anyhow::Result<String> {
    let Place::Host { server } = &plan.place else {
        bail!("a security group protects the instance it is attached to: its topology is host");
    };
    if undo {
        return Ok(
            "# Put this in the place of fwdrill's rules and apply: Terraform destroys what is no longer named.\n"
                .to_owned(),
        );
    }
    let mut text = head(
        plan,
        "#",
        &[
            "Made by fwdrill rules. Apply: terraform apply -var vpc_id=ID. Undo: apply without this file.",
            "Attach it to the instance beside its other groups. It lets answers through by itself; whatever else the instance",
            "begins (names, its own updates) needs another group.",
        ],
    );
    text.push_str(
        "
variable \"vpc_id\" {
  type = string
}

resource \"aws_security_group\" \"fwdrill\" {
  name        = \"fwdrill\"
  description = \"Update service, by fwdrill rules\"
  vpc_id      = var.vpc_id
}

output \"fwdrill_security_group_id\" {
  value = aws_security_group.fwdrill.id
}
",
    );
    for opening in &plan.openings {
        text.push_str(&rules("ingress", opening, &networks(opening.sources(server))));
    }
    for opening in &plan.back {
        text.push_str(&rules("egress", opening, &networks(server)));
    }
    // Without these, paths with a small MTU swallow large packets. For ICMP the two numbers are type and code.
    let icmp = [("icmp", 3, 4, ANYWHERE[0]), ("icmpv6", 2, 0, ANYWHERE[1])];
    for (protocol, kind, code, from) in icmp {
        let name = format!("fwdrill_path_mtu_{protocol}");
        text.push_str(&rule(
            "ingress",
            &name,
            "fwdrill path MTU discovery",
            protocol,
            (kind, code),
            from,
        ));
    }
    Ok(text)
}

/// One rule for each contiguous range and each network.
fn rules(direction: &str, opening: &Opening, networks: &[String]) -> String {
    let mut text = String::new();
    for range in opening.ports.ranges() {
        for (at, network) in networks.iter().enumerate() {
            let name = format!("fwdrill_{}_{}_{at}", opening.flow.key(), range.start());
            let ports = (*range.start(), *range.end());
            text.push_str(&rule(direction, &name, &opening.comment(), "tcp", ports, network));
        }
    }
    text
}

fn rule(direction: &str, name: &str, comment: &str, protocol: &str, ports: (u16, u16), network: &str) -> String {
    let family = if network.contains(':') { "ipv6" } else { "ipv4" };
    let mut text = format!("\nresource \"aws_vpc_security_group_{direction}_rule\" \"{name}\" {{\n");
    let quoted = |value: &str| format!("\"{value}\"");
    for (key, value) in [
        ("security_group_id", "aws_security_group.fwdrill.id".to_owned()),
        ("description", quoted(comment)),
        ("ip_protocol", quoted(protocol)),
        ("from_port", ports.0.to_string()),
        ("to_port", ports.1.to_string()),
        (
            if family == "ipv6" { "cidr_ipv6" } else { "cidr_ipv4" },
            quoted(network),
        ),
    ] {
        let _ = writeln!(text, "  {key:17} = {value}");
    }
    text.push_str("}\n");
    text
}

fn networks(addresses: &[IpAddr]) -> Vec<String> {
    if addresses.is_empty() {
        return ANYWHERE.map(str::to_owned).to_vec();
    }
    let network = |address: &IpAddr| format!("{address}/{}", if address.is_ipv4() { 32 } else { 128 });
    addresses.iter().map(network).collect()
}
