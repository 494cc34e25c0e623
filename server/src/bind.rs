//! Binding every port of an estate, or saying about each that cannot be bound why, and what to do.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::flow::Flow;
use tokio::net::TcpListener;

use crate::config::Config;
use crate::{connection, ftp};

/// The listeners of one flow: one, or for FTP and self-events on `::` one of each family.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) flow: Flow,
    pub(crate) address: SocketAddr,
    pub(crate) listeners: Vec<TcpListener>,
}

/// Binds every port, in the order of reports. If any cannot be bound, none is.
pub(crate) fn bind(config: &Config) -> Result<Vec<Bound>, BindErrors> {
    let (mut bound, mut errors) = (Vec::new(), Vec::new());
    for flow in config.flows() {
        let address = SocketAddr::new(config.listens_at(flow), config.estate.port(flow).unwrap_or(0));
        match listen(flow, address, config.estate.server.bind == Ipv6Addr::UNSPECIFIED) {
            Ok(listening) => bound.push(listening),
            Err(source) => errors.push(BindError {
                flow,
                address,
                advice: advice(&config.estate, flow, address, &source),
                source,
            }),
        }
    }
    errors.extend(forbidden_range(config));
    if errors.is_empty() {
        Ok(bound)
    } else {
        Err(BindErrors {
            of: bound.len() + errors.len(),
            errors,
        })
    }
}

fn listen(flow: Flow, address: SocketAddr, both_families: bool) -> io::Result<Bound> {
    let listeners = match flow {
        Flow::FtpControl => ftp::listen(address)?,
        Flow::SelfEvents if both_families => {
            connection::listen_on_both(Ipv6Addr::LOCALHOST, Ipv4Addr::LOCALHOST, address.port())?
        }
        _ => vec![connection::listen(address)?],
    };
    let address = listeners.first().map_or(Ok(address), TcpListener::local_addr)?;
    Ok(Bound {
        flow,
        address,
        listeners,
    })
}

/// Passive ports are bound when a session asks for one. That the system forbids them is better known now: its lowest port
/// is tried and given back. In use is no error, a session gets another one.
fn forbidden_range(config: &Config) -> Option<BindError> {
    let estate = &config.estate;
    config.flows().find(|flow| *flow == Flow::FtpControl)?;
    let address = SocketAddr::new(estate.server.bind, estate.handed_out_ports().first()?);
    match std::net::TcpListener::bind(address) {
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => Some(BindError {
            flow: Flow::FtpPassive,
            address,
            advice: advice(estate, Flow::FtpPassive, address, &source),
            source,
        }),
        _ => None,
    }
}

/// Every port that could not be bound. In text one line each.
#[derive(Debug)]
pub struct BindErrors {
    of: usize,
    errors: Vec<BindError>,
}

/// A port that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("failed to bind {} {address}", flow.title())]
pub struct BindError {
    /// What should have listened there.
    pub flow: Flow,
    /// Where.
    pub address: SocketAddr,
    /// What to do about it, where that can be said.
    pub advice: Option<String>,
    /// The system's reason.
    #[source]
    pub source: io::Error,
}

impl BindErrors {
    /// The errors, in the order of reports; at least one.
    pub fn errors(&self) -> &[BindError] {
        &self.errors
    }
}

impl fmt::Display for BindErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to bind {} of {} ports", self.errors.len(), self.of)?;
        for error in &self.errors {
            let BindError {
                flow,
                address,
                source,
                advice,
            } = error;
            write!(f, "\n  {} {address}: {source}", flow.title())?;
            if let Some(advice) = advice {
                write!(f, "; {advice}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for BindErrors {}

fn advice(estate: &Estate, flow: Flow, address: SocketAddr, error: &io::Error) -> Option<String> {
    let port = address.port();
    let key = Estate::port_key(flow);
    let twin = estate
        .flows()
        .find(|other| *other != flow && port != 0 && estate.port(*other) == Some(port));
    match (error.kind(), twin) {
        (io::ErrorKind::AddrInUse, Some(twin)) => Some(format!(
            "the estate gives this port to the {} as well: change {key}",
            twin.title()
        )),
        (io::ErrorKind::AddrInUse, None) => Some(format!(
            "stop what listens there (`ss -ltnp 'sport = :{port}'` shows it) or set {key} to another port"
        )),
        (io::ErrorKind::PermissionDenied, _) => Some(format!(
            "ports below 1024 need the capability CAP_NET_BIND_SERVICE: set {key} to 1024 or higher, or run with it"
        )),
        (io::ErrorKind::AddrNotAvailable, _) if flow == Flow::SelfEvents && address.is_ipv6() => Some(
            "this host has no IPv6 loopback address: give the interface lo ::1, or set server.bind to 0.0.0.0"
                .to_owned(),
        ),
        (io::ErrorKind::AddrNotAvailable, _) => Some(format!(
            "no interface of this host has the address {}: correct server.bind",
            address.ip()
        )),
        _ if address.is_ipv6() && error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => {
            Some("this host has no IPv6: set server.bind to 0.0.0.0".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::config::Role;

    fn config(bind: IpAddr) -> Config {
        let mut estate = Estate::default();
        estate.server.bind = bind;
        for flow in Flow::ALL {
            estate.set_port(flow, 0);
        }
        Config::new(estate, Role::Server, "depot", "state")
    }

    #[tokio::test]
    async fn every_port_that_cannot_be_bound_is_named_at_once_with_what_to_do() {
        let taken = connection::listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let port = taken.local_addr().unwrap().port();
        let mut config = config(Ipv4Addr::LOCALHOST.into());
        config.estate.set_port(Flow::FtpControl, port);
        config.estate.set_port(Flow::Console, port);
        let errors = bind(&config).unwrap_err();
        let named: Vec<_> = errors
            .errors()
            .iter()
            .map(|error| (error.flow, error.address.port()))
            .collect();
        assert_eq!(named, [(Flow::FtpControl, port), (Flow::Console, port)]);
        let text = errors.to_string();
        assert!(
            text.starts_with("failed to bind 2 of 8 ports\n  FTP control connection 127.0.0.1:"),
            "{text}"
        );
        assert!(
            text.contains("the estate gives this port to the web console as well: change ftp.port"),
            "{text}"
        );

        config.estate.set_port(Flow::Console, 0);
        let text = bind(&config).unwrap_err().to_string();
        assert!(
            text.contains(&format!("`ss -ltnp 'sport = :{port}'` shows it) or set ftp.port")),
            "{text}"
        );
    }

    #[tokio::test]
    async fn an_address_that_is_not_ours_is_told_apart() {
        let text = bind(&config([192, 0, 2, 1].into())).unwrap_err().to_string();
        // All but self-events, whose port is on loopback.
        assert!(text.contains("failed to bind 7 of 8 ports"), "{text}");
        assert!(
            text.contains("no interface of this host has the address 192.0.2.1: correct server.bind"),
            "{text}"
        );
    }

    #[test]
    fn a_port_that_needs_a_privilege_is_told_apart() {
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        let text = advice(&Estate::default(), Flow::Http, ([0, 0, 0, 0], 80).into(), &error).unwrap();
        assert!(
            text.contains("CAP_NET_BIND_SERVICE") && text.contains("ports.http"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn two_zeroes_are_not_the_same_port_and_the_wildcard_is_dual_stack() {
        let bound = bind(&config(Ipv6Addr::UNSPECIFIED.into())).unwrap();
        for Bound { address, .. } in &bound {
            for host in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
                tokio::net::TcpStream::connect((host, address.port())).await.unwrap();
            }
        }
        assert_eq!(bound.len(), 8);
    }
}
