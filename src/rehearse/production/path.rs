//! From a description and a ruleset to labs: the firewall with its production interfaces, and around it what the description
//! has, one lab for each place that a client stands in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::Context;
use fwdrill_protocol::flow::Expected;
use ipnet::IpNet;

use super::ruleset::Ruleset;
use super::topology::{Family, Topology, Zone};
use crate::rehearse::inside::unconnected;
use crate::rehearse::lab::{End, Lab, LabHost, Process, Tracing, Wire};

const FIREWALL: &str = "firewall";
const INTERNET: &str = "internet";
const SERVER: &str = "server";
const CLIENT: &str = "client";

/// One client's view through the firewall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// What the estate calls the place.
    pub(super) vantage: String,
    pub(super) family: Family,
    /// Where the client stands.
    pub(super) client: IpAddr,
    /// What it dials.
    pub(super) target: IpAddr,
    pub(super) server: IpAddr,
    /// What is expected of tasks from the server to this client, where it is not the estate's word.
    pub(super) tasks: Option<Expected>,
}

/// What both ends are told besides.
#[derive(Debug, Clone, Default)]
pub(super) struct Programs {
    /// Arguments that make the estate.
    pub(super) estate: Vec<String>,
    pub(super) server: Vec<String>,
    pub(super) probe: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) trace: bool,
}

/// The lab for one view.
pub(super) fn lab(view: &View, topology: &Topology, ruleset: &Ruleset, programs: &Programs) -> anyhow::Result<Lab> {
    let mut network = Network::new(topology, ruleset);
    network.server(view.server)?;
    network.client(view.client)?;
    let process = |on: &str, words: &[&[String]]| Process {
        on: on.to_owned(),
        arguments: words.concat(),
    };
    let word = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let probe = [format!("--from={}", view.vantage), "--format=json".to_owned()];
    let mut serve = word(&["serve", "--announce", "--grace=1"]);
    if view.family == Family::V6 {
        serve.push("--set=server.bind=::".to_owned());
    }
    let target = [view.target.to_string()];
    let tasks = view
        .tasks
        .map(|expected| format!("--set=expect.{}.tasks={}", view.vantage, expected.name()));
    let tasks: Vec<String> = tasks.into_iter().collect();
    Ok(Lab {
        hosts: network.hosts.into_values().collect(),
        wires: network
            .wires
            .into_values()
            .filter(|wire| !wire.ends.is_empty())
            .collect(),
        names: "127.0.0.1 localhost\n::1 localhost\n".to_owned(),
        daemons: Vec::new(),
        server: Some(process(SERVER, &[&serve, &programs.estate, &programs.server])),
        daemons_after: Vec::new(),
        probe: process(
            CLIENT,
            &[
                &word(&["probe"]),
                &target,
                &probe,
                &programs.estate,
                &tasks,
                &programs.probe,
            ],
        ),
        programs: BTreeMap::new(),
        keep: false,
        tracing: ruleset.tables().filter(|_| programs.trace).map(|tables| Tracing {
            on: FIREWALL.to_owned(),
            tables,
            client: view.client,
            server: view.server,
        }),
        environment: programs.environment.clone(),
    })
}

struct Network<'a> {
    topology: &'a Topology,
    hosts: BTreeMap<&'static str, LabHost>,
    /// By zone, and one more for who stands beyond the outside.
    wires: BTreeMap<String, Wire>,
}

impl<'a> Network<'a> {
    fn new(topology: &'a Topology, ruleset: &Ruleset) -> Self {
        let mut network = Network {
            topology,
            hosts: BTreeMap::new(),
            wires: BTreeMap::new(),
        };
        let mut firewall = host(FIREWALL, true);
        for zone in &topology.zones {
            let plug = match topology.bridges.get(&zone.interface) {
                Some(ports) => {
                    firewall.prepare.extend(bridge(zone, ports));
                    ports.first().unwrap_or(&zone.interface)
                }
                None => {
                    let addresses = zone
                        .addresses
                        .iter()
                        .map(|net| (zone.interface.clone(), net.to_string()));
                    firewall.addresses.extend(addresses);
                    &zone.interface
                }
            };
            network.plug(&zone.name, FIREWALL, plug);
        }
        // It has to be there, and nothing more.
        let known = topology.interfaces();
        let dummies: BTreeSet<&String> = ruleset.dummies.iter().filter(|name| !known.contains(*name)).collect();
        firewall
            .prepare
            .extend(dummies.iter().enumerate().map(|(at, name)| unconnected(at, name)));
        firewall.rulesets.clone_from(&ruleset.loadables);
        network.hosts.insert(FIREWALL, firewall);
        network.internet();
        network
    }

