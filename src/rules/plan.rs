//! What a firewall has to let through for an estate, whatever kind of firewall it is.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, bail, ensure};
use fwdrill_protocol::estate::expectation::OUTSIDE;
use fwdrill_protocol::estate::host::Host;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::estate::{Estate, Mode};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::lint::sizing::smallest_range;
use ipnet::Ipv4Net;

use super::{Options, Role, Topology};

/// Where clients behind a branch firewall stand.
const BRANCH: &str = "branch";

/// New connections that are let through, each with the flow it belongs to. Answers follow by connection tracking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) place: Place,
    /// From clients to the service; for [`Role::Client`], from the server to the client.
    pub(crate) openings: Vec<Opening>,
    /// From the server to clients: tasks.
    pub(crate) tasks: Option<Opening>,
    /// Ports of the estate that nobody shall reach here, other than the host itself, and those of `openings`: where only
    /// the estate's ports are decided about, what is not opened is refused.
    pub(crate) decided: PortSet,
    /// What whoever applies the rules has to know, a sentence each.
    pub(crate) remarks: Vec<String>,
}

/// Ports of one flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) flow: Flow,
    pub(crate) ports: PortSet,
}

/// Which firewall it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// The host's own; `sources` are the only ones that may come, or empty for anybody.
    Host { sources: Vec<IpAddr> },
    /// One that packets cross unchanged.
    Routed(Crossing),
    /// One that forwards its own public address to the server.
    Dnat {
        crossing: Crossing,
        public: Ipv4Addr,
        server: Ipv4Addr,
        /// Clients beside the server, who dial the public address too.
        hairpin: Option<Ipv4Net>,
    },
}

/// The two sides of a firewall between clients and server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Crossing {
    /// Interface (or zone) of the clients.
    pub(crate) clients: String,
    /// Interface (or zone) of the server.
    pub(crate) server: String,
    /// Its addresses; empty: any.
    pub(crate) addresses: Vec<IpAddr>,
}

impl Crossing {
    /// The server's addresses of one family; `None` stands for any address, where none is given at all.
    pub(crate) fn addresses(&self, family: Family) -> Vec<Option<IpAddr>> {
        if self.addresses.is_empty() {
            return vec![None];
        }
        let of_family = self.addresses.iter().filter(|address| family.has(address));
        of_family.copied().map(Some).collect()
    }
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) fn has(self, address: &IpAddr) -> bool {
        address.is_ipv4() == (self == Family::V4)
    }
}

impl Plan {
    /// The plan of an estate; fails where an option is missing without which rules would be wrong.
    pub(crate) fn new(estate: &Estate, options: &Options) -> anyhow::Result<Plan> {
        ensure!(
            estate.ftp.passive_listen.is_empty() || matches!(options.role, Role::Client | Role::Branch),
            "ftp.passive_listen: which firewall turns the passive ports into others is not known, so that its rules and those of \
             the ones beside it cannot be made"
        );
        let vantage = options.from.as_deref().unwrap_or(match options.role {
            Role::Branch => BRANCH,
            _ => OUTSIDE,
        });
        let mut remarks = Vec::new();
        let openings = openings(estate, options.role, vantage)?;
        ensure!(
            !openings.is_empty(),
            "the estate expects nothing open at the vantage {vantage}: there are no rules to make"
        );
        let place = place(estate, options)?;
        let task_port = match options.role {
            Role::Server | Role::Branch => opening(estate, Flow::Agent)?,
            Role::UpdateAgent | Role::Client => None,
        };
        let tasks = task_port.filter(|_| estate.expected(vantage, Flow::Agent) == Expected::Open);
        remarks.extend(unsaid(estate, options, &place));
        remarks.extend(range_remark(
            estate,
            options.clients.unwrap_or(estate.clients),
            &openings,
        ));
        Ok(Plan {
            decided: decided(estate, options.role, vantage),
            place,
            openings,
            tasks,
            remarks,
        })
    }
}

impl Opening {
    /// What a rule's comment says.
    pub(crate) fn comment(&self) -> String {
        format!("fwdrill {}: {}", self.flow.name(), self.flow.title())
    }
}

/// The flows of the role that have to work from the vantage.
fn openings(estate: &Estate, role: Role, vantage: &str) -> anyhow::Result<Vec<Opening>> {
    let wanted = |flow: &Flow| of_role(*flow, role, estate.mode) && estate.expected(vantage, *flow) == Expected::Open;
    let mut openings = Vec::new();
    for flow in estate.flows().filter(wanted) {
        openings.extend(opening(estate, flow)?);
    }
    Ok(openings)
}

/// What listens in a role, by the guide's lists.
fn of_role(flow: Flow, role: Role, mode: Mode) -> bool {
    match role {
        Role::Server | Role::Branch => true,
        Role::UpdateAgent => match flow {
            Flow::FtpControl | Flow::FtpPassive => mode == Mode::Ftp,
            Flow::Http => mode == Mode::Http,
            Flow::Version | Flow::Agent => true,
            _ => false,
        },
        Role::Client => flow == Flow::Agent,
    }
}

fn opening(estate: &Estate, flow: Flow) -> anyhow::Result<Option<Opening>> {
    let ports = match estate.port(flow) {
        Some(0) => bail!(
            "{} is 0, any free port: rules need the port itself",
            Estate::port_key(flow)
        ),
        Some(port) => PortSet::range(port, port),
        None => estate.handed_out_ports(),
    };
    ensure!(
        !ports.is_empty(),
        "{} is empty, any free port: rules need the range itself",
        Estate::port_key(flow)
    );
    Ok(Some(Opening { flow, ports }))
}

