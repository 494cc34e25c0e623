//! A scenario file: one path, and what a right diagnosis says of it. docs/REHEARSE.md documents every key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use fwdrill_protocol::finding::{FindingId, Place};
use serde::Deserialize;
use toml::{Table, Value};

/// The paths a scenario can start from, by name.
const TOPOLOGIES: &[(&str, &str)] = &[
    ("dnat", include_str!("../../fixtures/paths/topology/dnat.toml")),
    ("routed", include_str!("../../fixtures/paths/topology/routed.toml")),
    ("double", include_str!("../../fixtures/paths/topology/double.toml")),
    ("branch", include_str!("../../fixtures/paths/topology/branch.toml")),
    ("none", ""),
];

/// One path and what is expected of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// What is special about this path, in one line.
    pub(crate) title: String,
    /// Findings (errors and warnings) of a right diagnosis; empty: a healthy path.
    pub(crate) expect: Vec<FindingId>,
    /// The same for a client that cannot ask the server; absent: the cause, or a finding that has it as alternative.
    #[serde(default)]
    pub(crate) expect_alone: Option<Vec<FindingId>>,
    /// Why this path is not measured by the client alone.
    #[serde(default)]
    pub(crate) skip_alone: Option<String>,
    /// Findings that may come besides.
    #[serde(default)]
    pub(crate) also_allowed: Vec<FindingId>,
    /// Where the first finding places the fault.
    #[serde(default)]
    pub(crate) expect_where: Option<Place>,
    /// What the first finding's remedy has to name.
    #[serde(default)]
    pub(crate) remedy_mentions: Vec<String>,
    /// Why this path is not diagnosed rightly yet. To be removed as soon as it is.
    #[serde(default)]
    pub(crate) known_gap: Option<String>,
    /// Why the client alone does not diagnose it rightly yet, although both ends together do.
    #[serde(default)]
    pub(crate) known_gap_alone: Option<String>,
    #[serde(default)]
    pub(crate) link: BTreeMap<String, Link>,
    #[serde(default)]
    pub(crate) host: BTreeMap<String, Host>,
    #[serde(default)]
    pub(crate) firewall: BTreeMap<String, Firewall>,
    /// What every host of the path resolves names to.
    #[serde(default)]
    pub(crate) names: BTreeMap<String, Vec<String>>,
    /// Keys of the estate, for both ends.
    #[serde(default)]
    pub(crate) estate: BTreeMap<String, Value>,
    #[serde(default)]
    pub(crate) server: Server,
    #[serde(default)]
    pub(crate) daemon: Vec<Daemon>,
    pub(crate) probe: Probe,
    /// Other programs to try on the client's host, as shell commands, by name.
    #[serde(default)]
    pub(crate) program: BTreeMap<String, String>,
}

/// A cable between two interfaces, or a switch with more of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    /// `host:interface`.
    pub(crate) ends: Vec<String>,
    #[serde(default)]
    pub(crate) mtu: Option<u32>,
    /// A middlebox in the cable, as arguments of `fwdrill middlebox`.
    #[serde(default)]
    pub(crate) through: Option<String>,
}

/// A computer.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Host {
    /// Whether it forwards packets.
    #[serde(default)]
    pub(crate) router: bool,
    /// Left out unless the path mentions it.
    #[serde(default)]
    pub(crate) spare: bool,
    /// Hosts that it cannot do without.
    #[serde(default)]
    pub(crate) needs: Vec<String>,
    /// By interface, as `ip address add` takes them.
    #[serde(default)]
    pub(crate) addresses: BTreeMap<String, Vec<String>>,
    /// As `ip route add` takes them.
    #[serde(default)]
    pub(crate) routes: Vec<String>,
    #[serde(default)]
    pub(crate) sysctl: BTreeMap<String, Value>,
    /// Shell commands, run when the network stands and the rulesets are loaded.
    #[serde(default)]
    pub(crate) run: Vec<String>,
}

/// A ruleset, or the difference to one that is right.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Firewall {
    /// One of the rulesets that are right: `dnat`, `routed`, `branch`, `double-outer`, `double-inner`, or `none`.
    #[serde(default)]
    pub(crate) base: Option<String>,
    /// Rules of the base to leave out, by name.
    #[serde(default)]
    pub(crate) without: Vec<String>,
    /// Rules to put in the place of others, by the name of those.
    #[serde(default)]
    pub(crate) instead: BTreeMap<String, String>,
    /// Rules to put before all others of a chain.
    #[serde(default)]
    pub(crate) prerouting: Vec<String>,
    #[serde(default)]
    pub(crate) input: Vec<String>,
    #[serde(default)]
    pub(crate) forward: Vec<String>,
    #[serde(default)]
    pub(crate) postrouting: Vec<String>,
    /// More tables.
    #[serde(default)]
    pub(crate) more: String,
}

