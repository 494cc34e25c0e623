//! `fwdrill rules`: the rules that an estate needs, for the firewall at hand.

use std::net::{IpAddr, Ipv4Addr};

use clap::Args;
use ipnet::Ipv4Net;

use crate::cli::EstateArgs;
use crate::exit::{Exit, Failure};
use crate::output;
use crate::rules::{self, Kind, Options, Role, Topology};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  fwdrill rules --for nftables > fwdrill.nft                     the server's own firewall\n  fwdrill rules --for nftables --table filter                    in a table that drops the rest\n  fwdrill rules --for ufw --role client --server 10.20.0.10\n  fwdrill rules --for iptables --topology routed --outside eth0 --inside eth1 --server 10.20.0.10\n  fwdrill rules --for nftables --topology dnat --outside eth0 --inside eth1 --server 10.20.0.10 --public 203.0.113.2\n  fwdrill rules --for firewalld --role branch --outside external --inside internal --server 203.0.113.2\n  fwdrill rules --for ufw --undo                                 takes back what the same call without --undo did\n\nEach text can be applied twice; docs/RULES.md says how, and what was proven how."
)]
pub(crate) struct RulesArgs {
    /// Kind of firewall
    #[arg(long = "for", value_enum, value_name = "KIND")]
    kind: Kind,
    /// Whose rules
    #[arg(long, value_enum, default_value_t = Role::Server)]
    role: Role,
    /// Where the firewall stands [default: host; for the role branch, routed]
    #[arg(long, value_enum)]
    topology: Option<Topology>,
    /// Interface towards the Internet; for firewalld and shorewall, the zone
    #[arg(long, value_name = "INTERFACE", value_parser = interface)]
    outside: Option<String>,
    /// Interface towards the server (or the branch's clients); for firewalld and shorewall, the zone
    #[arg(long, value_name = "INTERFACE", value_parser = interface)]
    inside: Option<String>,
    /// Network of clients beside the server who dial the public address too (hairpin)
    #[arg(long, value_name = "NETWORK")]
    inside_network: Option<Ipv4Net>,
    /// The server's address (of an update agent behind a firewall: the agent's); again for its IPv6 address
    #[arg(long, value_name = "ADDRESS")]
    server: Vec<IpAddr>,
    /// The address that clients dial, with --topology dnat [default: ftp.advertised_address of the estate]
    #[arg(long, value_name = "ADDRESS")]
    public: Option<Ipv4Addr>,
    /// Whose expectations are carried: a vantage of the estate [default: outside; for the role branch, branch]
    #[arg(long, value_name = "VANTAGE")]
    from: Option<String>,
    /// How many clients update at once [default: `clients` of the estate]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    clients: Option<u32>,
    /// For nftables: your table (of the family inet) whose chains drop what nothing accepts, and jump to the rules'
    #[arg(long, value_name = "TABLE", value_parser = interface)]
    table: Option<String>,
    /// Print what takes the rules back
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    estate: EstateArgs,
}

pub(crate) fn run(args: RulesArgs) -> Result<Exit, Failure> {
    let estate = args.estate.load([])?;
    let options = Options {
        role: args.role,
        topology: args.topology,
        outside: args.outside,
        inside: args.inside,
        inside_network: args.inside_network,
        server: args.server,
        public: args.public,
        from: args.from,
        clients: args.clients,
        table: args.table,
    };
    let rules = rules::rules(args.kind, &estate, &options, args.undo)?;
    output::say(rules.text.trim_end());
    if !args.undo {
        for remark in &rules.remarks {
            output::tell(&format!("note: {remark}"));
        }
    }
    Ok(Exit::Pass)
}

/// A name that can stand in a rule as it is, without quotes.
fn interface(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if !text.is_empty() && text.len() <= 17 && text.bytes().all(plain) && !text.starts_with('-') {
        Ok(text.to_owned())
    } else {
        Err("expected the name of an interface, zone or table: letters, digits and -_.@".to_owned())
    }
}
