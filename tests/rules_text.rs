//! The texts of `fwdrill rules` as they are, and the grammar of those that nothing here can load: PowerShell and Terraform.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "rules_text/powershell.rs"]
mod powershell;
mod support;
#[path = "rules_text/terraform.rs"]
mod terraform;

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

/// What a host of each role needs, in both modes of the guide; the server's in the mode `ftp` is above.
#[test]
fn every_role_reads_as_committed_in_both_modes() {
    const AGENT: &[&str] = &["--role=update-agent", "--server=203.0.113.2"];
    const CLIENT: &[&str] = &["--role=client", "--server=203.0.113.2", "--server=2001:db8:20::10"];
    const HTTP: &[&str] = &["--set=mode=http"];
    for kind in KINDS {
        insta::assert_snapshot!(format!("{kind}_http"), rules(kind, HTTP));
        for (role, arguments) in [("agent", AGENT), ("client", CLIENT)] {
            insta::assert_snapshot!(format!("{kind}_{role}"), rules(kind, arguments));
            insta::assert_snapshot!(format!("{kind}_{role}_http"), rules(kind, &[arguments, HTTP].concat()));
        }
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
    let translating = &["nftables", "iptables", "firewalld", "shorewall"];
    for (name, arguments, kinds) in [
        ("routed", &routed[..], &KINDS[..5]),
        ("branch", &branch[..], &KINDS[..5]),
        ("dnat", &dnat[..], translating),
    ] {
        for kind in kinds {
            insta::assert_snapshot!(format!("{kind}_{name}"), rules(kind, arguments));
            let http = [arguments, &["--set=mode=http"]].concat();
            insta::assert_snapshot!(format!("{kind}_{name}_http"), rules(kind, &http));
        }
    }
    for (name, arguments) in [("host", &["--role=client"][..]), ("dnat", &dnat)] {
        let within = [arguments, &["--table=filter"]].concat();
        insta::assert_snapshot!(format!("nftables_within_{name}"), rules("nftables", &within));
        let undo = [&within[..], &["--undo"]].concat();
        insta::assert_snapshot!(format!("nftables_within_{name}_undo"), rules("nftables", &undo));
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
fn who_says_how_many_clients_there_are_is_told_the_size_of_the_range() {
    let told = stderr(&run(["rules", "--for=ufw", "--clients=100"]));
    assert!(
        told.contains("ftp.passive_ports = \"3023-3122\"") && told.contains("899 fewer"),
        "{told}"
    );
    assert_eq!(stderr(&run(["rules", "--for=ufw"])), "");
}

#[test]
fn an_option_that_changes_nothing_is_a_mistake() {
    let routed = [
        "--for=ufw",
        "--topology=routed",
        "--outside=a",
        "--inside=b",
        "--server=10.20.0.10",
    ];
    let with = |option| refused(&[&routed[..], &[option]].concat());
    assert!(with("--public=203.0.113.2").contains("--public"));
    assert!(with("--inside-network=10.20.0.0/24").contains("--inside-network"));
    assert!(refused(&["--for=ufw", "--outside=a"]).contains("--topology"));
    assert!(refused(&["--for=ufw", "--server=10.20.0.10"]).contains("--server"));
    assert!(refused(&["--for=ufw", "--table=filter"]).contains("nftables"));
}

/// Every role, and what it needs to know.
const ROLES: [&[&str]; 4] = [
    &["--role=server"],
    &["--role=update-agent"],
    &["--role=client", "--server=10.20.0.10"],
    &["--role=branch", "--outside=a", "--inside=b", "--server=10.20.0.10"],
];

/// No rule says a flow twice, or opens a port that belongs to another flow.
#[test]
fn every_port_of_a_flow_is_opened_by_rules_of_that_flow_alone() {
    for arguments in ROLES {
        let text = rules("nftables", arguments);
        let mut rules: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("accept comment \"fwdrill "))
            .collect();
        let all = rules.len();
        rules.sort_unstable();
        rules.dedup();
        assert_eq!(rules.len(), all, "{text}");
        for rule in rules {
            let range = rule.contains("{ 3023-3332, 3334-4022 }");
            assert_eq!(range, rule.contains("ftp-passive"), "{rule}");
            assert_eq!(rule.contains("dport 3333 "), rule.contains("fwdrill version"), "{rule}");
        }
    }
}

#[test]
fn system_ports_are_in_no_rule_that_allows() {
    for kind in KINDS {
        for arguments in &ROLES[..if ["windows", "aws"].contains(&kind) { 3 } else { 4 }] {
            let closed = [
                "--set=expect.outside.console=closed",
                "--set=expect.branch.console=closed",
            ];
            let text = rules(kind, &[arguments, &closed[..]].concat());
            let allows = text.lines().filter(|line| !line.contains("rest"));
            for line in allows {
                for port in ["2226", "2227", "10443"] {
                    assert!(!line.contains(port), "{kind}: {line}");
                }
            }
        }
    }
}
