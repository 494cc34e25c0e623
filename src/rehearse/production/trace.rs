//! What `nft -a monitor trace` says, packet by packet (nft(8), "MONITOR").

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::rules::ChainName;

/// The table that marks packets to be told of.
pub(crate) const OWN_TABLE: &str = "fwdrill_trace";

/// What became of the packets that were followed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Trace {
    pub(super) packets: Vec<Packet>,
    pub(super) chains: Vec<KernelChain>,
}

/// Packets alike, and which rules they met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Packet {
    /// Of a conversation that the server begins; else of the client's.
    pub(super) by_server: bool,
    /// From who did not begin (SYN-ACK); else the SYN.
    pub(super) answer: bool,
    /// Where the conversation goes to, before any translation.
    pub(super) port: u16,
    pub(super) steps: Vec<Step>,
    /// How many of them.
    pub(super) count: usize,
}

/// A rule that decided something, or a chain's policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) chain: ChainName,
    /// The rule's handle; none: the policy.
    pub(super) handle: Option<u64>,
    /// As nft writes it.
    pub(super) rule: String,
    /// `accept`, `drop`, `jump NAME` and so on.
    pub(super) verdict: String,
}

/// A chain as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KernelChain {
    pub(super) name: ChainName,
    pub(super) hook: Option<String>,
    /// `filter`, `nat` or `route`.
    pub(super) kind: Option<String>,
    /// Of its rules, in their order.
    pub(super) handles: Vec<u64>,
}

/// Reads the monitor's lines, and `nft -a -j list ruleset`.
pub(crate) fn read(lines: &[String], listed: &Value, client: IpAddr, server: IpAddr) -> Trace {
    // Ids are made of a packet's place in memory, so that they come again.
    let mut open: HashMap<&str, usize> = HashMap::new();
    let mut packets: Vec<Packet> = Vec::new();
    for line in lines {
        let Some((id, chain, what)) = parts(line) else { continue };
        if chain.table == OWN_TABLE {
            if let Some(header) = what.strip_prefix("packet: ") {
                open.remove(id);
                if let Some(packet) = packet(header, client, server) {
                    open.insert(id, packets.len());
                    packets.push(packet);
                }
            }
            continue;
        }
        let Some(packet) = open.get(id).and_then(|at| packets.get_mut(*at)) else {
            continue;
        };
        packet.steps.extend(step(chain, what));
    }
    Trace {
        packets: alike(packets),
        chains: chains(listed),
    }
}

/// Id, chain, and what is said.
fn parts(line: &str) -> Option<(&str, ChainName, &str)> {
    let mut words = line.strip_prefix("trace id ")?.splitn(5, ' ');
    let (id, family, table, chain) = (words.next()?, words.next()?, words.next()?, words.next()?);
    Some((id, ChainName::new(family, table, chain), words.next()?.trim()))
}

fn packet(header: &str, client: IpAddr, server: IpAddr) -> Option<Packet> {
    let after = |key: &str| -> Option<&str> {
        let at = header.find(key)?;
        header[at + key.len()..].split_whitespace().next()
    };
    let from: IpAddr = after(" ip saddr ").or_else(|| after(" ip6 saddr "))?.parse().ok()?;
    (from == server || from == client).then_some(())?;
    let flags = header.split_once("tcp flags == ")?.1.split(" tcp ").next()?;
    let answer = acknowledges(flags);
    let port = after(if answer { "tcp sport " } else { "tcp dport " })?.parse().ok()?;
    Some(Packet {
        by_server: (from == server) != answer,
        answer,
        port,
        steps: Vec::new(),
        count: 1,
    })
}

/// Whether TCP flags have ACK, by name or in a number: nft 1.0.6 says `syn` and `0x12`.
fn acknowledges(flags: &str) -> bool {
    match flags
        .trim()
        .strip_prefix("0x")
        .map(|digits| u8::from_str_radix(digits, 16))
    {
        Some(Ok(bits)) => bits & 0x10 != 0,
        _ => flags.contains("ack"),
    }
}

