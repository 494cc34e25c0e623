//! What a ruleset says of the network around its firewall.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fwdrill_protocol::estate::port_set::PortSet;
use ipnet::IpNet;
use serde_json::Value;

/// What can be read off rules.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// Names that rules compare interfaces with; `*` at the end stands for anything.
    pub(super) interfaces: BTreeSet<String>,
    pub(super) translations: Vec<Translation>,
    /// Networks and addresses that rules compare with.
    pub(super) networks: BTreeSet<IpNet>,
    /// ipsets that iptables rules name.
    pub(super) sets: BTreeSet<String>,
}

/// A destination NAT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Translation {
    pub(super) target: IpAddr,
    /// Which ports it is for; empty: all, or not to be told.
    pub(super) ports: PortSet,
}

impl Facts {
    /// Both.
    pub(super) fn join(&mut self, other: Facts) {
        self.interfaces.extend(other.interfaces);
        self.translations.extend(other.translations);
        self.networks.extend(other.networks);
        self.sets.extend(other.sets);
    }

    /// From what `nft -j list ruleset` says of the kernel (libnftables-json(5)).
    pub(super) fn of_kernel(listed: &Value) -> Facts {
        let objects: Vec<&Value> = listed["nftables"].as_array().into_iter().flatten().collect();
        let named: BTreeMap<String, &Value> = objects
            .iter()
            .filter_map(|object| object.get("map").or_else(|| object.get("set")))
            .filter_map(|set| Some((key(set, set.get("name")?.as_str()?), set)))
            .collect();
        let mut facts = Facts::default();
        for object in &objects {
            if let Some(rule) = object.get("rule") {
                facts.note_rule(rule, &named);
            } else if let Some(device) = object["chain"]["dev"].as_str() {
                facts.interfaces.insert(device.to_owned());
            }
            facts.note_networks(object);
        }
        facts
    }

    fn note_rule(&mut self, rule: &Value, named: &BTreeMap<String, &Value>) {
        let resolved = |value: &Value| -> Vec<Value> {
            match value {
                Value::String(name) if name.starts_with('@') => {
                    let set = named.get(&key(rule, &name[1..]));
                    set.and_then(|set| set["elem"].as_array()).cloned().unwrap_or_default()
                }
                other => match other.get("set") {
                    Some(Value::Array(elements)) => elements.clone(),
                    Some(one) => vec![one.clone()],
                    None => vec![other.clone()],
                },
            }
        };
        let statements = rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut ports: Option<PortSet> = None;
        for statement in statements {
            if let Some(found) = statement.get("match") {
                self.note_interfaces(&found["left"], &resolved(&found["right"]));
                if found["left"]["payload"]["field"] == "dport" {
                    ports = Some(resolved(&found["right"]).iter().flat_map(numbers).collect());
                }
            }
            if let Some(map) = statement.get("vmap") {
                self.note_interfaces(&map["key"], &resolved(&map["data"]));
            }
            let Some(translation) = statement.get("dnat") else {
                continue;
            };
            let address = &translation["addr"];
            match address.get("map") {
                Some(map) => {
                    for pair in resolved(&map["data"]) {
                        let ports: PortSet = numbers(&pair[0]).collect();
                        let targets: Vec<IpAddr> = addresses(&pair[1]).collect();
                        self.translations.extend(targets.into_iter().map(|target| Translation {
                            target,
                            ports: ports.clone(),
                        }));
                    }
                }
                None => {
                    let ports = ports.clone().unwrap_or_default();
                    self.translations
                        .extend(addresses(address).take(1).map(|target| Translation {
                            target,
                            ports: ports.clone(),
                        }));
                }
            }
        }
    }

    /// What stands where the key has an interface's name.
    fn note_interfaces(&mut self, key: &Value, elements: &[Value]) {
        let parts: Vec<&Value> = match key.get("concat") {
            Some(Value::Array(parts)) => parts.iter().collect(),
            _ => vec![key],
        };
        for (at, part) in parts.iter().enumerate() {
            let is_name = part["meta"]["key"].as_str();
            if !is_name.is_some_and(|key| ["iif", "iifname", "oif", "oifname", "ibrname", "obrname"].contains(&key)) {
                continue;
            }
            for element in elements {
                // Maps have pairs, counters and timeouts stand around an element.
                let element = if element.is_array() { &element[0] } else { element };
                let element = element.get("elem").map_or(element, |elem| &elem["val"]);
                let value = element.get("concat").map_or(element, |values| &values[at]);
                self.interfaces.extend(value.as_str().map(str::to_owned));
            }
        }
    }