/// Every port that something of the role listens on, less those of flows that may be either way.
fn decided(estate: &Estate, role: Role, vantage: &str) -> PortSet {
    let here = |flow: &Flow| match role {
        Role::Client => matches!(flow, Flow::Agent | Flow::SelfEvents),
        Role::Server | Role::UpdateAgent | Role::Branch => true,
    };
    let strict = |flow: &Flow| estate.expected(vantage, *flow) != Expected::Any;
    let flows: Vec<Flow> = estate.flows().filter(here).filter(strict).collect();
    let range = flows.contains(&Flow::FtpPassive).then(|| estate.handed_out_ports());
    let listeners = flows.iter().filter_map(|flow| estate.port(*flow));
    listeners.chain(range.iter().flat_map(PortSet::iter)).collect()
}

fn place(estate: &Estate, options: &Options) -> anyhow::Result<Place> {
    let topology = options.topology.unwrap_or(match options.role {
        Role::Branch => Topology::Routed,
        _ => Topology::Host,
    });
    if topology == Topology::Host {
        ensure!(
            options.role != Role::Branch,
            "the role branch is a firewall that clients go out through: its topology is routed"
        );
        // A server's clients are anybody; a client's tasks come from its server alone.
        let sources = if options.role == Role::Client {
            options.server.clone()
        } else {
            Vec::new()
        };
        return Ok(Place::Host { sources });
    }
    ensure!(
        options.role != Role::Client,
        "the role client is a client's own firewall: its topology is host (for the firewall of its network, --role branch)"
    );
    let side = |name: &Option<String>, flag: &str| {
        name.clone().with_context(|| {
            format!("which side is which? give {flag} INTERFACE (for firewalld and shorewall: the zone)")
        })
    };
    let (outside, inside) = (side(&options.outside, "--outside")?, side(&options.inside, "--inside")?);
    ensure!(outside != inside, "--outside and --inside are the same: {outside}");
    let (clients, server) = match options.role {
        Role::Branch => (inside, outside),
        _ => (outside, inside),
    };
    let crossing = Crossing {
        clients,
        server,
        addresses: options.server.clone(),
    };
    match topology {
        Topology::Dnat => dnat(estate, options, crossing),
        _ => {
            ensure!(
                options.role == Role::Branch || !crossing.addresses.is_empty(),
                "which server? give --server ADDRESS (again for its IPv6 address)"
            );
            Ok(Place::Routed(crossing))
        }
    }
}

fn dnat(estate: &Estate, options: &Options, crossing: Crossing) -> anyhow::Result<Place> {
    ensure!(
        options.role != Role::Branch,
        "the role branch forwards nothing to its clients: its topology is routed"
    );
    let advertised = match &estate.ftp.advertised_address {
        Some(Host::Address(IpAddr::V4(address))) => Some(*address),
        _ => None,
    };
    let public = (options.public.or(advertised))
        .context("which address do clients dial? give --public ADDRESS, or ftp.advertised_address in the estate")?;
    let server = crossing.addresses.iter().find_map(|address| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    });
    let server = server.context("to which server does it forward? give --server with its IPv4 address")?;
    Ok(Place::Dnat {
        crossing,
        public,
        server,
        hairpin: options.inside_network,
    })
}

/// What the options leave out, for those who did not mean it.
fn unsaid(estate: &Estate, options: &Options, place: &Place) -> Vec<String> {
    let mut remarks = Vec::new();
    let any_v6 = options.server.iter().any(IpAddr::is_ipv6);
    match place {
        Place::Host { sources } if options.role == Role::Client && sources.is_empty() => {
            remarks.push("tasks may come from any address: --server ADDRESS lets in the server's alone".to_owned());
        }
        Place::Host { .. } => {}
        Place::Routed(crossing) if crossing.addresses.is_empty() => {
            remarks.push("for any server: --server ADDRESS narrows the rules to the update server".to_owned())
        }
        Place::Routed(_) | Place::Dnat { .. } if !any_v6 => {
            remarks.push("IPv4 only: give --server again with the server's IPv6 address if clients use it".to_owned());
        }
        Place::Routed(_) | Place::Dnat { .. } => {}
    }
    if let Place::Dnat { hairpin: None, .. } = place {
        remarks.push(
            "no hairpin: clients beside the server cannot dial the public address (--inside-network NETWORK)"
                .to_owned(),
        );
    }
    if estate.ftp.enabled && estate.ftp.active && estate.mode == Mode::Ftp {
        remarks.push(
            "ftp.active: active mode needs connections from the server to any port of clients; not opened".to_owned(),
        );
    }
    remarks
}

fn range_remark(estate: &Estate, clients: u32, openings: &[Opening]) -> Option<String> {
    let range = openings.iter().find(|opening| opening.flow == Flow::FtpPassive)?;
    let (ports, needed) = (range.ports.len(), smallest_range(clients));
    (ports < needed).then(|| {
        format!(
            "the passive range {} has {ports} ports, and {clients} clients at once need {needed}: enlarge ftp.passive_ports, here and at the server",
            estate.ftp.passive_ports
        )
    })
}