fn step(chain: ChainName, what: &str) -> Option<Step> {
    if let Some(verdict) = what.strip_prefix("policy ") {
        return Some(Step {
            chain,
            handle: None,
            rule: String::new(),
            verdict: verdict.to_owned(),
        });
    }
    let (rule, verdict) = what.strip_prefix("rule ")?.rsplit_once(" (verdict ")?;
    let verdict = verdict.trim_end_matches(')').to_owned();
    let (rule, handle) = rule.rsplit_once(" # handle ")?;
    let handle = handle.trim().parse().ok();
    (verdict != "continue").then(|| Step {
        chain,
        handle,
        rule: rule.trim().to_owned(),
        verdict,
    })
}

/// A port that is tried ten times needs to be told of once.
pub(super) fn alike(packets: Vec<Packet>) -> Vec<Packet> {
    let mut counted: BTreeMap<(bool, bool, u16, Vec<Step>), usize> = BTreeMap::new();
    for packet in packets {
        let alike = (packet.by_server, packet.answer, packet.port, packet.steps);
        *counted.entry(alike).or_default() += packet.count;
    }
    let packet = |((by_server, answer, port, steps), count)| Packet {
        by_server,
        answer,
        port,
        steps,
        count,
    };
    counted.into_iter().map(packet).collect()
}

