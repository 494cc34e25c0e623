//! The network around a production firewall: its zones, who stands where, and which addresses are free.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// A network at the firewall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Zone {
    pub(super) name: String,
    pub(super) interface: String,
    /// The firewall's addresses there, with the networks' prefixes.
    pub(super) addresses: Vec<IpNet>,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topology {
    /// The first one is the outside.
    pub(super) zones: Vec<Zone>,
    pub(super) server: Vec<IpAddr>,
    pub(super) client: Vec<IpAddr>,
    pub(super) update_agent: Vec<IpAddr>,
    pub(super) dial: BTreeMap<String, Vec<IpAddr>>,
    pub(super) bridges: BTreeMap<String, Vec<String>>,
}

/// IP's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn of(address: IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// The one of these that is of this family.
    pub(super) fn pick(self, addresses: &[IpAddr]) -> Option<IpAddr> {
        addresses.iter().copied().find(|address| Family::of(*address) == self)
    }
}

/// Where a client stands that no network of the firewall has. Those of RFC 5737 and 3849 are on many a firewall's list of
/// addresses that cannot be, so there are others; nothing leaves the namespace.
const CLIENTS: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10)),
    IpAddr::V4(Ipv4Addr::new(11, 22, 33, 10)),
    IpAddr::V4(Ipv4Addr::new(45, 67, 89, 10)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10)),
    IpAddr::V6(Ipv6Addr::new(0x2a00, 0xf00d, 1, 0, 0, 0, 0, 0x10)),
];

impl Topology {
    pub(super) fn interfaces(&self) -> BTreeSet<String> {
        let ports = self.bridges.values().flatten().cloned();
        self.zones
            .iter()
            .map(|zone| zone.interface.clone())
            .chain(ports)
            .collect()
    }

    /// The zone behind the firewall, or in front of it, that has this address.
    pub(super) fn zone_of(&self, address: IpAddr) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.net_of(address).is_some())
    }

    pub(super) fn outside(&self) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.name == "outside")
    }

    /// Whether the address is somebody's already.
    fn taken(&self, address: IpAddr) -> bool {
        let own = self
            .zones
            .iter()
            .flat_map(|zone| &zone.addresses)
            .any(|net| net.addr() == address);
        own || [&self.server, &self.client, &self.update_agent]
            .into_iter()
            .any(|all| all.contains(&address))
    }

    /// An address of a network that nobody has; from the fiftieth on, if it is that large.
    pub(super) fn free(&self, net: &IpNet) -> Option<IpAddr> {
        let usable = || {
            net.hosts()
                .filter(|address| *address != net.network() && !self.taken(*address))
        };
        usable().nth(48).or_else(|| usable().next())
    }

    /// Where the outside's client stands: as the user says, else an address that no rule compares with.
    pub(super) fn client(&self, family: Family, mentioned: &BTreeSet<IpNet>) -> Option<IpAddr> {
        let clear = |address: &IpAddr| {
            let compared = mentioned
                .iter()
                .any(|net| net.prefix_len() > 0 && net.contains(address));
            !compared && self.zone_of(*address).is_none()
        };
        let mut candidates = CLIENTS.iter().copied().filter(|address| Family::of(*address) == family);
        family.pick(&self.client).or_else(|| candidates.find(clear))
    }

    /// What of it cannot be.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        for (at, zone) in self.zones.iter().enumerate() {
            if let Some(other) = self.zones[..at].iter().find(|other| other.interface == zone.interface) {
                mistakes.push(format!(
                    "{} and {} have the same interface {}",
                    other.name, zone.name, zone.interface
                ));
            }
        }
        for server in &self.server {
            if self.zone_of(*server).is_none() {
                mistakes.push(format!("server: {server} lies in none of the networks described"));
            }
            if self
                .zones
                .iter()
                .flat_map(|zone| &zone.addresses)
                .any(|net| net.addr() == *server)
            {
                mistakes.push(format!("server: {server} is the firewall's own address"));
            }
        }
        for bridge in self.bridges.keys() {
            if !self.zones.iter().any(|zone| zone.interface == *bridge) {
                mistakes.push(format!("bridge: {bridge} is no interface described"));
            }
        }
        mistakes
    }
}

impl Zone {
    /// The network here that has this address.
    pub(super) fn net_of(&self, address: IpAddr) -> Option<&IpNet> {
        self.addresses.iter().find(|net| net.contains(&address))
    }

    /// The firewall's addresses of this family here.
    pub(super) fn of(&self, family: Family) -> impl Iterator<Item = &IpNet> {
        self.addresses
            .iter()
            .filter(move |net| Family::of(net.addr()) == family)
    }
}
