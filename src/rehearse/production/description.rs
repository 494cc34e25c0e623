//! The network around a production firewall as the user describes it, in flags and in `[rehearse]` of an estate file.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, bail};
use ipnet::IpNet;
use serde::Deserialize;

use super::topology::{Topology, Zone};
use crate::rehearse::lab::LONGEST_INTERFACE;

/// A description as it is written, in `[rehearse]` of the estate file or in flags.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Description {
    /// `INTERFACE=ADDRESS/PREFIX[,ADDRESS/PREFIX...]`: towards the internet.
    pub(crate) outside: Option<String>,
    /// The same, towards the networks behind it.
    pub(crate) inside: Option<String>,
    /// The same by name: whatever else has clients.
    pub(crate) branch: BTreeMap<String, String>,
    /// The server's addresses, one for each family.
    pub(crate) server: Option<String>,
    /// The outside client's.
    pub(crate) client: Option<String>,
    /// The update agent's.
    pub(crate) update_agent: Option<String>,
    /// What a vantage dials, by its name.
    pub(crate) dial: BTreeMap<String, String>,
    /// The ports of an interface that is a bridge.
    pub(crate) bridge: BTreeMap<String, Vec<String>>,
}

/// `[rehearse]` of an estate file.
pub(crate) fn described(file: &str, text: &str) -> anyhow::Result<Description> {
    let mut table: toml::Table = text.parse().with_context(|| format!("{file} is not TOML"))?;
    match table.remove("rehearse") {
        Some(table) => table.try_into().with_context(|| format!("{file}: [rehearse]")),
        None => Ok(Description::default()),
    }
}

impl Description {
    /// The flags' word over the file's.
    pub(crate) fn over(self, file: Description) -> Description {
        let mut branch = file.branch;
        branch.extend(self.branch);
        let mut dial = file.dial;
        dial.extend(self.dial);
        let mut bridge = file.bridge;
        bridge.extend(self.bridge);
        Description {
            outside: self.outside.or(file.outside),
            inside: self.inside.or(file.inside),
            branch,
            server: self.server.or(file.server),
            client: self.client.or(file.client),
            update_agent: self.update_agent.or(file.update_agent),
            dial,
            bridge,
        }
    }

