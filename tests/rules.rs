//! The rules that `fwdrill rules` prints, loaded by the real front ends in namespaces, with real traffic across them: the
//! plan works as it is, applied twice it is the same, without a rule the diagnosis names what is missing, and the undo
//! leaves what was there before.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "rules/bench.rs"]
mod bench;
mod support;

use bench::{FrontEnd, healthy, pass, without};

/// Every rule that was taken out, and what the diagnosis has to say: on the server's own host...
const AT_THE_SERVER: &[(&str, &str)] = &[
    ("ftp-passive", "server-host-blocked"),
    ("version", "server-host-blocked"),
    ("ftp-control", "server-host-blocked"),
];

/// ...and on a firewall in front of it, that translates addresses or does not.
const ROUTED: &[(&str, &str)] = &[
    ("ftp-passive", "passive-range-blocked"),
    ("version", "port-dropped"),
    ("ftp-control", "port-dropped"),
];
const DNAT: &[(&str, &str)] = &[
    ("ftp-passive", "passive-range-not-forwarded"),
    ("version", "forward-missing"),
    ("events", "forward-missing"),
];

const SERVER: &[&str] = &["--role=server", "--set=expect.outside.console=closed"];
const IN_FRONT: &[&str] = &[
    "--topology=routed",
    "--outside=wan",
    "--inside=lan",
    "--server=10.20.0.10",
    "--server=2001:db8:20::10",
    "--set=expect.outside.console=closed",
];
const FORWARDING: &[&str] = &[
    "--topology=dnat",
    "--outside=wan",
    "--inside=lan",
    "--server=10.20.0.10",
    "--public=203.0.113.2",
    "--inside-network=10.20.0.0/24",
    "--set=expect.outside.console=closed",
];

/// All that is tried with a front end that can stand anywhere.
fn everywhere(front: FrontEnd) {
    let mut trials = vec![
        healthy(front, "srv", SERVER),
        healthy(front, "fw", IN_FRONT),
        healthy(front, "fw", FORWARDING),
        healthy(front, "fw", FORWARDING).hairpin(),
    ];
    for (host, arguments, faults) in [
        ("srv", SERVER, AT_THE_SERVER),
        ("fw", IN_FRONT, ROUTED),
        ("fw", FORWARDING, DNAT),
    ] {
        trials.extend((faults.iter()).map(|(flow, finding)| without(flow, finding, healthy(front, host, arguments))));
    }
    pass(&trials);
}

#[test]
fn nftables_carries_the_plan_and_without_a_rule_the_diagnosis_names_it() {
    everywhere(FrontEnd::Nftables);
}

#[test]
fn iptables_carries_the_plan_and_without_a_rule_the_diagnosis_names_it() {
    everywhere(FrontEnd::Iptables { legacy: false });
}

#[test]
fn legacy_iptables_carries_the_plan_and_without_a_rule_the_diagnosis_names_it() {
    everywhere(FrontEnd::Iptables { legacy: true });
}

#[test]
fn ufw_carries_the_plan_and_without_a_rule_the_diagnosis_names_it() {
    let front = FrontEnd::Ufw;
    pass(&[
        healthy(front, "srv", SERVER),
        healthy(front, "fw", IN_FRONT),
        without("ftp-passive", "server-host-blocked", healthy(front, "srv", SERVER)),
        without("version", "port-dropped", healthy(front, "fw", IN_FRONT)),
    ]);
}

const BETWEEN_ZONES: &[&str] = &[
    "--topology=routed",
    "--outside=external",
    "--inside=internal",
    "--server=10.20.0.10",
    "--server=2001:db8:20::10",
    "--set=expect.outside.console=closed",
];
const FORWARDING_ZONES: &[&str] = &[
    "--topology=dnat",
    "--outside=external",
    "--inside=internal",
    "--server=10.20.0.10",
    "--public=203.0.113.2",
    "--set=expect.outside.console=closed",
];

#[test]
fn firewalld_carries_the_plan_and_without_a_rule_the_diagnosis_names_it() {
    let front = FrontEnd::Firewalld;
    pass(&[
        healthy(front, "srv", SERVER).traffic_only(),
        healthy(front, "fw", BETWEEN_ZONES).traffic_only(),
        healthy(front, "fw", FORWARDING_ZONES).traffic_only(),
        without("ftp-passive", "server-host-blocked", healthy(front, "srv", SERVER)),
        without("version", "port-rejected", healthy(front, "fw", BETWEEN_ZONES)),
        without(
            "ftp-passive",
            "passive-range-rejected",
            healthy(front, "fw", FORWARDING_ZONES),
        ),
    ]);
}

const NET_TO_LOC: &[&str] = &[
    "--topology=routed",
    "--outside=net",
    "--inside=loc",
    "--server=10.20.0.10",
    "--server=2001:db8:20::10",
    "--set=expect.outside.console=closed",
];
const NET_FORWARDED: &[&str] = &[
    "--topology=dnat",
    "--outside=net",
    "--inside=loc",
    "--server=10.20.0.10",
    "--public=203.0.113.2",
    "--set=expect.outside.console=closed",
];

#[test]
fn shorewall_carries_the_plan_and_without_a_rule_the_diagnosis_names_it() {
    let front = FrontEnd::Shorewall;
    pass(&[
        healthy(front, "srv", SERVER),
        healthy(front, "fw", NET_TO_LOC),
        healthy(front, "fw", NET_FORWARDED),
        without("ftp-passive", "server-host-blocked", healthy(front, "srv", SERVER)),
        without("version", "port-dropped", healthy(front, "fw", NET_TO_LOC)),
        without(
            "ftp-passive",
            "passive-range-not-forwarded",
            healthy(front, "fw", NET_FORWARDED),
        ),
    ]);
}
