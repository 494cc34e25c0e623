//! What is to be built and run for one scenario, with every mistake found before anything is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use toml::Value;

use super::scenario::{Daemon, Host, Scenario};

/// One path to build in network namespaces, the server on it and the client's measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lab {
    pub(crate) hosts: Vec<LabHost>,
    pub(crate) wires: Vec<Wire>,
    /// `/etc/hosts` of all of them.
    pub(crate) names: String,
    /// What runs besides, before the server starts...
    pub(crate) daemons: Vec<LabDaemon>,
    pub(crate) server: Option<Process>,
    /// ...and after.
    pub(crate) daemons_after: Vec<LabDaemon>,
    pub(crate) probe: Process,
    /// Other programs to try on the client's host, as shell commands, by name.
    pub(crate) programs: BTreeMap<String, String>,
    /// Whether everything stays until the user has looked at it.
    pub(crate) keep: bool,
    /// Whose packets are to be followed through which rules.
    pub(crate) tracing: Option<Tracing>,
    /// Of everything that runs.
    pub(crate) environment: BTreeMap<String, String>,
}

/// Where the kernel is asked which rule decided, and about whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tracing {
    /// The firewall.
    pub(crate) on: String,
    pub(crate) tables: Tables,
    pub(crate) client: IpAddr,
    pub(crate) server: IpAddr,
}

/// Whose tables a ruleset is loaded into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum Tables {
    Nftables,
    /// iptables' own.
    Legacy,
}

/// A ruleset, and the program that reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Loadable {
    pub(crate) by: Loader,
    pub(crate) text: String,
}

/// A program that loads rules from a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the name says it")]
pub(crate) enum Loader {
    Nft,
    NftJson,
    Ipset,
    IptablesNft,
    Ip6tablesNft,
    IptablesLegacy,
    Ip6tablesLegacy,
}

impl Loader {
    /// The command line, less the file's name at its end.
    pub(crate) fn command(self) -> &'static [&'static str] {
        match self {
            Loader::Nft => &["nft", "-f"],
            Loader::NftJson => &["nft", "-j", "-f"],
            Loader::Ipset => &["ipset", "restore", "-file"],
            Loader::IptablesNft => &["iptables-nft-restore"],
            Loader::Ip6tablesNft => &["ip6tables-nft-restore"],
            Loader::IptablesLegacy => &["iptables-legacy-restore"],
            Loader::Ip6tablesLegacy => &["ip6tables-legacy-restore"],
        }
    }
}

/// A network namespace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LabHost {
    pub(crate) name: String,
    pub(crate) router: bool,
    /// Interface and address.
    pub(crate) addresses: Vec<(String, String)>,
    pub(crate) routes: Vec<String>,
    pub(crate) sysctl: Vec<(String, String)>,
    /// Shell commands before the rulesets are loaded.
    pub(crate) prepare: Vec<String>,
    pub(crate) rulesets: Vec<Loadable>,
    /// ...and after.
    pub(crate) run: Vec<String>,
}

/// A cable, or a switch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Wire {
    pub(crate) ends: Vec<End>,
    pub(crate) mtu: Option<u32>,
    /// Arguments of `fwdrill middlebox`.
    pub(crate) through: Option<Vec<String>>,
}

/// One plug of a cable.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) host: String,
    pub(crate) interface: String,
}

/// A `fwdrill` to run on a host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) on: String,
    pub(crate) arguments: Vec<String>,
}

/// One that runs until the lab ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LabDaemon {
    pub(crate) process: Process,
    /// Whether the others start when it has said that it is ready.
    pub(crate) awaited: bool,
}

/// The namespace of switches and middleboxes in cables.
pub(crate) const WIRES: &str = "wires";

/// What the kernel allows for an interface's name (IFNAMSIZ, less the closing zero).
pub(crate) const LONGEST_INTERFACE: usize = 15;

/// Whether the client may ask the server what it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    Both,
    ClientAlone,
}

