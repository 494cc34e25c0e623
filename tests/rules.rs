//! The rules that `fwdrill rules` prints, loaded by the real front ends in namespaces, with real traffic across them: the
//! plan works as it is, applied twice it is the same, without a rule the diagnosis names what is missing, and the undo
//! leaves what was there before.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "rules/bench.rs"]
mod bench;
#[path = "rules/front_end.rs"]
mod front_end;
#[path = "rules/places.rs"]
mod places;
mod support;

use bench::{Place, Trial, healthy, pass, without};
use front_end::FrontEnd;
use places::{
    AGENT_HOST, BRANCH, BRANCH_OF_NAT, CLIENT_HOST, CLIENT_HOST_OF_NAT, FORWARDING, FORWARDING_TO_AGENT, HAIRPIN,
    IN_FRONT, IN_FRONT_OF_AGENT, SERVER_HOST,
};

/// One place with its rules, and every flow whose rules are taken out, with what the diagnosis has to say then.
type Case = (Place, &'static [&'static str], &'static [(&'static str, &'static str)]);

/// Loads and drives all of them.
fn carries_the_plan(front: FrontEnd, cases: &[Case]) {
    let trials = cases.iter().flat_map(|(place, arguments, faults)| {
        let whole = healthy(front, *place, arguments);
        let broken = faults.iter().map(move |(flow, finding)| without(flow, finding, whole));
        [whole].into_iter().chain(broken)
    });
    pass(&trials.collect::<Vec<Trial>>());
}

const SERVER: &[&str] = &["--role=server", "--set=expect.outside.console=closed"];

/// Arguments for a firewall with these interfaces, or zones.
macro_rules! between {
    ($outside:literal, $inside:literal, $($more:literal),*) => {
        &[concat!("--outside=", $outside), concat!("--inside=", $inside), $($more),*]
    };
}
macro_rules! in_front {
    ($outside:literal, $inside:literal) => {
        between!(
            $outside,
            $inside,
            "--topology=routed",
            "--server=10.20.0.10",
            "--server=2001:db8:20::10",
            "--set=expect.outside.console=closed"
        )
    };
}
macro_rules! forwarding {
    ($outside:literal, $inside:literal) => {
        between!(
            $outside,
            $inside,
            "--topology=dnat",
            "--server=10.20.0.10",
            "--public=203.0.113.2",
            "--set=expect.outside.console=closed"
        )
    };
}
macro_rules! in_front_of_agent {
    ($outside:literal, $inside:literal) => {
        between!(
            $outside,
            $inside,
            "--role=update-agent",
            "--topology=routed",
            "--server=10.20.0.10",
            "--server=2001:db8:20::10"
        )
    };
}
macro_rules! forwarding_to_agent {
    ($outside:literal, $inside:literal) => {
        between!(
            $outside,
            $inside,
            "--role=update-agent",
            "--topology=dnat",
            "--server=10.20.0.10",
            "--public=203.0.113.2"
        )
    };
}
macro_rules! branch {
    ($outside:literal, $inside:literal) => {
        between!(
            $outside,
            $inside,
            "--role=branch",
            "--server=10.20.0.10",
            "--server=2001:db8:20::10",
            "--set=expect.branch.console=closed"
        )
    };
}
macro_rules! branch_of_nat {
    ($outside:literal, $inside:literal) => {
        between!(
            $outside,
            $inside,
            "--role=branch",
            "--server=203.0.113.2",
            "--set=expect.branch.console=closed"
        )
    };
}

const FORWARDING_BOTH_WAYS: &[&str] = &[
    "--topology=dnat",
    "--outside=wan",
    "--inside=lan",
    "--server=10.20.0.10",
    "--public=203.0.113.2",
    "--inside-network=10.20.0.0/24",
    "--set=expect.outside.console=closed",
];
const AGENT: &[&str] = &["--role=update-agent", "--server=10.20.0.10", "--server=2001:db8:20::10"];
const CLIENT: &[&str] = &["--role=client", "--server=10.20.0.10", "--server=2001:db8:20::10"];
const CLIENT_OF_NAT: &[&str] = &["--role=client", "--server=203.0.113.2"];

