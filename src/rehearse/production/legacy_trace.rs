//! What the TRACE target of iptables' own tables says, packet by packet (iptables-extensions(8), "TRACE"): each rule that a
//! packet meets, by table, chain and number.

use std::collections::HashMap;
use std::net::IpAddr;

use smoltcp::wire::{IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket};

use super::iptables_text::{self, Saved};
use super::rules::ChainName;
use super::trace::{KernelChain, Packet, Step, Trace, alike};

/// One line of the kernel's log, and the packet that it is about.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    /// `TRACE: filter:FORWARD:rule:3 `
    pub(crate) prefix: String,
    /// From its IP header on, as much as was copied.
    pub(crate) packet: Vec<u8>,
}

/// Rules of our own at the head of raw's PREROUTING: they have packets of client and server told of.
pub(crate) const OWN_RULES: usize = 2;

/// Reads the kernel's log, and `iptables-legacy-save`.
pub(crate) fn read(logged: &[Logged], saved: &str, client: IpAddr, server: IpAddr) -> Trace {
    let family = if client.is_ipv4() { "ip" } else { "ip6" };
    let saved = iptables_text::saved(saved, family);
    let mut open: HashMap<Key, usize> = HashMap::new();
    let mut packets: Vec<Packet> = Vec::new();
    for Logged { prefix, packet } in logged {
        let Some((chain, number)) = place(prefix, family) else {
            continue;
        };
        let Some((key, header)) = header(packet, client, server) else {
            continue;
        };
        let begins = (chain.table.as_str(), chain.chain.as_str()) == ("raw", "PREROUTING");
        // A SYN that is repeated looks the same, and begins anew.
        let anew = begins
            && open
                .get(&key)
                .is_none_or(|at| packets.get(*at).is_none_or(has_left_raw));
        if anew {
            open.insert(key, packets.len());
            packets.push(header);
        }
        if let Some(packet) = open.get(&key).and_then(|at| packets.get_mut(*at)) {
            packet.steps.extend(step(chain, number, &saved));
        }
    }
    Trace {
        packets: alike(packets),
        chains: chains(&saved),
    }
}

/// What NAT does not change before the last rule is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    from: IpAddr,
    ports: u16,
    sequence: i32,
}

fn has_left_raw(packet: &Packet) -> bool {
    packet.steps.iter().any(|step| step.chain.table != "raw")
}

/// `TRACE: filter:FORWARD:rule:3 `. Whether it says `rule`, `policy` or `return` tells nothing that the number does not: a rule
/// for every packet is called a policy, too.
fn place(prefix: &str, family: &str) -> Option<(ChainName, usize)> {
    let (chain, number) = prefix.strip_prefix("TRACE: ")?.trim().rsplit_once(':')?;
    let (chain, _) = chain.rsplit_once(':')?;
    let (table, chain) = chain.split_once(':')?;
    Some((ChainName::new(family, table, chain), number.parse().ok()?))
}

fn header(packet: &[u8], client: IpAddr, server: IpAddr) -> Option<(Key, Packet)> {
    let (from, protocol, payload): (IpAddress, _, _) = match packet.first()? >> 4 {
        4 => {
            let four = Ipv4Packet::new_checked(packet).ok()?;
            (four.src_addr().into(), four.next_header(), four.payload())
        }
        _ => {
            let six = Ipv6Packet::new_checked(packet).ok()?;
            (six.src_addr().into(), six.next_header(), six.payload())
        }
    };
    let from = IpAddr::from(from);
    let known = protocol == IpProtocol::Tcp && (from == server || from == client);
    let tcp = TcpPacket::new_checked(payload).ok().filter(|_| known)?;
    let answer = tcp.ack();
    let key = Key {
        from,
        ports: if answer { tcp.dst_port() } else { tcp.src_port() },
        sequence: tcp.seq_number().0,
    };
    let packet = Packet {
        by_server: (from == server) != answer,
        answer,
        port: if answer { tcp.src_port() } else { tcp.dst_port() },
        steps: Vec::new(),
        count: 1,
    };
    Some((key, packet))
}

