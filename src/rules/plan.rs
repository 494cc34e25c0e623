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
    /// The other way: from the server to clients, tasks; what the host of a client or an update agent asks its server.
    pub(crate) back: Vec<Opening>,
    /// The estate's ports that `openings` are some of: the rest of these is refused.
    pub(crate) decided: PortSet,
    /// The same for `back`, where what is protected is the clients.
    pub(crate) decided_back: PortSet,
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
    /// The host's own. `server` is where a client or an update agent asks, and where its tasks come from; empty: anywhere.
    Host { server: Vec<IpAddr> },
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
            Role::Branch | Role::UpdateAgent => BRANCH,
            Role::Server | Role::Client => OUTSIDE,
        });
        let place = place(estate, options)?;
        let asked = |role| flows(estate, role, vantage);
        let tasks = || tasks(estate, vantage);
        let (openings, back) = match (options.role, &place) {
            (Role::Server | Role::Branch, _) => (asked(options.role)?, tasks()?),
            (Role::UpdateAgent, Place::Host { .. }) => (asked(Role::UpdateAgent)?, asked(Role::Server)?),
            (Role::UpdateAgent, _) => (asked(Role::UpdateAgent)?, Vec::new()),
            (Role::Client, _) => (tasks()?, asked(Role::Server)?),
        };
        ensure!(
            !openings.is_empty(),
            "the estate expects nothing open at the vantage {vantage}: there are no rules to make"
        );
        let mut remarks = unsaid(estate, options, &place);
        remarks.extend(range_remark(estate, options.clients, &openings));
        let decided_back = match options.role {
            Role::Branch => decided(estate, Role::Client, vantage),
            _ => PortSet::default(),
        };
        Ok(Plan {
            decided: decided(estate, options.role, vantage),
            decided_back,
            place,
            openings,
            back,
            remarks,
        })
    }
}

impl Opening {
    /// What a rule's comment says.
    pub(crate) fn comment(&self) -> String {
        format!("fwdrill {}: {}", self.flow.name(), self.flow.title())
    }

    /// The only ones that may come, on a host whose server is at `server`; empty: anybody.
    pub(crate) fn sources<'a>(&self, server: &'a [IpAddr]) -> &'a [IpAddr] {
        if self.flow == Flow::Tasks { server } else { &[] }
    }
}

/// The flows of the role that have to work from the vantage.
fn flows(estate: &Estate, role: Role, vantage: &str) -> anyhow::Result<Vec<Opening>> {
    let wanted = |flow: &Flow| of_role(*flow, role, estate.mode) && estate.expected(vantage, *flow) == Expected::Open;
    let mut openings = Vec::new();
    for flow in estate.flows().filter(wanted) {
        openings.extend(opening(estate, flow)?);
    }
    Ok(openings)
}

/// What the server begins. The guide gives every client that port ("used to receive requests sent from eScan server"): an
/// estate that does without says that it is to be closed.
fn tasks(estate: &Estate, vantage: &str) -> anyhow::Result<Vec<Opening>> {
    let wanted = estate.expected(vantage, Flow::Tasks) != Expected::Closed;
    Ok(opening(estate, Flow::Tasks)?.filter(|_| wanted).into_iter().collect())
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
        Role::Client => false,
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
        Role::UpdateAgent => !matches!(flow, Flow::Events | Flow::System | Flow::Console),
        Role::Server | Role::Branch => true,
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
        idle(
            options,
            "host",
            &["--outside", "--inside", "--inside-network", "--public"],
        )?;
        if options.role == Role::Server {
            idle(options, "host", &["--server"])?;
        }
        return Ok(Place::Host {
            server: options.server.clone(),
        });
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
            idle(options, "routed", &["--inside-network", "--public"])?;
            ensure!(
                options.role == Role::Branch || !crossing.addresses.is_empty(),
                "which server? give --server ADDRESS (again for its IPv6 address)"
            );
            Ok(Place::Routed(crossing))
        }
    }
}

/// Fails where one of these options is given: it would change nothing, and whoever gave it thinks otherwise.
fn idle(options: &Options, topology: &str, flags: &[&str]) -> anyhow::Result<()> {
    let given = |flag: &str| match flag {
        "--outside" => options.outside.is_some(),
        "--inside" => options.inside.is_some(),
        "--inside-network" => options.inside_network.is_some(),
        "--public" => options.public.is_some(),
        _ => !options.server.is_empty(),
    };
    match flags.iter().find(|flag| given(flag)) {
        None => Ok(()),
        Some(flag) => bail!(
            "{flag} changes nothing for the role {} with the topology {topology}: leave it out, or give another --topology",
            options.role.name()
        ),
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
        Place::Host { server } if options.role != Role::Server && server.is_empty() => {
            remarks.push("for any server: --server ADDRESS narrows the rules to the update server".to_owned());
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
    if options.role == Role::UpdateAgent && !matches!(place, Place::Host { .. }) {
        remarks.push("what the update agent fetches from its server goes out by the rules of --role branch".to_owned());
    }
    if estate.ftp.enabled && estate.ftp.active && estate.mode == Mode::Ftp {
        remarks.push(
            "ftp.active: active mode needs connections from the server to any port of clients; not opened".to_owned(),
        );
    }
    remarks
}

/// Whether the range has the size that the clients need. What is opened is always what the server hands out.
fn range_remark(estate: &Estate, clients: Option<u32>, openings: &[Opening]) -> Option<String> {
    let range = openings.iter().find(|opening| opening.flow == Flow::FtpPassive)?;
    let asked = clients.is_some();
    let clients = clients.unwrap_or(estate.clients);
    let (ports, needed) = (range.ports.len(), smallest_range(clients));
    let planned = &estate.ftp.passive_ports;
    if ports < needed {
        return Some(format!(
            "the passive range {planned} has {ports} ports, and {clients} clients at once need {needed}: enlarge \
             ftp.passive_ports, here and at the server"
        ));
    }
    // Who says how many clients there are asks for the size.
    let enough: PortSet = range.ports.iter().take(needed).collect();
    (asked && needed < ports).then(|| {
        format!(
            "{clients} clients at once need {needed} of the {ports} ports of the passive range: with ftp.passive_ports = \
             \"{enough}\", here and at the server, {} fewer are open",
            ports - needed
        )
    })
}