/// The server's own host, and firewalls in front of it.
const AT_THE_SERVER: &[Case] = &[
    (
        SERVER_HOST,
        SERVER,
        &[
            ("ftp-passive", "server-host-blocked"),
            ("version", "server-host-blocked"),
            ("ftp-control", "server-host-blocked"),
        ],
    ),
    (
        IN_FRONT,
        in_front!("wan", "lan"),
        &[
            ("ftp-passive", "passive-range-blocked"),
            ("version", "port-dropped"),
            ("ftp-control", "port-dropped"),
        ],
    ),
    (
        FORWARDING,
        FORWARDING_BOTH_WAYS,
        &[
            ("ftp-passive", "passive-range-not-forwarded"),
            ("version", "forward-missing"),
            ("events", "forward-missing"),
        ],
    ),
    (HAIRPIN, FORWARDING_BOTH_WAYS, &[]),
];

/// Update agents and the firewalls in front of them, clients, and branches.
const ELSEWHERE: &[Case] = &[
    (
        AGENT_HOST,
        AGENT,
        &[
            ("version", "server-host-blocked"),
            ("ftp-passive", "server-host-blocked"),
        ],
    ),
    (
        IN_FRONT_OF_AGENT,
        in_front_of_agent!("wan", "lan"),
        &[("version", "port-dropped")],
    ),
    (
        FORWARDING_TO_AGENT,
        forwarding_to_agent!("wan", "lan"),
        &[("ftp-passive", "passive-range-not-forwarded")],
    ),
    (CLIENT_HOST, CLIENT, &[("tasks", "task-port-host-blocked")]),
    (CLIENT_HOST_OF_NAT, CLIENT_OF_NAT, &[]),
    (
        BRANCH,
        branch!("wan", "lan"),
        &[
            ("version", "client-egress-blocked"),
            ("ftp-passive", "client-egress-data-blocked"),
            ("tasks", "task-port-host-blocked"),
        ],
    ),
    (
        BRANCH_OF_NAT,
        branch_of_nat!("wan", "lan"),
        &[("version", "client-egress-blocked")],
    ),
];

#[test]
fn nftables_carries_the_plan_and_without_a_rule_the_diagnosis_names_it() {
    carries_the_plan(FrontEnd::Nftables, AT_THE_SERVER);
}

#[test]
fn nftables_carries_the_plan_of_agents_clients_and_branches() {
    carries_the_plan(FrontEnd::Nftables, ELSEWHERE);
}

#[test]
fn a_table_that_drops_the_rest_carries_the_plan_by_chains_of_nftables() {
    carries_the_plan(
        FrontEnd::NftablesWithin,
        &[
            (SERVER_HOST, SERVER, &[("ftp-passive", "server-host-blocked")]),
            (IN_FRONT, in_front!("wan", "lan"), &[("version", "port-dropped")]),
            (FORWARDING, FORWARDING_BOTH_WAYS, &[]),
            (HAIRPIN, FORWARDING_BOTH_WAYS, &[]),
            (AGENT_HOST, AGENT, &[]),
            (
                CLIENT_HOST,
                CLIENT,
                &[("tasks", "task-port-host-blocked"), ("version", "client-host-blocked")],
            ),
            (
                BRANCH,
                branch!("wan", "lan"),
                &[("ftp-passive", "client-egress-data-blocked")],
            ),
            (BRANCH_OF_NAT, branch_of_nat!("wan", "lan"), &[]),
        ],
    );
}

#[test]
fn iptables_carries_the_plan_and_without_a_rule_the_diagnosis_names_it() {
    carries_the_plan(FrontEnd::Iptables { legacy: false }, AT_THE_SERVER);
}

#[test]
fn iptables_carries_the_plan_of_agents_clients_and_branches() {
    carries_the_plan(FrontEnd::Iptables { legacy: false }, ELSEWHERE);
}

