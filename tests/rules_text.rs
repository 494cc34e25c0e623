//! The texts of `fwdrill rules` as they are, and the grammar of those that nothing here can load: PowerShell and Terraform.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use support::{run, stderr, stdout};

const KINDS: [&str; 7] = [
    "nftables",
    "iptables",
    "firewalld",
    "ufw",
    "shorewall",
    "windows",
    "aws",
];

fn rules(kind: &str, arguments: &[&str]) -> String {
    let kind = format!("--for={kind}");
    let output = run([&["rules", kind.as_str()], arguments].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

/// What a mistaken call is told; nothing is printed then.
fn refused(arguments: &[&str]) -> String {
    let output = run([&["rules"], arguments].concat());
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    stderr(&output)
}

#[test]
fn every_kind_reads_as_committed() {
    for kind in KINDS {
        insta::assert_snapshot!(format!("{kind}_guide"), rules(kind, &[]));
        insta::assert_snapshot!(
            format!("{kind}_holes_and_http"),
            rules(
                kind,
                &[
                    "--set=mode=http",
                    "--set=ftp.passive_ports=4000-4009,4020,4030-4039",
                    "--set=expect.outside.ftp_control=open",
                    "--set=expect.outside.ftp_passive=open"
                ]
            )
        );
        insta::assert_snapshot!(format!("{kind}_undo"), rules(kind, &["--undo"]));
    }
}

#[test]
fn routers_read_as_committed() {
    let routed = [
        "--topology=routed",
        "--outside=out",
        "--inside=in",
        "--server=10.20.0.10",
        "--server=2001:db8:20::10",
    ];
    let dnat = [
        "--topology=dnat",
        "--outside=out",
        "--inside=in",
        "--server=10.20.0.10",
        "--public=203.0.113.2",
        "--inside-network=10.20.0.0/24",
    ];
    let branch = ["--role=branch", "--outside=out", "--inside=in", "--server=203.0.113.2"];
    for (name, arguments, kinds) in [
        ("routed", &routed[..], &KINDS[..5]),
        ("branch", &branch[..], &KINDS[..5]),
        ("dnat", &dnat[..], &["nftables", "iptables", "firewalld", "shorewall"]),
    ] {
        for kind in kinds {
            insta::assert_snapshot!(format!("{kind}_{name}"), rules(kind, arguments));
        }
    }
}

#[test]
fn without_what_it_must_know_there_are_no_rules() {
    let routed = ["--for=nftables", "--topology=routed", "--outside=a", "--inside=b"];
    assert!(refused(&["--for=nftables", "--topology=routed"]).contains("--outside"));
    assert!(refused(&routed).contains("--server"));
    let dnat = [
        "--for=nftables",
        "--topology=dnat",
        "--outside=a",
        "--inside=b",
        "--server=10.20.0.10",
    ];
    assert!(refused(&dnat).contains("--public"));
    assert!(refused(&["--for=nftables", "--outside=a; reboot"]).contains("interface"));
    assert!(refused(&["--for=nftables", "--set=ports.version=0"]).contains("ports.version is 0"));
    assert!(
        refused(&[
            "--for=ufw",
            "--topology=dnat",
            "--outside=a",
            "--inside=b",
            "--server=10.20.0.10",
            "--public=203.0.113.2"
        ])
        .contains("iptables")
    );
    assert!(refused(&["--for=windows", "--role=branch", "--outside=a", "--inside=b"]).contains("host"));
}

#[test]
fn a_range_too_small_for_the_clients_is_said_in_the_text_and_beside_it() {
    let arguments = [
        "rules",
        "--for=nftables",
        "--set=ftp.passive_ports=4000-4009",
        "--clients=11",
    ];
    let output = run(arguments);
    for told in [stdout(&output), stderr(&output)] {
        assert!(told.contains("10 ports") && told.contains("11 clients"), "{told}");
    }
    let enough = run([&arguments[..3], &["--clients=10"]].concat());
    assert!(!stderr(&enough).contains("clients"), "{}", stderr(&enough));
}

#[test]
fn system_ports_are_in_no_rule_that_allows() {
    for kind in KINDS {
        let text = rules(kind, &[]);
        let allows = text.lines().filter(|line| !line.contains("rest"));
        for line in allows {
            assert!(!line.contains("2226") && !line.contains("2227"), "{kind}: {line}");
        }
    }
}

/// A block: its keyword and labels, and its attributes as written.
type Block = (Vec<String>, std::collections::BTreeMap<String, String>);

/// The blocks of a Terraform file, in the part of its language that the rules keep to: blocks of attributes that are strings
/// without interpolation, numbers, or references. Anything else is a mistake.
fn blocks(text: &str) -> Vec<Block> {
    let word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte))
    };
    let string = |text: &str| {
        let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        inner
            .filter(|inner| !inner.contains(['"', '\\', '$', '%']))
            .map(str::to_owned)
    };
    let (mut blocks, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(header) = line.strip_suffix(" {") {
            assert!(open.is_none(), "a block in a block: {line}");
            let (keyword, labels) = header.split_once(' ').unwrap();
            assert!(["resource", "variable", "output"].contains(&keyword), "{line}");
            let labels = labels.split(' ').map(|label| string(label).expect("a quoted label"));
            open = Some((
                [keyword.to_owned()].into_iter().chain(labels).collect(),
                std::collections::BTreeMap::new(),
            ));
        } else if line == "}" {
            blocks.push(open.take().expect("no block to close"));
        } else {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("no attribute: {line}"));
            let (key, value) = (key.trim(), value.trim());
            assert!(word(key) && (word(value) || string(value).is_some()), "{line}");
            let attributes = &mut open.as_mut().expect("an attribute outside of blocks").1;
            assert!(
                attributes
                    .insert(key.to_owned(), value.trim_matches('"').to_owned())
                    .is_none(),
                "twice: {line}"
            );
        }
    }
    assert!(open.is_none(), "an open block");
    blocks
}