    /// What it means; all mistakes at once.
    pub(super) fn topology(&self) -> anyhow::Result<Topology> {
        let mut mistakes = Vec::new();
        let mut zones = Vec::new();
        let given = [("outside", &self.outside), ("inside", &self.inside)];
        let named = given
            .into_iter()
            .filter_map(|(name, text)| Some((name, text.as_ref()?)));
        for (name, text) in named.chain(self.branch.iter().map(|(name, text)| (name.as_str(), text))) {
            match zone(name, text) {
                Ok(zone) => zones.push(zone),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if self.outside.is_none() {
            mistakes.push("which interface is the outside? give --outside INTERFACE=ADDRESS/PREFIX, or rehearse.outside in the estate file".to_owned());
        }
        if self.inside.is_none() && self.branch.is_empty() {
            mistakes.push(
                "where is the server? give --inside INTERFACE=ADDRESS/PREFIX, or rehearse.inside in the estate file"
                    .to_owned(),
            );
        }
        let mut list = |key: &str, text: Option<&String>| match text.map_or(Ok(Vec::new()), |text| addresses(text)) {
            Ok(addresses) => addresses,
            Err(mistake) => {
                mistakes.push(format!("{key}: {mistake}"));
                Vec::new()
            }
        };
        let server = list("server", self.server.as_ref());
        let client = list("client", self.client.as_ref());
        let update_agent = list("update_agent", self.update_agent.as_ref());
        let dial = self
            .dial
            .iter()
            .map(|(name, text)| (name.clone(), list(&format!("dial.{name}"), Some(text))))
            .collect();
        let topology = Topology {
            zones,
            server,
            client,
            update_agent,
            dial,
            bridges: self.bridge.clone(),
        };
        mistakes.extend(topology.contradictions());
        if !mistakes.is_empty() {
            bail!("{}", mistakes.join("\n"));
        }
        Ok(topology)
    }
}

fn zone(name: &str, text: &str) -> Result<Zone, String> {
    let expected = || format!("{name} = \"{text}\": expected INTERFACE=ADDRESS/PREFIX[,ADDRESS/PREFIX]");
    let (interface, list) = text.split_once('=').ok_or_else(expected)?;
    let interface = interface.trim();
    if interface.is_empty() || interface.len() > LONGEST_INTERFACE || interface.contains(['/', ' ']) {
        return Err(format!(
            "{name} = \"{text}\": an interface has a name of 1 to {LONGEST_INTERFACE} letters"
        ));
    }
    if name.is_empty()
        || !name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "-_".contains(character))
    {
        return Err(format!(
            "{name} = \"{text}\": a branch has a name of letters, digits and -"
        ));
    }
    let addresses: Vec<IpNet> = list
        .split(',')
        .map(|one| one.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|_| expected())?;
    for net in &addresses {
        if net.max_prefix_len() - net.prefix_len() < 2 {
            return Err(format!(
                "{name} = \"{text}\": {net} leaves no room for anybody else: give the network's own prefix"
            ));
        }
    }
    Ok(Zone {
        name: name.to_owned(),
        interface: interface.to_owned(),
        addresses,
    })
}

fn addresses(text: &str) -> Result<Vec<IpAddr>, String> {
    text.split(',')
        .map(|one| {
            one.trim()
                .parse()
                .map_err(|_| format!("\"{one}\": expected an IP address"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::topology::Family;
    use super::*;

    fn described(more: &str) -> anyhow::Result<Topology> {
        let text = format!("outside = 'eth0=203.0.113.2/24,2001:db8:2::2/64'\ninside = 'eth1.20=10.20.0.1/24'\n{more}");
        toml::from_str::<Description>(&text)?.topology()
    }

    #[test]
    fn zones_and_free_places_follow_from_a_description() {
        let topology =
            described("server = '10.20.0.10'\nbranch.pune = 'tun0=192.168.60.1/30'\ndial.pune = '10.20.0.10'").unwrap();
        assert_eq!(
            topology.interfaces().into_iter().collect::<Vec<_>>(),
            ["eth0", "eth1.20", "tun0"]
        );
        assert_eq!(topology.zone_of("10.20.0.10".parse().unwrap()).unwrap().name, "inside");
        let free = |zone: usize| topology.free(&topology.zones[zone].addresses[0]).unwrap().to_string();
        assert_eq!((free(1), free(2)), ("10.20.0.51".to_owned(), "192.168.60.2".to_owned()));
        let bogons = ["198.51.100.0/24".parse().unwrap(), "0.0.0.0/0".parse().unwrap()].into();
        assert_eq!(topology.client(Family::V4, &bogons).unwrap().to_string(), "192.0.2.10");
    }

    #[test]
    fn what_a_description_gets_wrong_is_told_at_once() {
        for (more, told) in [
            ("server = '192.0.2.1'", "lies in none"),
            ("server = '10.20.0.1'", "the firewall's own"),
            ("server = 'x'", "expected an IP address"),
            ("branch.b = 'eth0=192.168.0.1/24'", "the same interface"),
            ("branch.b = 'eth7=192.168.0.1/32'", "no room"),
            ("branch.b = 'a-name-that-is-too-long=192.168.0.1/24'", "1 to 15"),
            ("bridge.br0 = ['eth5']", "br0 is no interface"),
        ] {
            let error = format!("{:#}", described(more).unwrap_err());
            assert!(error.contains(told), "{error}");
        }
        let error = Description::default().topology().unwrap_err().to_string();
        assert!(error.contains("--outside") && error.contains("--inside"), "{error}");
    }

    #[test]
    fn flags_have_the_last_word() {
        let file = Description {
            outside: Some("a".to_owned()),
            server: Some("s".to_owned()),
            ..Description::default()
        };
        let flags = Description {
            outside: Some("b".to_owned()),
            ..Description::default()
        };
        let both = flags.over(file);
        assert_eq!(
            (both.outside.as_deref(), both.server.as_deref()),
            (Some("b"), Some("s"))
        );
    }
}