impl Lab {
    /// The lab for a scenario.
    pub(crate) fn new(scenario: &Scenario, ends: Ends, keep: bool) -> anyhow::Result<Lab> {
        let used = used(scenario)?;
        let host = |(name, host): (&String, &Host)| {
            let firewall = scenario.firewall.get(name);
            let ruleset = firewall.map(|firewall| firewall.ruleset()).transpose();
            let ruleset = ruleset.with_context(|| format!("firewall.{name}"))?;
            Ok(LabHost {
                name: name.clone(),
                router: host.router,
                addresses: (host.addresses.iter())
                    .flat_map(|(interface, addresses)| {
                        addresses.iter().map(|address| (interface.clone(), address.clone()))
                    })
                    .collect(),
                routes: host.routes.clone(),
                sysctl: host
                    .sysctl
                    .iter()
                    .map(|(key, value)| (key.clone(), plain(value)))
                    .collect(),
                prepare: Vec::new(),
                rulesets: ruleset
                    .filter(|text| !text.trim().is_empty())
                    .map(|text| Loadable { by: Loader::Nft, text })
                    .into_iter()
                    .collect(),
                run: host.run.clone(),
            })
        };
        let hosts = scenario.host.iter().filter(|(name, _)| used.contains(*name));
        let mut probe = vec![
            "probe".to_owned(),
            scenario.probe.host.clone(),
            "--format=json".to_owned(),
        ];
        probe.extend(settings(&scenario.estate));
        probe.extend(settings(&scenario.probe.set));
        probe.extend(scenario.probe.args.iter().cloned());
        if ends == Ends::ClientAlone {
            probe.push("--no-evidence".to_owned());
        }
        let daemons = |after_server| {
            let meant = scenario
                .daemon
                .iter()
                .filter(move |daemon| daemon.after_server == after_server);
            let daemon = |daemon: &Daemon| LabDaemon {
                process: Process {
                    on: daemon.on.clone(),
                    arguments: words(&daemon.run),
                },
                awaited: daemon.awaited,
            };
            meant.map(daemon).collect()
        };
        let lab = Lab {
            hosts: hosts.map(host).collect::<anyhow::Result<_>>()?,
            wires: wires(scenario, &used)?,
            names: names(&scenario.names),
            daemons: daemons(false),
            server: server(scenario),
            daemons_after: daemons(true),
            probe: Process {
                on: scenario.probe.on.clone(),
                arguments: probe,
            },
            programs: match ends {
                Ends::Both => scenario.program.clone(),
                Ends::ClientAlone => BTreeMap::new(),
            },
            keep,
            tracing: None,
            environment: BTreeMap::new(),
        };
        lab.check()?;
        Ok(lab)
    }

    /// Everything that runs runs on a host, and every address has an interface.
    fn check(&self) -> anyhow::Result<()> {
        let interfaces: BTreeSet<(&str, &str)> = (self.wires.iter().flat_map(|wire| &wire.ends))
            .map(|end| (end.host.as_str(), end.interface.as_str()))
            .collect();
        for host in &self.hosts {
            if host.name == WIRES || host.name.contains(['/', ' ']) {
                bail!("host.{}: a host cannot have this name", host.name);
            }
            for (interface, address) in &host.addresses {
                if !interfaces.contains(&(host.name.as_str(), interface.as_str())) && interface != "lo" {
                    bail!(
                        "host.{}.addresses.{interface} = \"{address}\": no link ends at {}:{interface}",
                        host.name,
                        host.name
                    );
                }
            }
        }
        Ok(())
    }
}

/// The hosts that a path has: all but the spare ones, and of these those it mentions.
fn used(scenario: &Scenario) -> anyhow::Result<BTreeSet<String>> {
    let mut open: Vec<(String, &str)> = vec![(scenario.probe.on.clone(), "probe.on")];
    open.extend(scenario.server.on.iter().map(|host| (host.clone(), "server.on")));
    open.extend(scenario.daemon.iter().map(|daemon| (daemon.on.clone(), "daemon.on")));
    for (name, host) in &scenario.host {
        if !host.spare || !host.run.is_empty() {
            open.push((name.clone(), "host"));
        }
    }
    let mut used = BTreeSet::new();
    while let Some((name, place)) = open.pop() {
        let Some(host) = scenario.host.get(&name) else {
            let known: Vec<&str> = scenario.host.keys().map(String::as_str).collect();
            bail!(
                "{place} = \"{name}\": there is no such host; there are {}",
                known.join(", ")
            );
        };
        if used.insert(name) {
            open.extend(host.needs.iter().map(|needed| (needed.clone(), "needs")));
        }
    }
    if let Some(name) = scenario.firewall.keys().find(|name| !scenario.host.contains_key(*name)) {
        bail!("firewall.{name}: there is no such host");
    }
    Ok(used)
}

