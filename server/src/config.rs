//! What a server is told before it binds anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use fwdrill_protocol::estate::{Estate, Mode};
use fwdrill_protocol::flow::Flow;

use crate::{http, journal, store};

/// What a server is told before it binds anything. Make one with [`Config::new`] and change what differs.
#[derive(Debug, Clone)]
pub struct Config {
    /// What listens where. Port 0 works everywhere.
    pub estate: Estate,
    /// Which of the guide's two servers this is.
    pub role: Role,
    /// The directory of update sets. A server makes a first set if there is none.
    pub depot: PathBuf,
    /// The directory for keys, certificates, the database, the drop box and the journal; made if it is not there.
    pub state: PathBuf,
    /// Who speaks FTP.
    pub engine: FtpEngine,
    /// How long connections may take to end when the server stops.
    pub grace: Duration,
    /// What one HTTP connection may cost.
    pub http: http::Limits,
    /// How much the journal keeps in memory.
    pub journal: journal::Limits,
    /// How much is kept of what clients tell of themselves.
    pub store: store::Limits,
}

/// Which of the guide's two servers this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The update server: every port of the estate.
    Server,
    /// A PC that passes updates on to others: version, FTP, agent and self-events; HTTP where clients download by it.
    UpdateAgent,
}

/// Who speaks FTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FtpEngine {
    /// libunftp: a server that nobody here wrote, the control group.
    Libunftp,
    /// Our own.
    #[default]
    Native,
}

impl Config {
    /// The defaults for an estate: 10 seconds of grace, all limits as documented.
    pub fn new(estate: Estate, role: Role, depot: impl Into<PathBuf>, state: impl Into<PathBuf>) -> Self {
        Config {
            estate,
            role,
            depot: depot.into(),
            state: state.into(),
            engine: FtpEngine::default(),
            grace: Duration::from_secs(10),
            http: http::Limits::default(),
            journal: journal::Limits::default(),
            store: store::Limits::default(),
        }
    }

    /// The flows this server has a listener for.
    pub fn flows(&self) -> impl Iterator<Item = Flow> + '_ {
        let here = |flow: &Flow| match self.role {
            Role::Server => true,
            Role::UpdateAgent => match flow {
                Flow::Version | Flow::FtpControl | Flow::Agent | Flow::SelfEvents => true,
                Flow::Http => self.estate.mode == Mode::Http,
                _ => false,
            },
        };
        self.estate
            .flows()
            .filter(|flow| *flow != Flow::FtpPassive)
            .filter(here)
    }

    /// Where a flow listens: at `server.bind`. Self-events are for programs on this host, so their port is on loopback
    /// whatever that is; with `::` on both loopback addresses, of which this is the first.
    pub fn listens_at(&self, flow: Flow) -> IpAddr {
        match (flow, self.estate.server.bind) {
            (Flow::SelfEvents, IpAddr::V4(bind)) if !bind.is_loopback() => Ipv4Addr::LOCALHOST.into(),
            (Flow::SelfEvents, IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
            (_, bind) => bind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_agent_has_the_ports_that_the_guide_gives_it() {
        let ports = |config: &Config| -> Vec<u16> {
            let mut ports: Vec<u16> = config.flows().filter_map(|flow| config.estate.port(flow)).collect();
            ports.sort_unstable();
            ports
        };
        let mut config = Config::new(Estate::default(), Role::UpdateAgent, "depot", "state");
        assert_eq!(ports(&config), [2021, 2222, 2227, 3333]);
        config.estate.mode = Mode::Http;
        assert_eq!(ports(&config), [2021, 2221, 2222, 2227, 3333]);
        config.role = Role::Server;
        assert_eq!(ports(&config), [2021, 2221, 2222, 2225, 2226, 2227, 3333, 10443]);
        config.estate.ftp.enabled = false;
        assert_eq!(ports(&config), [2221, 2222, 2225, 2226, 2227, 3333, 10443]);
    }

    #[test]
    fn self_events_are_on_loopback_whatever_the_estate_binds() {
        let at = |bind: &str, flow| {
            let mut config = Config::new(Estate::default(), Role::Server, "depot", "state");
            config.estate.server.bind = bind.parse().unwrap();
            config.listens_at(flow).to_string()
        };
        assert_eq!(at("0.0.0.0", Flow::SelfEvents), "127.0.0.1");
        assert_eq!(at("10.20.0.10", Flow::SelfEvents), "127.0.0.1");
        assert_eq!(at("127.0.0.5", Flow::SelfEvents), "127.0.0.5");
        assert_eq!(at("::", Flow::SelfEvents), "::1");
        assert_eq!(at("2001:db8::10", Flow::SelfEvents), "::1");
        assert_eq!(at("10.20.0.10", Flow::System), "10.20.0.10");
    }
}