fn chains(listed: &Value) -> Vec<KernelChain> {
    let mut chains: Vec<KernelChain> = Vec::new();
    let word = |object: &Value, field: &str| object[field].as_str().map(str::to_owned);
    let name = |object: &Value, chain: &str| {
        let word = |field: &str| object[field].as_str().unwrap_or_default();
        ChainName::new(word("family"), word("table"), word(chain))
    };
    for object in listed["nftables"].as_array().into_iter().flatten() {
        if let Some(chain) = object.get("chain") {
            chains.push(KernelChain {
                name: name(chain, "name"),
                hook: word(chain, "hook"),
                kind: word(chain, "type"),
                handles: Vec::new(),
            });
        } else if let Some(rule) = object.get("rule") {
            let of = name(rule, "chain");
            let chain = chains.iter_mut().find(|chain| chain.name == of);
            if let (Some(chain), Some(handle)) = (chain, rule["handle"].as_u64()) {
                chain.handles.push(handle);
            }
        }
    }
    chains.retain(|chain| chain.name.table != OWN_TABLE);
    chains
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nft 1.0.6 says it on kernel 6.18.
    const LINES: &str = r#"trace id ece1a14e inet fwdrill_trace prerouting packet: iif "eth0" ether saddr 0a:00:00:00:00:01 ether daddr 0a:00:00:00:00:02 ip saddr 198.51.100.10 ip daddr 203.0.113.2 ip dscp cs0 ip ecn not-ect ip ttl 63 ip id 29226 ip protocol tcp ip length 60 tcp sport 59944 tcp dport 2021 tcp flags == syn tcp window 64240 
trace id ece1a14e inet fwdrill_trace prerouting rule ip saddr 198.51.100.10 tcp flags & (syn | rst) == syn meta nftrace set 1 # handle 3 (verdict continue)
trace id ece1a14e inet fwdrill_trace prerouting policy accept 
trace id ece1a14e ip nat PREROUTING packet: iif "eth0" ip saddr 198.51.100.10 ip daddr 203.0.113.2 tcp sport 59944 tcp dport 2021 
trace id ece1a14e ip nat PREROUTING rule iifname "eth0" tcp dport 2021 counter packets 0 bytes 0 dnat to 10.20.0.10 # handle 4 (verdict accept)
trace id ece1a14e ip filter FORWARD packet: iif "eth0" oif "eth1" ip saddr 198.51.100.10 ip daddr 10.20.0.10 tcp sport 59944 tcp dport 2021 
trace id ece1a14e ip filter FORWARD rule tcp dport 2021 jump LOGDROP # handle 5 (verdict jump LOGDROP)
trace id ece1a14e ip filter LOGDROP rule limit rate 3/minute log prefix "x " # handle 6 (verdict continue)
trace id ece1a14e ip filter LOGDROP rule counter reject # handle 7 (verdict drop)
trace id ece1a14e inet fwdrill_trace prerouting packet: iif "eth0" ip saddr 192.0.2.77 ip daddr 203.0.113.2 tcp sport 1 tcp dport 2021 tcp flags == syn tcp window 1 
trace id ece1a14e ip filter FORWARD policy drop 
"#;

    #[test]
    fn a_packet_meets_rules_in_their_order_and_a_stranger_with_the_same_id_is_none_of_ours() {
        let lines: Vec<String> = LINES.lines().map(str::to_owned).collect();
        let twice = [lines.clone(), lines].concat();
        let trace = read(
            &twice,
            &Value::Null,
            "198.51.100.10".parse().unwrap(),
            "10.20.0.10".parse().unwrap(),
        );
        let [packet] = trace.packets.as_slice() else {
            panic!("{:?}", trace.packets)
        };
        assert_eq!((packet.answer, packet.port, packet.count), (false, 2021, 2));
        let told: Vec<(&str, Option<u64>, &str)> = packet
            .steps
            .iter()
            .map(|step| (step.chain.chain.as_str(), step.handle, step.verdict.as_str()))
            .collect();
        let expected = [
            ("PREROUTING", Some(4), "accept"),
            ("FORWARD", Some(5), "jump LOGDROP"),
            ("LOGDROP", Some(7), "drop"),
        ];
        assert_eq!(told, expected);
        assert_eq!(packet.steps[2].rule, "counter reject");
    }

    #[test]
    fn who_began_a_conversation_shows_by_its_flags_and_by_who_sent_them() {
        let packet = |from: &str, ports: &str, flags: &str| {
            let header = format!(
                "iif \"eth1\" ip saddr {from} ip daddr 192.0.2.1 {ports} tcp flags == {flags} tcp window 64240 "
            );
            let packet = packet(&header, [198, 51, 100, 10].into(), [10, 20, 0, 10].into());
            packet.map(|packet| (packet.by_server, packet.answer, packet.port))
        };
        let (client, server) = ("198.51.100.10", "10.20.0.10");
        let to = |port| format!("tcp sport 50000 tcp dport {port}");
        assert_eq!(packet(client, &to(2021), "syn"), Some((false, false, 2021)));
        assert_eq!(packet(server, &to(2222), "syn"), Some((true, false, 2222)));
        for flags in ["0x12", "syn | ack", "0x52"] {
            let from = |port| format!("tcp sport {port} tcp dport 50000");
            assert_eq!(packet(server, &from(2021), flags), Some((false, true, 2021)), "{flags}");
            assert_eq!(packet(client, &from(2222), flags), Some((true, true, 2222)), "{flags}");
        }
        assert_eq!(packet("192.0.2.77", &to(2021), "syn"), None);
    }

    #[test]
    fn rules_are_counted_within_their_chains() {
        let listed = serde_json::json!({"nftables": [
            {"chain": {"family": "ip", "table": "f", "name": "forward", "handle": 1, "type": "filter", "hook": "forward"}},
            {"chain": {"family": "inet", "table": OWN_TABLE, "name": "prerouting", "handle": 1}},
            {"rule": {"family": "ip", "table": "f", "chain": "forward", "handle": 9, "expr": []}},
            {"rule": {"family": "ip", "table": "f", "chain": "forward", "handle": 4, "expr": []}},
        ]});
        let [chain] = chains(&listed).try_into().unwrap();
        assert_eq!(
            (chain.handles.as_slice(), chain.hook.as_deref()),
            ([9, 4].as_slice(), Some("forward"))
        );
    }
}