/// The rule with this number, or the policy behind the last one. What only counts, marks or logs decides nothing.
fn step(chain: ChainName, number: usize, saved: &Saved) -> Option<Step> {
    let known = saved.chain(&chain)?;
    let Some(rule) = known.rules.get(number.checked_sub(1)?) else {
        let verdict = known.policy.clone()?.to_lowercase();
        return Some(Step {
            chain,
            handle: None,
            rule: String::new(),
            verdict,
        });
    };
    let verdict = match (chain.table.as_str(), rule.target()) {
        // Not to be translated; other tables have their say yet.
        ("nat", Some((_, "ACCEPT"))) => return None,
        (_, Some((_, "ACCEPT" | "DNAT" | "REDIRECT" | "NETMAP" | "SNAT" | "MASQUERADE"))) => "accept".to_owned(),
        (_, Some((_, "DROP" | "REJECT"))) => "drop".to_owned(),
        (_, Some((verb, to))) if saved.chain(&ChainName::new(&chain.family, &chain.table, to)).is_some() => {
            format!("{verb} {to}")
        }
        _ => return None,
    };
    Some(Step {
        chain,
        handle: u64::try_from(number).ok(),
        rule: rule.text.clone(),
        verdict,
    })
}

fn chains(saved: &Saved) -> Vec<KernelChain> {
    let chains = saved.chains.iter().map(|(name, chain)| {
        let own = match (name.table.as_str(), name.chain.as_str()) {
            ("raw", "PREROUTING") => OWN_RULES,
            _ => 0,
        };
        let nat = name.table == "nat";
        KernelChain {
            name: name.clone(),
            hook: chain.policy.as_ref().map(|_| name.chain.to_lowercase()),
            kind: chain
                .policy
                .as_ref()
                .map(|_| if nat { "nat" } else { "filter" }.to_owned()),
            handles: (1..=chain.rules.len() as u64).skip(own).collect(),
        }
    });
    chains.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use smoltcp::wire::{Ipv4Address, Ipv4Repr, TcpControl, TcpRepr, TcpSeqNumber};

    const CLIENT: Ipv4Address = Ipv4Address::new(198, 51, 100, 10);
    const SERVER: Ipv4Address = Ipv4Address::new(10, 20, 0, 10);
    const PUBLIC: Ipv4Address = Ipv4Address::new(203, 0, 113, 2);

    /// As iptables-legacy-save 1.8.9 writes it, with our own rules.
    const SAVED: &str = "*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -s 10.20.0.10/32 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TRACE
-A PREROUTING -s 198.51.100.10/32 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TRACE
-A PREROUTING -i eth9 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
-A PREROUTING -d 203.0.113.2/32 -p tcp -m tcp --dport 2021 -j DNAT --to-destination 10.20.0.10
COMMIT
*filter
:FORWARD DROP [0:0]
:LOGDROP - [0:0]
-A FORWARD -p tcp -m tcp --dport 2021 -g LOGDROP
-A LOGDROP -j LOG
-A LOGDROP -j REJECT --reject-with icmp-port-unreachable
COMMIT
";

    fn packet(from: Ipv4Address, to: Ipv4Address, ports: (u16, u16), sequence: i32, answer: bool) -> Vec<u8> {
        let tcp = TcpRepr {
            src_port: ports.0,
            dst_port: ports.1,
            control: TcpControl::Syn,
            seq_number: TcpSeqNumber(sequence),
            ack_number: answer.then_some(TcpSeqNumber(1)),
            window_len: 64240,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: &[],
        };
        let ip = Ipv4Repr {
            src_addr: from,
            dst_addr: to,
            next_header: IpProtocol::Tcp,
            payload_len: tcp.buffer_len(),
            hop_limit: 63,
        };
        let checksums = smoltcp::phy::ChecksumCapabilities::default();
        let mut bytes = vec![0; ip.buffer_len() + tcp.buffer_len()];
        ip.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[..]), &checksums);
        let mut inner = TcpPacket::new_unchecked(&mut bytes[ip.buffer_len()..]);
        tcp.emit(&mut inner, &from.into(), &to.into(), &checksums);
        bytes
    }

    /// Who began, whether it is the answer, the port, how often, and `CHAIN:RULE VERDICT` for each step.
    fn told(lines: &[(&str, &[u8])]) -> Vec<(bool, bool, u16, usize, Vec<String>)> {
        let logged: Vec<Logged> = lines
            .iter()
            .map(|(place, packet)| Logged {
                prefix: format!("TRACE: {place} "),
                packet: packet.to_vec(),
            })
            .collect();
        let step = |step: &Step| {
            let number = step.handle.map_or("policy".to_owned(), |number| number.to_string());
            format!("{}:{number} {}", step.chain.chain, step.verdict)
        };
        let trace = read(&logged, SAVED, CLIENT.into(), SERVER.into());
        let packets = trace.packets.iter().map(|packet| {
            let steps = packet.steps.iter().map(step).collect();
            (packet.by_server, packet.answer, packet.port, packet.count, steps)
        });
        packets.collect()
    }

    #[test]
    fn a_packet_meets_rules_by_number_before_and_after_its_translation() {
        let (before, after) = (
            packet(CLIENT, PUBLIC, (50000, 2021), 7, false),
            packet(CLIENT, SERVER, (50000, 2021), 7, false),
        );
        // The last rule of LOGDROP has no condition, so that the kernel calls it a return.
        let lines: [(&str, &[u8]); 6] = [
            ("raw:PREROUTING:policy:4", &before),
            ("nat:PREROUTING:rule:1", &before),
            ("filter:FORWARD:rule:1", &after),
            ("filter:LOGDROP:rule:1", &after),
            ("filter:LOGDROP:return:2", &after),
            ("filter:ABSENT:rule:1", &after),
        ];
        let steps = [
            "PREROUTING:policy accept",
            "PREROUTING:1 accept",
            "FORWARD:1 goto LOGDROP",
            "LOGDROP:2 drop",
        ];
        let steps = steps.map(str::to_owned).to_vec();
        assert_eq!(told(&lines), [(false, false, 2021, 1, steps.clone())]);
        // Repeated after a second.
        assert_eq!(told(&[lines, lines].concat()), [(false, false, 2021, 2, steps)]);
    }

    #[test]
    fn tasks_and_answers_are_told_apart_and_strangers_are_left_out() {
        let stranger = packet(PUBLIC, SERVER, (50000, 2021), 7, false);
        let answer = packet(SERVER, CLIENT, (2021, 50000), 8, true);
        let task = packet(SERVER, CLIENT, (40000, 2222), 9, false);
        let lines: Vec<(&str, &[u8])> = [&stranger, &answer, &task]
            .into_iter()
            .flat_map(|packet| {
                [
                    ("raw:PREROUTING:policy:4", &packet[..]),
                    ("filter:FORWARD:policy:2", &packet[..]),
                ]
            })
            .collect();
        let steps = ["PREROUTING:policy accept", "FORWARD:policy drop"]
            .map(str::to_owned)
            .to_vec();
        assert_eq!(
            told(&lines),
            [(false, true, 2021, 1, steps.clone()), (true, false, 2222, 1, steps)]
        );
    }

    #[test]
    fn our_own_rules_are_not_counted_among_those_of_the_ruleset() {
        let chains = chains(&iptables_text::saved(SAVED, "ip"));
        let of = |table: &str, chain: &str| {
            let name = ChainName::new("ip", table, chain);
            chains.iter().find(|chain| chain.name == name).unwrap().clone()
        };
        assert_eq!(of("raw", "PREROUTING").handles, [3]);
        assert_eq!(of("filter", "LOGDROP").hook, None);
        assert_eq!(of("nat", "PREROUTING").kind.as_deref(), Some("nat"));
    }
}