    fn note_networks(&mut self, value: &Value) {
        match value {
            Value::Object(fields) => {
                if let Some(prefix) = fields.get("prefix") {
                    let text = format!("{}/{}", prefix["addr"].as_str().unwrap_or_default(), prefix["len"]);
                    self.networks.extend(text.parse::<IpNet>().ok());
                }
                fields.values().for_each(|value| self.note_networks(value));
            }
            Value::Array(values) => values.iter().for_each(|value| self.note_networks(value)),
            Value::String(text) => self.networks.extend(text.parse::<IpAddr>().ok().map(IpNet::from)),
            _ => {}
        }
    }
}

/// Sets have names of their own in each table.
fn key(object: &Value, name: &str) -> String {
    let word = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
    format!("{} {} {name}", word("family"), word("table"))
}

/// The ports in an element: numbers, ranges, whatever part of a concatenation they are.
fn numbers(value: &Value) -> Box<dyn Iterator<Item = u16> + '_> {
    let number = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    match value {
        Value::Number(_) => Box::new(number(value).into_iter()),
        Value::Array(values) => Box::new(values.iter().flat_map(numbers)),
        Value::Object(fields) => match fields.get("range") {
            Some(range) => match (number(&range[0]), number(&range[1])) {
                (Some(low), Some(high)) => Box::new(low..=high),
                _ => Box::new(std::iter::empty()),
            },
            None => Box::new(fields.values().flat_map(numbers)),
        },
        _ => Box::new(std::iter::empty()),
    }
}

fn addresses(value: &Value) -> Box<dyn Iterator<Item = IpAddr> + '_> {
    match value {
        Value::String(text) => Box::new(text.parse().ok().into_iter()),
        Value::Array(values) => Box::new(values.iter().flat_map(addresses)),
        Value::Object(fields) => Box::new(fields.values().flat_map(addresses)),
        _ => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(statements: Value) -> Value {
        json!({"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 1, "expr": statements}})
    }

    #[test]
    fn interfaces_stand_in_sets_maps_and_concatenations() {
        let name = json!({"meta": {"key": "iifname"}});
        let port = json!({"payload": {"protocol": "tcp", "field": "dport"}});
        let listed = json!({"nftables": [
            {"set": {"family": "ip", "table": "t", "name": "zone", "type": "ifname", "elem": ["eth3", {"elem": {"val": "eth4", "timeout": 5}}]}},
            rule(json!([{"match": {"op": "==", "left": name, "right": "eth0.20"}}])),
            rule(json!([{"match": {"op": "==", "left": name, "right": "@zone"}}])),
            rule(json!([{"vmap": {"key": name, "data": {"set": [["br0", {"jump": {"target": "x"}}], ["wg*", {"accept": null}]]}}}])),
            rule(json!([{"match": {"op": "==", "left": {"concat": [port, {"meta": {"key": "oif"}}]}, "right": {"set": [{"concat": [22, "tun0"]}]}}}])),
            rule(json!([{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "10.0.0.0", "len": 8}}}}])),
        ]});
        let facts = Facts::of_kernel(&listed);
        assert_eq!(
            facts.interfaces.iter().collect::<Vec<_>>(),
            ["br0", "eth0.20", "eth3", "eth4", "tun0", "wg*"]
        );
        assert!(facts.networks.contains(&"10.0.0.0/8".parse().unwrap()));
    }

    #[test]
    fn translations_have_their_ports_in_matches_or_in_maps() {
        let port = json!({"payload": {"protocol": "tcp", "field": "dport"}});
        let listed = json!({"nftables": [
            {"map": {"family": "ip", "table": "t", "name": "to", "type": "inet_service", "map": "ipv4_addr", "elem": [[443, "10.0.0.3"]]}},
            rule(json!([{"match": {"op": "==", "left": port, "right": {"set": [2021, {"range": [3023, 3025]}]}}}, {"dnat": {"family": "ip", "addr": "10.0.0.1"}}])),
            rule(json!([{"dnat": {"addr": {"map": {"key": port, "data": {"set": [[80, "10.0.0.2"]]}}}}}])),
            rule(json!([{"dnat": {"addr": {"map": {"key": port, "data": "@to"}}}}])),
        ]});
        let told: Vec<(String, String)> = Facts::of_kernel(&listed)
            .translations
            .iter()
            .map(|translation| (translation.target.to_string(), translation.ports.to_string()))
            .collect();
        let expected = [("10.0.0.1", "2021,3023-3025"), ("10.0.0.2", "80"), ("10.0.0.3", "443")];
        assert_eq!(
            told,
            expected.map(|(target, ports)| (target.to_owned(), ports.to_owned()))
        );
    }
}
