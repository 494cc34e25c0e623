//! The estate: what listens where, and what is expected of the path to it.
//!
//! [`Estate::default`] is the vendor guide's estate. [`layers::Layers`] puts `eserv.ini`, a file,
//! the environment and flags on top of it.

pub mod environment;
pub mod eserv_ini;
pub mod expectation;
pub mod host;
mod keys;
pub mod layers;
pub mod limits;
pub mod mistake;
pub mod port_set;
pub mod renumbering;
mod value;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::flow::Flow;
use crate::update_set::Sha256;
use expectation::Expectations;
use host::Host;
use limits::{DropBoxLimits, FtpLimits};
use port_set::PortSet;
use renumbering::Renumbering;

/// What listens where and what is expected, as both ends read it from the same file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Estate {
    /// What clients download over: one of the guide's two port lists.
    pub mode: Mode,
    /// How many clients update at once.
    pub clients: u32,
    /// The server as a whole.
    pub server: Server,
    /// The FTP service.
    pub ftp: Ftp,
    /// How much clients may upload.
    pub dropbox: DropBoxLimits,
    /// Downloads over HTTP.
    pub http: Http,
    /// The certificate of FTPS and HTTPS.
    pub tls: Certificate,
    /// The ports of all other services.
    pub ports: Ports,
    /// What clients trust.
    pub update: Update,
    /// Clients as the server knows them: events and tasks.
    pub agent: Agent,
    /// What each vantage expects, where it differs from the guide.
    pub expect: BTreeMap<String, Expectations>,
}

/// What clients download over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Passive-mode FTP, the guide's default.
    Ftp,
    /// HTTP on 2221.
    Http,
}

/// The server as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Server {
    /// What clients dial.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The address every service listens on; `::` is dual stack.
    pub bind: IpAddr,
}

/// The FTP service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ftp {
    /// Whether there is one at all.
    pub enabled: bool,
    /// The control port; 0 lets the kernel choose.
    pub port: u16,
    /// The configured passive range; empty means whatever port the kernel gives.
    pub passive_ports: PortSet,
    /// Where the server listens for them, if something between renumbers: as many ports; empty means the same ones.
    #[serde(skip_serializing_if = "PortSet::is_empty")]
    pub passive_listen: PortSet,
    /// What the 227 reply carries; unset: the address where the control connection arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertised_address: Option<Host>,
    /// Other 227 addresses for clients of these networks; the first match wins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub advertised_for: Vec<AdvertisedFor>,
    /// Explicit FTPS (RFC 4217).
    pub tls: Tls,
    /// Whether PORT and EPRT are obeyed (active mode): the server connects to the client then.
    pub active: bool,
    /// Whether `anonymous` may log in.
    pub anonymous: bool,
    /// Users with a password. `anonymous` and `drill` are not among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
    /// What sessions may cost.
    pub limits: FtpLimits,
}

/// An advertised address for one network of clients (the cure for a missing hairpin).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdvertisedFor {
    /// Clients whose address, as the server sees it, is in here...
    pub network: IpNet,
    /// ...are told this address.
    pub address: Ipv4Addr,
}

/// Explicit FTPS (RFC 4217).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// `AUTH TLS` is refused.
    Off,
    /// Clients may ask for it.
    Optional,
    /// Nobody logs in without it.
    Required,
}

/// Downloads over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Http {
    /// Whether it is HTTPS. One port speaks either the one or the other, so there is no "optional".
    pub tls: HttpTls,
}

/// Whether downloads over HTTP are HTTPS (RFC 9110 section 4.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HttpTls {
    /// Plain HTTP.
    Off,
    /// HTTPS and nothing else.
    Required,
}

/// The certificate of FTPS and HTTPS: what the server has, and what clients trust.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// The server's certificate chain, a PEM file. Unset, like the key: made on first start and kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its private key, a PEM file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The one certificate that clients take from the server, by the SHA-256 of its DER form. Unset: any; update sets are
    /// signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Sha256>,
}

/// An FTP user with a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The login name.
    pub name: String,
    /// The password, in clear: this is a lab's server.
    #[serde(skip_serializing)]
    pub password: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The ports of every service but FTP; 0 lets the kernel choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// "Is there anything new?"
    pub version: u16,
    /// Downloads over HTTP.
    pub http: u16,
    /// Tasks.
    pub agent: u16,
    /// Client events.
    pub events: u16,
    /// System mode, for the server's own host.
    pub system: u16,
    /// Self-events, for the host itself.
    pub self_events: u16,
    /// Web console.
    pub console: u16,
}

/// What clients trust.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Update {
    /// The minisign public key of update sets, base64 (`RW...`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// Clients as the server knows them: events (2225) and tasks (2222).
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
pub struct Agent {
    /// The enrolment token: who has it is one of the estate's clients. Unset, a server makes one at its first start and keeps
    /// it in its state directory.
    #[serde(skip_serializing)]
    pub token: Option<String>,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|_| "(not shown)");
        f.debug_struct("Agent").field("token", &token).finish()
    }
}