    /// The router in front of the firewall.
    fn internet(&mut self) {
        let Some(outside) = self.topology.outside() else { return };
        let mut internet = host(INTERNET, true);
        let mut defaults = Vec::new();
        let mut networks = BTreeSet::new();
        for net in &outside.addresses {
            // A firewall may have several addresses in one network.
            if !networks.insert(net.trunc()) {
                continue;
            }
            let Some(own) = self.topology.free(net) else { continue };
            // Every network behind the firewall, in case nothing is translated.
            let behind = self.topology.zones.iter().filter(|zone| zone.name != outside.name);
            let family = Family::of(own);
            let first = outside.of(family).next() == Some(net);
            internet.addresses.push(("firewall".to_owned(), with_prefix(own, net)));
            if first {
                let routes = behind
                    .flat_map(|zone| zone.of(family))
                    .map(|there| format!("{} via {}", there.trunc(), net.addr()));
                internet.routes.extend(routes);
                defaults.push(format!("default via {own}"));
            }
        }
        self.hosts.insert(INTERNET, internet);
        let name = outside.name.clone();
        self.plug(&name, INTERNET, "firewall");
        if let Some(firewall) = self.hosts.get_mut(FIREWALL) {
            match self.topology.bridges.contains_key(&outside.interface) {
                // A bridge has its addresses only when it is made.
                true => firewall
                    .prepare
                    .extend(defaults.iter().map(|route| format!("ip route add {route}"))),
                false => firewall.routes.extend(defaults),
            }
        }
    }

    fn server(&mut self, address: IpAddr) -> anyhow::Result<()> {
        let zone = self
            .topology
            .zone_of(address)
            .with_context(|| format!("no network has the server {address}"))?;
        self.stand(SERVER, address, zone)
    }

    fn client(&mut self, address: IpAddr) -> anyhow::Result<()> {
        match self.topology.zone_of(address) {
            Some(zone) => self.stand(CLIENT, address, zone),
            None => self.beyond(address),
        }
    }

    /// A host in one of the firewall's networks.
    fn stand(&mut self, name: &'static str, address: IpAddr, zone: &Zone) -> anyhow::Result<()> {
        let net = zone
            .net_of(address)
            .with_context(|| format!("{} has no network for {address}", zone.name))?;
        let mut host = host(name, false);
        host.addresses.push(("eth0".to_owned(), with_prefix(address, net)));
        host.routes.push(format!("default via {}", net.addr()));
        self.hosts.insert(name, host);
        self.plug(&zone.name, name, "eth0");
        Ok(())
    }

    /// The client, behind the router in front of the firewall.
    fn beyond(&mut self, address: IpAddr) -> anyhow::Result<()> {
        let length = if address.is_ipv4() { 24 } else { 64 };
        let net = IpNet::new(address, length).context("no such network")?;
        let gateway = net
            .hosts()
            .find(|one| *one != address && *one != net.network())
            .context("no room for a router")?;
        let mut host = host(CLIENT, false);
        host.addresses.push(("eth0".to_owned(), net.to_string()));
        host.routes.push(format!("default via {gateway}"));
        self.hosts.insert(CLIENT, host);
        if let Some(internet) = self.hosts.get_mut(INTERNET) {
            internet
                .addresses
                .push(("clients".to_owned(), with_prefix(gateway, &net)));
        }
        self.plug("beyond", CLIENT, "eth0");
        self.plug("beyond", INTERNET, "clients");
        Ok(())
    }

    fn plug(&mut self, wire: &str, host: &str, interface: &str) {
        let wire = self.wires.entry(wire.to_owned()).or_insert_with(|| Wire {
            ends: Vec::new(),
            mtu: None,
            through: None,
        });
        wire.ends.push(End {
            host: host.to_owned(),
            interface: interface.to_owned(),
        });
    }
}

fn host(name: &str, router: bool) -> LabHost {
    LabHost {
        name: name.to_owned(),
        router,
        addresses: Vec::new(),
        routes: Vec::new(),
        // ICMP errors are not rate limited, so that every run sees the same.
        sysctl: if router {
            vec![("net.ipv4.icmp_ratelimit".to_owned(), "0".to_owned())]
        } else {
            Vec::new()
        },
        prepare: Vec::new(),
        rulesets: Vec::new(),
        run: Vec::new(),
    }
}

/// A bridge: its first port has the zone's cable, the others nothing.
fn bridge(zone: &Zone, ports: &[String]) -> Vec<String> {
    let name = &zone.interface;
    let mut commands = vec![format!("ip link add name {name} type bridge mcast_snooping 0")];
    for (at, port) in ports.iter().enumerate() {
        if at > 0 {
            // Numbers that no interface has that is only named.
            commands.push(unconnected(1000 + at, port));
        }
        commands.push(format!("ip link set dev {port} master {name}"));
    }
    for net in &zone.addresses {
        let nodad = if net.addr().is_ipv6() { " nodad" } else { "" };
        commands.push(format!("ip address add {net} dev {name}{nodad}"));
    }
    commands.push(format!("ip link set dev {name} up"));
    commands
}

fn with_prefix(address: IpAddr, net: &IpNet) -> String {
    format!("{address}/{}", net.prefix_len())
}
