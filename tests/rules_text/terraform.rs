//! Terraform's texts, read by a parser of its language: what they say of the estate, word for word.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::rules;

/// A file of ours; anything else in it is a mistake.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Terraform {
    resource: Resources,
    variable: BTreeMap<String, BTreeMap<String, String>>,
    output: BTreeMap<String, BTreeMap<String, String>>,
}

/// Labels that stand twice are no map of this kind, and an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Resources {
    aws_security_group: BTreeMap<String, Group>,
    aws_vpc_security_group_ingress_rule: BTreeMap<String, Rule>,
    aws_vpc_security_group_egress_rule: BTreeMap<String, Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    name: String,
    description: String,
    vpc_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    security_group_id: String,
    description: String,
    ip_protocol: String,
    from_port: u16,
    to_port: u16,
    cidr_ipv4: Option<String>,
    cidr_ipv6: Option<String>,
}

fn terraform(arguments: &[&str]) -> Terraform {
    let text = rules("aws", arguments);
    hcl::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Flow, first port, last port, network: none of them twice, each in the group, each with TCP.
fn tcp(rules: &BTreeMap<String, Rule>) -> Vec<(&str, u16, u16, &str)> {
    let mut all = Vec::new();
    for rule in rules.values().filter(|rule| !rule.ip_protocol.starts_with("icmp")) {
        assert_eq!(rule.ip_protocol, "tcp");
        assert_eq!(rule.security_group_id, "${aws_security_group.fwdrill.id}");
        let flow = rule
            .description
            .strip_prefix("fwdrill ")
            .unwrap()
            .split_once(": ")
            .unwrap()
            .0;
        let network = match (&rule.cidr_ipv4, &rule.cidr_ipv6) {
            (Some(v4), None) => v4.parse::<ipnet::Ipv4Net>().map(|_| v4).unwrap(),
            (None, Some(v6)) => v6.parse::<ipnet::Ipv6Net>().map(|_| v6).unwrap(),
            other => panic!("one network a rule: {other:?}"),
        };
        all.push((flow, rule.from_port, rule.to_port, network.as_str()));
    }
    let different: BTreeSet<_> = all.iter().copied().collect();
    assert_eq!(different.len(), all.len(), "a rule twice");
    all.sort_unstable();
    all
}

/// Each flow's ports, from each of the networks.
fn each<'a>(flows: &[(&'a str, u16, u16)], networks: &[&'a str]) -> Vec<(&'a str, u16, u16, &'a str)> {
    let from = |(flow, first, last): &(&'a str, u16, u16)| {
        networks
            .iter()
            .map(|network| (*flow, *first, *last, *network))
            .collect::<Vec<_>>()
    };
    let mut all: Vec<_> = flows.iter().flat_map(from).collect();
    all.sort_unstable();
    all
}

const ANYWHERE: &[&str] = &["0.0.0.0/0", "::/0"];
const TASKS: (&str, u16, u16) = ("tasks", 2222, 2222);
const FTP: [(&str, u16, u16); 4] = [
    ("ftp-control", 2021, 2021),
    ("ftp-passive", 3023, 3332),
    ("ftp-passive", 3334, 4022),
    ("version", 3333, 3333),
];
const OTHERS: [(&str, u16, u16); 3] = [("agent", 2222, 2222), ("console", 10443, 10443), ("events", 2225, 2225)];

#[test]
fn terraform_opens_each_flow_once_for_each_network_and_nothing_else() {
    let server = terraform(&[]);
    let flows = [&FTP[..], &OTHERS].concat();
    assert_eq!(
        tcp(&server.resource.aws_vpc_security_group_ingress_rule),
        each(&flows, ANYWHERE)
    );
    assert_eq!(
        tcp(&server.resource.aws_vpc_security_group_egress_rule),
        each(&[TASKS], ANYWHERE)
    );

    let client = terraform(&["--role=client", "--server=203.0.113.2", "--server=2001:db8:20::10"]);
    let networks = ["203.0.113.2/32", "2001:db8:20::10/128"];
    assert_eq!(
        tcp(&client.resource.aws_vpc_security_group_ingress_rule),
        each(&[TASKS], &networks)
    );
    assert_eq!(
        tcp(&client.resource.aws_vpc_security_group_egress_rule),
        each(&flows, &networks)
    );

    let agent = terraform(&["--role=update-agent", "--server=203.0.113.2"]);
    let listening = [&FTP[..], &OTHERS[..1]].concat();
    assert_eq!(
        tcp(&agent.resource.aws_vpc_security_group_ingress_rule),
        each(&listening, ANYWHERE)
    );
    assert_eq!(
        tcp(&agent.resource.aws_vpc_security_group_egress_rule),
        each(&flows, &["203.0.113.2/32"])
    );
}

#[test]
fn terraform_makes_one_group_that_large_packets_can_be_told_of() {
    let Terraform {
        resource,
        variable,
        output,
    } = terraform(&[]);
    let group = &resource.aws_security_group["fwdrill"];
    assert_eq!((resource.aws_security_group.len(), group.name.as_str()), (1, "fwdrill"));
    assert_eq!(group.vpc_id, "${var.vpc_id}");
    // What the provider takes for a description: letters, digits and these.
    let plain = |text: &str| {
        text.len() <= 255
            && text
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(letter))
    };
    assert!(plain(&group.description));
    assert_eq!(variable["vpc_id"]["type"], "${string}");
    assert_eq!(
        output["fwdrill_security_group_id"]["value"],
        "${aws_security_group.fwdrill.id}"
    );
    let rules = resource.aws_vpc_security_group_ingress_rule.values();
    assert!(rules.clone().all(|rule| plain(&rule.description)));
    // Fragmentation needed, and packet too big: type and code.
    let mut icmp: Vec<_> = rules
        .filter(|rule| rule.ip_protocol != "tcp")
        .map(|rule| {
            (
                rule.ip_protocol.as_str(),
                rule.from_port,
                rule.to_port,
                rule.cidr_ipv4.as_deref(),
                rule.cidr_ipv6.as_deref(),
            )
        })
        .collect();
    icmp.sort_unstable();
    assert_eq!(
        icmp,
        [
            ("icmp", 3, 4, Some("0.0.0.0/0"), None),
            ("icmpv6", 2, 0, None, Some("::/0"))
        ]
    );
}

/// It names nothing, and so Terraform destroys everything.
#[test]
fn terraforms_undo_names_nothing() {
    let undo: hcl::Body = hcl::from_str(&rules("aws", &["--undo"])).unwrap();
    assert!(undo.0.is_empty(), "{undo:?}");
}
