//! What a host's kernel counts and holds of TCP, in the words of `/proc/net` (Linux, Documentation/networking/
//! proc_net_tcp.rst and snmp_counter.rst). Both ends of a drill read their own.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::estate::port_set::PortSet;

/// What the server's host knew at one moment that concerns a drill.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostState {
    /// Listening sockets on the estate's ports, whichever program they belong to.
    pub listening: Vec<Listener>,
    /// Ports of the passive range on which another program listens; absent where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub taken: Option<PortSet>,
    /// Connections to the estate's ports in SYN_RECV whose other end has an address of the drill: the SYN arrived, the
    /// handshake was not completed.
    pub half_open: Vec<HalfOpen>,
    /// The kernel's counters.
    pub counters: Counters,
}

/// A listening socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// How many completed connections wait for the program to accept them.
    pub waiting: u64,
}

/// A connection in SYN_RECV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HalfOpen {
    /// The server's end.
    pub local: SocketAddr,
    /// The other end, as the server sees it.
    pub peer: SocketAddr,
}

/// Counters since the host started (or, between two moments, by how much they grew). IPv4 and IPv6 together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// IP packets received.
    pub in_receives: u64,
    /// Of these, delivered to a protocol. Between the two stand prerouting and input of the host's firewall.
    pub in_delivers: u64,
    /// Of these, passed on as a router does.
    pub forwarded: u64,
    /// Packets with a source address that reverse path filtering does not believe.
    pub reverse_path: u64,
    /// SYNs that found the accept queue of their listener full.
    pub listen_overflows: u64,
    /// Resets sent.
    pub out_resets: u64,
    /// Connections that ended before they stood, either way.
    pub attempt_fails: u64,
    /// Retransmissions that the host itself could not send: its own firewall or routing refused.
    pub retransmit_fails: u64,
    /// Segments sent once more, because nobody had confirmed them.
    #[serde(default)]
    pub sent_again: u64,
    /// Segments received behind one that was missing.
    #[serde(default)]
    pub out_of_order: u64,
    /// SYNs sent once more.
    #[serde(default)]
    pub syns_sent_again: u64,
}

impl Counters {
    /// Reads `/proc/net/snmp`, `/proc/net/netstat` and `/proc/net/snmp6` (the last one empty where there is no IPv6). `None`
    /// if the first one is not what it should be.
    pub fn parse(snmp: &str, netstat: &str, snmp6: &str) -> Option<Self> {
        let v4 = |name| column(snmp, "Ip:", name);
        let v6 = |name| line(snmp6, name).unwrap_or(0);
        let tcp = |name| column(snmp, "Tcp:", name).unwrap_or(0);
        let more = |name| column(netstat, "TcpExt:", name).unwrap_or(0);
        Some(Counters {
            in_receives: v4("InReceives")? + v6("Ip6InReceives"),
            in_delivers: v4("InDelivers")? + v6("Ip6InDelivers"),
            forwarded: v4("ForwDatagrams")? + v6("Ip6OutForwDatagrams"),
            reverse_path: more("IPReversePathFilter"),
            listen_overflows: more("ListenOverflows"),
            out_resets: tcp("OutRsts"),
            attempt_fails: tcp("AttemptFails"),
            retransmit_fails: more("TCPRetransFail"),
            sent_again: tcp("RetransSegs"),
            out_of_order: more("TCPOFOQueue"),
            syns_sent_again: more("TCPSynRetrans"),
        })
    }

    /// By how much each grew since `before`.
    pub fn since(&self, before: &Counters) -> Counters {
        Counters {
            in_receives: self.in_receives.saturating_sub(before.in_receives),
            in_delivers: self.in_delivers.saturating_sub(before.in_delivers),
            forwarded: self.forwarded.saturating_sub(before.forwarded),
            reverse_path: self.reverse_path.saturating_sub(before.reverse_path),
            listen_overflows: self.listen_overflows.saturating_sub(before.listen_overflows),
            out_resets: self.out_resets.saturating_sub(before.out_resets),
            attempt_fails: self.attempt_fails.saturating_sub(before.attempt_fails),
            retransmit_fails: self.retransmit_fails.saturating_sub(before.retransmit_fails),
            sent_again: self.sent_again.saturating_sub(before.sent_again),
            out_of_order: self.out_of_order.saturating_sub(before.out_of_order),
            syns_sent_again: self.syns_sent_again.saturating_sub(before.syns_sent_again),
        }
    }

    /// Packets that arrived and were neither delivered nor passed on: what the host's own firewall dropped or rejected.
    pub fn undelivered(&self) -> u64 {
        self.in_receives
            .saturating_sub(self.in_delivers)
            .saturating_sub(self.forwarded)
    }
}

/// A value of the files whose first line of a group names the columns and the second one holds the numbers.
fn column(text: &str, group: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|column| column == name)?;
    values.split_whitespace().nth(at)?.parse().ok()
}

/// A value of the file that has a name and a number per line.
fn line(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(char::is_whitespace)?;
        (key == name).then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNMP: &str = "Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors ForwDatagrams InUnknownProtos InDiscards InDelivers\n\
                        Ip: 1 64 1000 0 0 100 0 0 880\n\
                        Tcp: RtoAlgorithm AttemptFails RetransSegs OutRsts\nTcp: 1 7 8 9\n";
    const NETSTAT: &str = "TcpExt: SyncookiesSent ListenOverflows IPReversePathFilter TCPOFOQueue TCPRetransFail TCPSynRetrans\nTcpExt: 0 5 2 6 3 4\nIpExt: InNoRoutes\nIpExt: 4\n";
    const SNMP6: &str =
        "Ip6InReceives                   \t50\nIp6InDelivers                   \t40\nIp6OutForwDatagrams \t0\n";

    #[test]
    fn the_kernels_files_are_read_by_the_names_of_their_columns() {
        let counters = Counters::parse(SNMP, NETSTAT, SNMP6).unwrap();
        assert_eq!(
            (counters.in_receives, counters.in_delivers, counters.forwarded),
            (1050, 920, 100)
        );
        assert_eq!(
            (
                counters.listen_overflows,
                counters.reverse_path,
                counters.retransmit_fails
            ),
            (5, 2, 3)
        );
        assert_eq!(
            (counters.out_resets, counters.attempt_fails, counters.undelivered()),
            (9, 7, 30)
        );
        assert_eq!(
            (counters.sent_again, counters.out_of_order, counters.syns_sent_again),
            (8, 6, 4)
        );
        assert_eq!(counters.since(&counters), Counters::default());
    }

    #[test]
    fn files_that_say_something_else_are_unknown() {
        assert_eq!(Counters::parse("", "", ""), None);
        assert_eq!(Counters::parse("Ip: InReceives\nIp: many\n", "", ""), None);
    }
}
