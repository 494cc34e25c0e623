//! The questions rules ask of the observations.

use std::net::IpAddr;

pub(crate) use fwdrill_protocol::address::is_private;
use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::estate::renumbering::Renumbering;
use fwdrill_protocol::evidence::ServerState;
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::host::HostState;
use fwdrill_protocol::report::{Outcome, Seen};
use fwdrill_protocol::sighting::Event;

use crate::observation::{Attempt, Observations, PassiveCommand, PassiveTalk, Trouble};

/// The estate as planned and the path as seen.
pub(super) struct Facts<'a> {
    pub(super) estate: &'a Estate,
    pub(super) seen: &'a Observations,
}

impl<'a> Facts<'a> {
    pub(super) fn new(estate: &'a Estate, seen: &'a Observations) -> Self {
        Facts { estate, seen }
    }

    pub(super) fn expected(&self, flow: Flow) -> Expected {
        self.estate.expected(&self.seen.vantage, flow)
    }

    pub(super) fn attempt(&self, flow: Flow) -> Option<&'a Attempt> {
        self.seen.attempts.get(&flow)
    }

    /// Flows with a port of their own whose first connection ended as `outcome`.
    pub(super) fn ended(&self, outcome: Outcome) -> Vec<Flow> {
        self.seen
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.outcome == outcome)
            .map(|(flow, _)| *flow)
            .collect()
    }

    /// The ports of flows, ascending.
    pub(super) fn ports(&self, flows: &[Flow]) -> PortSet {
        flows
            .iter()
            .filter_map(|flow| Some(self.attempt(*flow)?.to.port()))
            .collect()
    }

    /// The address that was dialled.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.seen.resolution.addresses.first().copied()
    }

    pub(super) fn server(&self) -> Option<&'a ServerState> {
        let server = &self.seen.evidence.joined()?.server;
        // A journal may not say; a server that spoke for itself listens somewhere.
        (!server.listening.is_empty()).then_some(server)
    }

    /// Which ports the server listens on for the passive ports that it tells; the same ones where it does not say.
    pub(super) fn renumbering(&self) -> Renumbering {
        self.server()
            .map_or_else(Renumbering::default, ServerState::renumbering)
    }

    /// Whether the server program listens for a flow where somebody else can reach it; `None`
    /// where it did not say.
    pub(super) fn server_listens(&self, flow: Flow) -> Option<Listening> {
        let own = self.server()?.listening.get(&flow);
        // The host knows of other programs, too.
        if let (Some(host), Some(port)) = (self.host(), self.estate.port(flow)) {
            let of_port = || host.listening.iter().filter(|listener| listener.address.port() == port);
            return Some(
                match (
                    of_port().next(),
                    of_port().all(|listener| listener.address.ip().is_loopback()),
                ) {
                    (None, _) => Listening::No,
                    (Some(_), true) => Listening::LoopbackOnly,
                    (Some(_), false) => Listening::Yes,
                },
            );
        }
        Some(match own {
            None => Listening::No,
            Some(address) if address.ip().is_loopback() => Listening::LoopbackOnly,
            Some(_) => Listening::Yes,
        })
    }

    /// What the server's host knows.
    pub(super) fn host(&self) -> Option<&'a HostState> {
        self.seen.evidence.joined()?.host.as_deref()
    }

    /// The addresses at which the drill arrived at the server and from which it came, as the server saw them.
    fn sighted(&self) -> impl Iterator<Item = (IpAddr, IpAddr)> + 'a {
        let sightings = self
            .seen
            .evidence
            .joined()
            .map(|evidence| evidence.sightings.as_slice());
        let accepted = sightings
            .unwrap_or_default()
            .iter()
            .filter(|sighting| sighting.event == Event::Accepted && !sighting.was_led_to_loopback());
        accepted.map(|sighting| (sighting.local.ip(), sighting.peer.ip()))
    }

    /// Whether there is a NAT in front of the server: it is reached at another address than was dialled.
    pub(super) fn translated(&self) -> Option<bool> {
        let dialled = self.address()?;
        self.sighted().next().map(|(local, _)| local != dialled)
    }

    /// The server's own address, where it said so.
    pub(super) fn server_address(&self) -> Option<String> {
        self.sighted().next().map(|(local, _)| local.to_string())
    }

    /// Where a firewall in front of the server sees this client come from, as far as is known.
    pub(super) fn client_address(&self) -> String {
        let seen = self.sighted().next().map(|(_, peer)| peer);
        match seen.or(self.seen.path.local) {
            Some(address) => address.to_string(),
            None => "this client".to_owned(),
        }
    }

    pub(super) fn seen_by_server(&self, flow: Flow) -> Seen {
        match self.seen.evidence.joined() {
            Some(evidence) if evidence.sightings.iter().any(|sighting| sighting.flow == flow) => Seen::Yes,
            // A connection that never got as far as naming its drill leaves no sighting of it, so
            // the absence of one says nothing.
            _ => Seen::Unknown,
        }
    }

    pub(super) fn passive(&self, command: PassiveCommand) -> Option<&'a PassiveTalk> {
        self.seen
            .ftp
            .as_ref()?
            .passive
            .iter()
            .find(|talk| talk.command == command)
    }

    /// Why the dialogue over a flow that has a protocol ended early.
    pub(super) fn trouble(&self, flow: Flow) -> Option<&'a Trouble> {
        match flow {
            Flow::FtpControl => self.seen.ftp.as_ref()?.trouble.as_ref(),
            Flow::Version => self.seen.version.as_ref()?.trouble.as_ref(),
            Flow::Http => self.seen.http.as_ref()?.trouble.as_ref(),
            _ => None,
        }
    }
}

/// Where the server program listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listening {
    Yes,
    LoopbackOnly,
    No,
}