/// What a host begins itself is refused by iptables where no rule lets it out.
#[test]
fn legacy_iptables_carries_the_plan_and_without_a_rule_the_diagnosis_names_it() {
    carries_the_plan(FrontEnd::Iptables { legacy: true }, AT_THE_SERVER);
}

#[test]
fn legacy_iptables_carries_the_plan_of_agents_clients_and_branches() {
    carries_the_plan(
        FrontEnd::Iptables { legacy: true },
        &[
            (AGENT_HOST, AGENT, &[]),
            (CLIENT_HOST, CLIENT, &[("version", "client-host-blocked")]),
            (BRANCH, branch!("wan", "lan"), &[]),
        ],
    );
}

#[test]
fn ufw_carries_the_plan_and_without_a_rule_the_diagnosis_names_it() {
    carries_the_plan(
        FrontEnd::Ufw,
        &[
            (SERVER_HOST, SERVER, &[("ftp-passive", "server-host-blocked")]),
            (IN_FRONT, in_front!("wan", "lan"), &[("version", "port-dropped")]),
            (AGENT_HOST, AGENT, &[]),
            (IN_FRONT_OF_AGENT, in_front_of_agent!("wan", "lan"), &[]),
            (
                CLIENT_HOST,
                CLIENT,
                &[
                    ("tasks", "task-port-host-blocked"),
                    ("ftp-control", "client-host-blocked"),
                ],
            ),
            (
                BRANCH,
                branch!("wan", "lan"),
                &[("ftp-passive", "client-egress-data-blocked")],
            ),
            (BRANCH_OF_NAT, branch_of_nat!("wan", "lan"), &[]),
        ],
    );
}

#[test]
fn firewalld_carries_the_plan_and_without_a_rule_the_diagnosis_names_it() {
    carries_the_plan(
        FrontEnd::Firewalld,
        &[
            (SERVER_HOST, SERVER, &[("ftp-passive", "server-host-blocked")]),
            (
                IN_FRONT,
                in_front!("external", "internal"),
                &[("version", "port-rejected")],
            ),
            (
                FORWARDING,
                forwarding!("external", "internal"),
                &[("ftp-passive", "passive-range-rejected")],
            ),
        ],
    );
}

#[test]
fn firewalld_carries_the_plan_of_agents_clients_and_branches() {
    carries_the_plan(
        FrontEnd::Firewalld,
        &[
            (AGENT_HOST, AGENT, &[]),
            (FORWARDING_TO_AGENT, forwarding_to_agent!("external", "internal"), &[]),
            (CLIENT_HOST, CLIENT, &[("tasks", "task-port-host-blocked")]),
            (
                BRANCH,
                branch!("external", "internal"),
                &[("version", "client-egress-blocked")],
            ),
            (BRANCH_OF_NAT, branch_of_nat!("external", "internal"), &[]),
        ],
    );
}

#[test]
fn shorewall_carries_the_plan_and_without_a_rule_the_diagnosis_names_it() {
    carries_the_plan(
        FrontEnd::Shorewall,
        &[
            (SERVER_HOST, SERVER, &[("ftp-passive", "server-host-blocked")]),
            (IN_FRONT, in_front!("net", "loc"), &[("version", "port-dropped")]),
            (
                FORWARDING,
                forwarding!("net", "loc"),
                &[("ftp-passive", "passive-range-not-forwarded")],
            ),
        ],
    );
}

#[test]
fn shorewall_carries_the_plan_of_agents_clients_and_branches() {
    carries_the_plan(
        FrontEnd::Shorewall,
        &[
            (AGENT_HOST, AGENT, &[]),
            (FORWARDING_TO_AGENT, forwarding_to_agent!("net", "loc"), &[]),
            (CLIENT_HOST, CLIENT, &[("tasks", "task-port-host-blocked")]),
            (
                BRANCH,
                branch!("net", "loc"),
                &[("ftp-passive", "client-egress-data-blocked")],
            ),
            (BRANCH_OF_NAT, branch_of_nat!("net", "loc"), &[]),
        ],
    );
}