fn wires(scenario: &Scenario, used: &BTreeSet<String>) -> anyhow::Result<Vec<Wire>> {
    let mut wires = Vec::new();
    for (name, link) in &scenario.link {
        let mut ends = Vec::new();
        for end in &link.ends {
            let Some((host, interface)) = end.split_once(':') else {
                bail!("link.{name}: \"{end}\": expected host:interface");
            };
            if !scenario.host.contains_key(host) {
                bail!("link.{name}: \"{end}\": there is no host {host}");
            }
            if interface.is_empty() || interface.len() > LONGEST_INTERFACE || interface.contains(['/', ' ']) {
                bail!("link.{name}: \"{end}\": an interface has a name of 1 to {LONGEST_INTERFACE} letters");
            }
            if used.contains(host) {
                ends.push(End {
                    host: host.to_owned(),
                    interface: interface.to_owned(),
                });
            }
        }
        if link.through.is_some() && ends.len() != 2 {
            bail!(
                "link.{name}: a middlebox has two sides, and {} ends meet here",
                ends.len()
            );
        }
        if !ends.is_empty() {
            wires.push(Wire {
                ends,
                mtu: link.mtu,
                through: link.through.as_deref().map(words),
            });
        }
    }
    Ok(wires)
}

fn server(scenario: &Scenario) -> Option<Process> {
    let on = scenario.server.on.clone()?;
    let mut arguments = vec!["serve".to_owned(), "--announce".to_owned(), "--grace=1".to_owned()];
    arguments.extend(settings(&scenario.estate));
    arguments.extend(settings(&scenario.server.set));
    arguments.extend(scenario.server.args.iter().cloned());
    Some(Process { on, arguments })
}

fn settings(keys: &BTreeMap<String, Value>) -> impl Iterator<Item = String> {
    keys.iter().map(|(key, value)| format!("--set={key}={}", plain(value)))
}

/// A value as it is written on a command line.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn names(names: &BTreeMap<String, Vec<String>>) -> String {
    let mut text = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
    for (name, addresses) in names {
        text.extend(addresses.iter().map(|address| format!("{address} {name}\n")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab(more: &str) -> anyhow::Result<Lab> {
        let scenario = Scenario::parse(&format!("title = 'x'\nexpect = []\n{more}"))?;
        Lab::new(&scenario, Ends::Both, false)
    }

    fn hosts(lab: &Lab) -> Vec<&str> {
        lab.hosts.iter().map(|host| host.name.as_str()).collect()
    }

    #[test]
    fn spare_hosts_are_built_where_the_path_mentions_them_with_what_they_need() {
        assert_eq!(hosts(&lab("").unwrap()), ["cli", "fw", "isp", "srv"]);
        assert_eq!(
            hosts(&lab("probe.on = 'pc'").unwrap()),
            ["bfw", "cli", "fw", "isp", "pc", "srv"]
        );
        assert_eq!(
            hosts(&lab("host.lanc.spare = false").unwrap()),
            ["cli", "fw", "isp", "lanc", "srv"]
        );
    }

    #[test]
    fn what_cannot_be_built_is_said_before_anything_is() {
        for (more, told) in [
            ("probe.on = 'nobody'", "nobody"),
            ("link.x = { ends = ['cli'] }", "expected host:interface"),
            ("link.x = { ends = ['cli:a', 'who:b'] }", "there is no host who"),
            ("host.cli.addresses.eth7 = ['192.0.2.1/24']", "no link ends at cli:eth7"),
            ("firewall.wall.base = 'dnat'", "firewall.wall"),
            ("link.lan.through = 'delay-loss'\nhost.lanc.spare = false", "two sides"),
        ] {
            let error = format!("{:#}", lab(more).unwrap_err());
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn the_client_alone_does_not_ask_the_server() {
        let scenario = Scenario::parse("title = 'x'\nexpect = []\nestate.mode = 'http'").unwrap();
        let lab = Lab::new(&scenario, Ends::ClientAlone, false).unwrap();
        assert!(lab.probe.arguments.contains(&"--no-evidence".to_owned()));
        assert!(lab.probe.arguments.contains(&"--set=mode=http".to_owned()));
        assert!(lab.server.unwrap().arguments.contains(&"--set=mode=http".to_owned()));
    }
}
