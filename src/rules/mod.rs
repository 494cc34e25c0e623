//! The rules that an estate needs, for the firewall at hand.
//!
//! ```text
//! estate + options -> Plan -> Kind -> text
//! ```
//! A plan is the same for all kinds; a kind is a renderer, one per file and a line in [`Kind::text`]. All of them keep these
//! promises: applied twice is applied once; what they add is theirs by name, so that the undo takes away that and nothing
//! else; every rule names its flow.

mod aws;
mod firewalld;
mod iptables;
mod nftables;
mod plan;
mod script;
mod shorewall;
mod ufw;
mod windows;

use std::net::{IpAddr, Ipv4Addr};

use clap::ValueEnum;
use fwdrill_protocol::estate::Estate;
use ipnet::Ipv4Net;

use plan::Plan;

/// What the rules are for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) role: Role,
    /// Absent: host, or routed for a branch.
    pub(crate) topology: Option<Topology>,
    /// Interface or zone towards the Internet.
    pub(crate) outside: Option<String>,
    /// Interface or zone towards the server, or the branch's clients.
    pub(crate) inside: Option<String>,
    /// The network of the clients beside the server.
    pub(crate) inside_network: Option<Ipv4Net>,
    /// The server's own addresses; for [`Role::UpdateAgent`] behind a firewall, the agent's.
    pub(crate) server: Vec<IpAddr>,
    /// What clients dial, where it is the firewall's.
    pub(crate) public: Option<Ipv4Addr>,
    /// The vantage whose expectations are carried.
    pub(crate) from: Option<String>,
    /// So many clients at once.
    pub(crate) clients: Option<u32>,
    /// For nftables: somebody's table that the rules are to be part of.
    pub(crate) table: Option<String>,
}

/// Whose rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// The update server: its own firewall, or one in front of it
    Server,
    /// An update agent: its own firewall, or one in front of it
    UpdateAgent,
    /// A client's own firewall
    Client,
    /// The firewall that a branch's clients go out through
    Branch,
}

/// Where the firewall stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Topology {
    /// On the host itself
    Host,
    /// On a router, and addresses stay as they are
    Routed,
    /// On a router whose own address is forwarded to the server
    Dnat,
}

/// A kind of firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A file for nft -f
    Nftables,
    /// A shell script for iptables and ip6tables
    Iptables,
    /// A shell script for firewall-cmd
    Firewalld,
    /// A shell script for ufw
    Ufw,
    /// A shell script for Shorewall and Shorewall6
    Shorewall,
    /// PowerShell for Windows Defender Firewall
    Windows,
    /// Terraform for an AWS security group
    Aws,
}

/// A text and what its user has to know.
pub(crate) struct Rules {
    pub(crate) text: String,
    pub(crate) remarks: Vec<String>,
}

/// The rules, or what takes them back.
pub(crate) fn rules(kind: Kind, estate: &Estate, options: &Options, undo: bool) -> anyhow::Result<Rules> {
    anyhow::ensure!(
        options.table.is_none() || kind == Kind::Nftables,
        "--table is for nftables: it names a table of yours that is to hold the rules"
    );
    let plan = Plan::new(estate, options)?;
    Ok(Rules {
        text: kind.text(&plan, options.table.as_deref(), undo)?,
        remarks: plan.remarks,
    })
}

impl Role {
    /// As `--role` takes it.
    fn name(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::UpdateAgent => "update-agent",
            Role::Client => "client",
            Role::Branch => "branch",
        }
    }
}

impl Kind {
    fn text(self, plan: &Plan, table: Option<&str>, undo: bool) -> anyhow::Result<String> {
        match self {
            Kind::Nftables => Ok(nftables::text(plan, table, undo)),
            Kind::Iptables => Ok(iptables::text(plan, undo)),
            Kind::Firewalld => Ok(firewalld::text(plan, undo)),
            Kind::Ufw => ufw::text(plan, undo),
            Kind::Shorewall => Ok(shorewall::text(plan, undo)),
            Kind::Windows => windows::text(plan, undo),
            Kind::Aws => aws::text(plan, undo),
        }
    }
}