impl Default for Estate {
    fn default() -> Self {
        Estate {
            mode: Mode::Ftp,
            clients: 100,
            server: Server {
                host: None,
                bind: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            },
            ftp: Ftp {
                enabled: true,
                port: 2021,
                // StartingPassivePort=3023 and NoofPassivePorts=1000 of the guide end at 4022,
                // although its text says 4023.
                passive_ports: PortSet::range(3023, 4022),
                passive_listen: PortSet::default(),
                advertised_address: None,
                advertised_for: Vec::new(),
                tls: Tls::Optional,
                active: false,
                anonymous: true,
                users: Vec::new(),
                limits: FtpLimits::default(),
            },
            dropbox: DropBoxLimits::default(),
            http: Http { tls: HttpTls::Off },
            tls: Certificate::default(),
            ports: Ports {
                version: 3333,
                http: 2221,
                agent: 2222,
                events: 2225,
                system: 2226,
                self_events: 2227,
                console: 10443,
            },
            update: Update::default(),
            agent: Agent::default(),
            expect: BTreeMap::new(),
        }
    }
}

impl Estate {
    /// The configured port of a flow with one listener; `None` for [`Flow::FtpPassive`].
    pub fn port(&self, flow: Flow) -> Option<u16> {
        Some(match flow {
            Flow::FtpControl => self.ftp.port,
            Flow::FtpPassive => return None,
            Flow::Version => self.ports.version,
            Flow::Http => self.ports.http,
            Flow::Agent | Flow::Tasks => self.ports.agent,
            Flow::Events => self.ports.events,
            Flow::System => self.ports.system,
            Flow::SelfEvents => self.ports.self_events,
            Flow::Console => self.ports.console,
        })
    }

    /// The key that sets a flow's port, or its range: `ports.version`, `ftp.passive_ports`.
    pub fn port_key(flow: Flow) -> String {
        match flow {
            Flow::FtpControl => "ftp.port".to_owned(),
            Flow::FtpPassive => "ftp.passive_ports".to_owned(),
            Flow::Tasks => "ports.agent".to_owned(),
            other => format!("ports.{}", other.key()),
        }
    }

    /// Sets the port of a flow with one listener; does nothing for [`Flow::FtpPassive`], and for
    /// [`Flow::Tasks`], whose port the client has.
    pub fn set_port(&mut self, flow: Flow, port: u16) {
        match flow {
            Flow::FtpControl => self.ftp.port = port,
            Flow::FtpPassive | Flow::Tasks => {}
            Flow::Version => self.ports.version = port,
            Flow::Http => self.ports.http = port,
            Flow::Agent => self.ports.agent = port,
            Flow::Events => self.ports.events = port,
            Flow::System => self.ports.system = port,
            Flow::SelfEvents => self.ports.self_events = port,
            Flow::Console => self.ports.console = port,
        }
    }

    /// The flows this estate has, in the order of reports: all, less FTP where it is off.
    pub fn flows(&self) -> impl Iterator<Item = Flow> + '_ {
        Flow::ALL
            .into_iter()
            .filter(|flow| self.ftp.enabled || !matches!(flow, Flow::FtpControl | Flow::FtpPassive))
    }

    /// The ports of every listener, the FTP control port among them.
    pub fn listener_ports(&self) -> PortSet {
        self.flows().filter_map(|flow| self.port(flow)).collect()
    }

    /// The ports that PASV and EPSV may hand out: the passive range less what other listeners own.
    pub fn handed_out_ports(&self) -> PortSet {
        let (owned, renumbering) = (self.listener_ports(), self.renumbering());
        let ports = self.ftp.passive_ports.without(&owned);
        ports
            .iter()
            .filter(|port| !owned.contains(renumbering.listened(*port)))
            .collect()
    }

    /// Which ports the server listens on for the passive ports that it tells.
    pub fn renumbering(&self) -> Renumbering {
        Renumbering::new(&self.ftp.passive_ports, &self.ftp.passive_listen)
    }

    /// The ports of the passive range that another listener owns.
    pub fn stolen_ports(&self) -> PortSet {
        self.ftp.passive_ports.without(&self.handed_out_ports())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guides_range_loses_the_version_port() {
        let estate = Estate::default();
        assert_eq!(estate.handed_out_ports().to_string(), "3023-3332,3334-4022");
        assert_eq!(estate.stolen_ports().to_string(), "3333");
    }

    #[test]
    fn an_estate_without_ftp_has_no_ftp_flows() {
        let mut estate = Estate::default();
        estate.ftp.enabled = false;
        assert!(estate.flows().all(|flow| !flow.name().starts_with("ftp")));
    }
}