/// The update server, `fwdrill serve`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    /// The host it runs on; absent: there is none.
    #[serde(default)]
    pub(crate) on: Option<String>,
    /// Keys of the estate for this end alone.
    #[serde(default)]
    pub(crate) set: BTreeMap<String, Value>,
    /// More arguments.
    #[serde(default)]
    pub(crate) args: Vec<String>,
}

/// Another long-running `fwdrill` of the path: a middlebox, a second server, an update agent's `sync --watch`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Daemon {
    /// The host it runs on.
    pub(crate) on: String,
    /// Arguments of `fwdrill`. It says one line on stdout when it is ready.
    pub(crate) run: String,
    /// Whether that line is waited for: who cannot do its work on this path does not say it.
    #[serde(default = "usually")]
    pub(crate) awaited: bool,
    /// Whether it needs the server to be there.
    #[serde(default)]
    pub(crate) after_server: bool,
}

fn usually() -> bool {
    true
}

/// The client, `fwdrill probe`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Probe {
    /// The host it runs on.
    pub(crate) on: String,
    /// What it dials.
    pub(crate) host: String,
    /// Keys of the estate for this end alone.
    #[serde(default)]
    pub(crate) set: BTreeMap<String, Value>,
    /// More arguments.
    #[serde(default)]
    pub(crate) args: Vec<String>,
}

impl Scenario {
    /// Reads a scenario file.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Scenario> {
        let text = std::fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
        Scenario::parse(&text).with_context(|| format!("{} is no scenario", file.display()))
    }

    /// Reads a scenario: its own words on top of those of the path that it starts from.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Scenario> {
        let own: Table = toml::from_str(text)?;
        Ok(Value::Table(on_its_path(own, "dnat")?).try_into()?)
    }
}

/// Every scenario file that is meant: the files themselves, and those of the directories.
pub(crate) fn files(given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| format!("failed to read {}", path.display()))?;
        let mut found: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|file| file.is_file() && file.extension().is_some_and(|extension| extension == "toml"))
            .collect();
        if found.is_empty() {
            bail!("there is no scenario (*.toml) in {}", path.display());
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

/// Puts `own` on top of the path that it extends, and that on top of the one that it extends.
fn on_its_path(mut own: Table, otherwise: &str) -> anyhow::Result<Table> {
    let name = match own.remove("extends") {
        Some(Value::String(name)) => name,
        Some(other) => bail!("extends = {other}: expected the name of a path"),
        None => otherwise.to_owned(),
    };
    let Some((_, text)) = TOPOLOGIES.iter().find(|(known, _)| *known == name) else {
        let known: Vec<&str> = TOPOLOGIES.iter().map(|(known, _)| *known).collect();
        bail!("extends = \"{name}\": expected one of {}", known.join(", "));
    };
    let below: Table = toml::from_str(text)?;
    let below = if below.is_empty() {
        below
    } else {
        on_its_path(below, "none")?
    };
    Ok(merged(below, own))
}

/// Tables are merged key by key; everything else is replaced.
fn merged(mut below: Table, above: Table) -> Table {
    for (key, value) in above {
        let value = match (below.remove(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => Value::Table(merged(below, above)),
            (_, value) => value,
        };
        below.insert(key, value);
    }
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_says_only_what_differs_from_the_standard_path() {
        let scenario = Scenario::parse(
            r#"
            title = "the control port is dropped"
            extends = "routed"
            expect = ["port-dropped"]
            firewall.fw.forward = ["tcp dport 2021 drop"]
            "#,
        )
        .unwrap();
        assert_eq!(scenario.probe.host, "10.20.0.10");
        assert_eq!(scenario.firewall["fw"].base.as_deref(), Some("routed"));
        assert_eq!(scenario.firewall["fw"].forward, ["tcp dport 2021 drop"]);
        assert!(scenario.host["isp"].router && scenario.host["isp"].routes.len() == 2);
    }

    #[test]
    fn misspelt_keys_paths_and_findings_are_mistakes() {
        for (text, told) in [
            ("title = 'x'\nexpect = []\nfirewalls = {}", "firewalls"),
            ("title = 'x'\nexpect = ['port-droped']", "port-droped"),
            ("title = 'x'\nexpect = []\nextends = 'nat'", "dnat, routed"),
        ] {
            let error = format!("{:#}", Scenario::parse(text).unwrap_err());
            assert!(error.contains(told), "{error}");
        }
    }
}