#[test]
fn terraform_keeps_to_its_grammar_and_opens_the_ports_of_the_plan_for_both_families() {
    let mut opened = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    for (head, attributes) in blocks(&rules("aws", &[])) {
        assert!(names.insert(head.clone()), "{head:?} twice");
        if head[1] == "aws_vpc_security_group_ingress_rule" && attributes["ip_protocol"] == "tcp" {
            assert_eq!(attributes["security_group_id"], "aws_security_group.fwdrill.id");
            let number = |key: &str| attributes[key].parse::<u16>().unwrap();
            opened.push((
                number("from_port"),
                number("to_port"),
                attributes.contains_key("cidr_ipv6"),
            ));
        }
    }
    opened.sort_unstable();
    let expected = [
        (2021, 2021),
        (2222, 2222),
        (2225, 2225),
        (3023, 3332),
        (3333, 3333),
        (3334, 4022),
        (10443, 10443),
    ];
    let both: Vec<(u16, u16, bool)> = expected
        .iter()
        .flat_map(|(low, high)| [(*low, *high, false), (*low, *high, true)])
        .collect();
    assert_eq!(opened, both);
    // The undo names nothing, and so destroys everything.
    assert!(blocks(&rules("aws", &["--undo"])).is_empty());
}

/// Its name, and its parameters with their values.
type Cmdlet = (String, Vec<(String, Vec<String>)>);

/// The cmdlets of a line with their parameters, in the part of PowerShell that the rules keep to: single-quoted strings,
/// bare words, commas, pipes. Anything else is a mistake.
fn cmdlets(line: &str) -> Vec<Cmdlet> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = if first == '\'' {
            let end = rest[1..].find('\'').expect("an open string") + 2;
            rest.split_at(end)
        } else if first == ',' || first == '|' {
            rest.split_at(1)
        } else {
            let end = rest.find([' ', ',', '|', '\'']).unwrap_or(rest.len());
            let word = &rest[..end];
            assert!(
                word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
                "{word:?} in {line}"
            );
            rest.split_at(end)
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    let parse = |tokens: &[&str]| {
        let (name, mut rest) = tokens.split_first().expect("an empty pipe");
        assert!(
            name.split_once('-')
                .is_some_and(|(verb, noun)| !verb.is_empty() && !noun.is_empty()),
            "{name}"
        );
        let mut parameters = Vec::new();
        while let Some((parameter, after)) = rest.split_first() {
            let parameter = parameter
                .strip_prefix('-')
                .unwrap_or_else(|| panic!("{parameter} is no parameter in {line}"));
            let until = after
                .iter()
                .position(|token| token.starts_with('-'))
                .unwrap_or(after.len());
            let mut values = Vec::new();
            for (at, token) in after[..until].iter().enumerate() {
                assert_eq!(*token == ",", at % 2 == 1, "{line}");
                if at % 2 == 0 {
                    values.push(token.trim_matches('\'').to_owned());
                }
            }
            assert_eq!(until % 2, 1, "-{parameter} without a value in {line}");
            parameters.push((parameter.to_owned(), values));
            rest = &after[until..];
        }
        ((*name).to_owned(), parameters)
    };
    tokens.split(|token| *token == "|").map(parse).collect()
}

#[test]
fn powershell_keeps_to_its_grammar_and_replaces_its_own_group_first() {
    let text = rules("windows", &["--role=client", "--server=10.20.0.10"]) + &rules("windows", &[]);
    let mut calls = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if line != "$ErrorActionPreference = 'Stop'" {
            calls.push(cmdlets(line));
        }
    }
    let removes = calls
        .iter()
        .filter(|call| call[0].0 == "Get-NetFirewallRule" && call[1].0 == "Remove-NetFirewallRule");
    assert_eq!((calls[0][0].0.as_str(), removes.count()), ("Get-NetFirewallRule", 2));
    const KNOWN: [&str; 9] = [
        "Group",
        "DisplayName",
        "Direction",
        "Action",
        "Profile",
        "Protocol",
        "LocalPort",
        "RemotePort",
        "RemoteAddress",
    ];
    let mut ranges = Vec::new();
    for call in calls.iter().filter(|call| call[0].0 == "New-NetFirewallRule") {
        assert_eq!(call[1].0, "Out-Null");
        for (parameter, values) in &call[0].1 {
            assert!(KNOWN.contains(&parameter.as_str()), "{parameter}");
            match parameter.as_str() {
                "Group" => assert_eq!(values, &["fwdrill"]),
                "LocalPort" => ranges.extend(values.iter().cloned()),
                _ => {}
            }
        }
    }
    ranges.sort_unstable();
    assert_eq!(
        ranges,
        [
            "10443",
            "2021",
            "2222",
            "2222",
            "2225",
            "3023-3332",
            "3333",
            "3334-4022"
        ]
    );
}
