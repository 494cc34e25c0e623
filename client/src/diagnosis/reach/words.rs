//! A cause in words: the summary and the remedy, with ports, addresses and the chain to look into.

use fwdrill_protocol::finding::{Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::Flow;

use super::super::facts::Facts;
use super::super::list;
use super::cause::Cause;
use super::named;

pub(super) fn finding(facts: &Facts, flows: &[Flow], cause: Cause) -> Finding {
    let words = Words {
        named: named(facts, flows),
        ports: facts.ports(flows).to_string(),
        listed: list(facts.ports(flows).iter()),
        one: flows.len() == 1,
        target: facts.seen.target.clone(),
        server: facts.server_address().unwrap_or_else(|| match cause.id {
            // A NAT has that address, not the server.
            FindingId::ForwardMissing
            | FindingId::ForwardWrongHost
            | FindingId::ForwardDeadHost
            | FindingId::HairpinMissing => "the server".to_owned(),
            _ => facts.seen.target.clone(),
        }),
        device: cause.device.clone(),
        client: facts.client_address(),
    };
    Finding {
        id: cause.id,
        severity: match cause.id {
            FindingId::PacketLoss => Severity::Warning,
            _ => Severity::Error,
        },
        confidence: cause.confidence,
        flow: flows.first().copied().unwrap_or(Flow::FtpControl),
        summary: words.summary(&cause),
        place: cause.place,
        evidence: cause.evidence.clone(),
        remedy: words.remedy(&cause),
        alternatives: cause.alternatives,
    }
}

struct Words {
    /// "2225 (client events) and 3333 (version service)".
    named: String,
    /// As a packet filter writes them.
    ports: String,
    listed: String,
    one: bool,
    target: String,
    /// The server's own address where it is known.
    server: String,
    device: Option<String>,
    client: String,
}

impl Words {
    fn summary(&self, cause: &Cause) -> String {
        use FindingId::*;
        let Words { named, target, .. } = self;
        let are = if self.one { "is" } else { "are" };
        let by = self
            .device
            .as_ref()
            .map_or_else(String::new, |device| format!(" by {device}"));
        let at = self
            .device
            .as_ref()
            .map_or_else(String::new, |device| format!(" at {device}"));
        match cause.id {
            PortDropped => format!("TCP {named} {are} dropped without an answer{by}"),
            PortRejected => format!("TCP {named} {are} rejected on the way to the server{by}"),
            ForwardMissing => format!("the firewall in front of the server does not forward TCP {named}{at}"),
            ForwardWrongHost => format!("TCP {named} {are} answered by another host than the server"),
            ForwardDeadHost => {
                let who = self.device.as_deref().unwrap_or("a router");
                format!(
                    "TCP {named} {are} unreachable: {who} cannot deliver it, the host that it sends it to does not answer"
                )
            }
            ClientEgressBlocked => format!("the network of this client lets nothing out to TCP {named}: blocked{by}"),
            ClientHostBlocked => format!("this host's own firewall blocks TCP {named}"),
            ServerHostBlocked => format!("the server's own firewall blocks TCP {named}"),
            ServerNotListening => format!("nothing listens on TCP {named} of the server"),
            ServerLoopbackOnly => format!("the server listens on TCP {named} only on its loopback address"),
            ServerHung => format!("the server's program on TCP {named} does not accept connections: it hangs"),
            ServerBacklogFull => {
                format!("the accept queue of TCP {named} is full: the server's program does not keep up")
            }
            ReturnPathBroken => format!("TCP {named}: packets reach the server, its answers do not come back"),
            AsymmetricRoute => {
                "connections stand, but no data flows: a firewall sees only one direction of them".to_owned()
            }
            SourceBlocked => format!(
                "no port of {target} answers {}: everything from here is dropped",
                self.client
            ),
            NoRoute => match &self.device {
                Some(device) if device != "this host" => format!("{device} has no route to {target}"),
                _ => format!("this host has no route to {target}"),
            },
            HairpinMissing => {
                format!("no port of {target} is reached from the inside: the firewall does not send it back in")
            }
            InspectionBlocksFtp => format!(
                "TCP {named}: {} keeps back what an FTP server says first",
                between(cause)
            ),
            ProxyBackendDown => {
                format!(
                    "TCP {named} {are} accepted by {}{at}, with no server behind it",
                    between(cause)
                )
            }
            ServerConnectionLimit => "the FTP server takes no more sessions from here".to_owned(),
            PacketLoss => format!("TCP {named} {are} reached now and then: packets are lost on the way"),
            LatencyAboveTimeout => format!("TCP {named} {are} slow to answer: clients give up before"),
            other => format!("TCP {named}: {other}"),
        }
    }

    fn remedy(&self, cause: &Cause) -> String {
        use FindingId::*;
        let Words {
            ports,
            listed,
            target,
            server,
            client,
            ..
        } = self;
        let device = self.device.as_deref();
        let on = |default: &str| device.map_or_else(|| default.to_owned(), |device| format!("on {device}"));
        let rule = format!("accept tcp dport {{ {ports} }} from {client} to {server}");
        match cause.id {
            PortDropped => format!(
                "{}, {rule} in the forward chain, before the rule that drops it (and forward it, where that is a NAT)",
                on("on the firewall between")
            ),
            PortRejected => format!("{}, {rule} in the forward chain, in place of the rule that rejects it", on("on the firewall that rejects it")),
            ForwardMissing => format!(
                "{}, add to the prerouting (dstnat) chain: ip daddr {target} tcp dport {{ {ports} }} dnat to {server}, and {rule} in the forward chain",
                on("on the firewall in front of the server")
            ),
            ForwardWrongHost => format!(
                "on the firewall in front of the server, let the forward of tcp dport {{ {ports} }} (prerouting chain, dnat) point to {server}"
            ),
            ForwardDeadHost => format!(
                "{}, look where tcp dport {{ {ports} }} is forwarded to (prerouting chain, dnat): no host has that address; it should be {server}",
                on("on the last router")
            ),
            ClientEgressBlocked => format!(
                "{}, accept tcp dport {{ {ports} }} to {target} in the forward chain (from the inside out)",
                on("on the firewall in front of this client")
            ),
            ClientHostBlocked => format!("on this host, accept tcp dport {{ {ports} }} to {target} in the output chain, and the answers in the input chain"),
            ServerHostBlocked => format!("on the server {server}, accept tcp dport {{ {ports} }} in the input chain of its own firewall"),
            ServerNotListening => format!("on the server, start the service, or let it listen on TCP {listed} (`ss -ltn` shows what listens)"),
            ServerLoopbackOnly => "set server.bind to \"0.0.0.0\" (or \"::\", or the address that clients reach)".to_owned(),
            ServerHung => format!("restart the service on TCP {listed} of the server, and look why it stopped accepting"),
            ServerBacklogFull => format!("restart the service on TCP {listed} of the server if it hangs; else raise its backlog (and net.core.somaxconn)"),
            ReturnPathBroken => match cause.place {
                Place::ServerHost => format!("on the server, route the answers to {client} back the way they came (or loosen rp_filter)"),
                Place::ServerFirewall => format!("the answers by-pass the firewall: masquerade connections from the inside to {target} (postrouting chain), or dial the server's own address"),
                _ => format!("accept ct state established,related in the forward chain for tcp sport {{ {ports} }} from {server}, and route the answers back the way they came"),
            },
            AsymmetricRoute => format!("route both directions between {client} and {server} through the same firewall, or let it pass packets of connections whose other half it does not see"),
            SourceBlocked => format!("look for a rule on the firewall of {target} that drops {client} (geo or source list), and whether the address is right; probe from another network to tell"),
            NoRoute => match device {
                Some(device) if device != "this host" => format!("on {device}, add a route to {target}"),
                _ => format!("on this host, add a route to {target}"),
            },
            HairpinMissing => format!("on the firewall, forward {target} from the inside as well (dnat in prerouting, masquerade in postrouting), or let clients inside dial the address of {server} itself"),
            InspectionBlocksFtp if cause.place == Place::ServerHost => format!("switch off FTP inspection for tcp dport {{ {ports} }} on the server {server} itself (its firewall, a scanner), or on a switch that filters before it"),
            InspectionBlocksFtp => format!("switch off FTP inspection (application control, DPI) for tcp dport {{ {ports} }} on the way to {server}"),
            ProxyBackendDown if cause.place == Place::ServerHost => format!("on {server}, look what accepts TCP {listed} (a redirect rule, a container's proxy, socket activation) and start the service behind it"),
            ProxyBackendDown => format!("{}, look where the proxy or load balancer for TCP {listed} sends connections: nothing answers there; and start the service on {server}", on("on the way to the server")),
            ServerConnectionLimit => "end sessions that are left over, or raise ftp.limits.sessions_per_address (and ftp.limits.sessions) of the server".to_owned(),
            PacketLoss => format!("look for a line that loses packets on the way to {target}, or for a limit on new connections to tcp dport {{ {ports} }}"),
            LatencyAboveTimeout => "let clients wait longer for a connection, or find what delays packets on the way".to_owned(),
            _ => format!("look at TCP {listed} on the way to {target}"),
        }
    }
}

/// Who acts in the server's place. Without a router on the way it is the server's own host, or a switch that filters.
fn between(cause: &Cause) -> &'static str {
    match cause.place {
        Place::ServerHost => "something on the server's own host",
        _ => "a device on the way",
    }
}
