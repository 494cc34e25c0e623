//! Which address the 227 reply carries.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fwdrill_protocol::estate::host::Host;
use fwdrill_protocol::estate::{AdvertisedFor, Ftp};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often a configured host name is looked up again: behind a dynamic address it changes.
const REFRESH: Duration = Duration::from_secs(300);

/// The address of a 227, by client: the first matching `advertised_for`, else `advertised_address`, else where the
/// control connection arrived.
#[derive(Debug)]
pub struct Advertised {
    overrides: Vec<AdvertisedFor>,
    address: Address,
}

#[derive(Debug)]
enum Address {
    OfControlConnection,
    Fixed(Ipv4Addr),
    Named { name: String, resolved: AtomicU32 },
}

/// A 227 reply cannot answer a client that came by IPv6: RFC 2428 section 1 has EPSV for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("PASV is for IPv4 only, use EPSV")]
pub struct UseEpsv;

/// Why `ftp.advertised_address` is of no use.
#[derive(Debug, Error)]
pub enum AdvertisedError {
    /// The name cannot be looked up.
    #[error("failed to resolve ftp.advertised_address {name:?}")]
    Resolve {
        /// As configured.
        name: String,
        /// The resolver's reason.
        #[source]
        source: io::Error,
    },
    /// There are only IPv6 addresses.
    #[error("ftp.advertised_address {0:?} has no IPv4 address, and a 227 reply carries no other")]
    NoIpv4(String),
}

impl Advertised {
    /// Reads the estate; a host name is resolved now.
    pub async fn new(ftp: &Ftp) -> Result<Self, AdvertisedError> {
        let address = match &ftp.advertised_address {
            None => Address::OfControlConnection,
            Some(Host::Address(IpAddr::V4(address))) => Address::Fixed(*address),
            Some(Host::Address(IpAddr::V6(address))) => return Err(AdvertisedError::NoIpv4(address.to_string())),
            Some(Host::Name(name)) => Address::Named {
                resolved: AtomicU32::new(resolve(name).await?.to_bits()),
                name: name.clone(),
            },
        };
        Ok(Advertised {
            overrides: ftp.advertised_for.clone(),
            address,
        })
    }

    /// The address for a client at `peer` whose control connection arrived at `local`.
    pub fn address_for(&self, peer: IpAddr, local: IpAddr) -> Result<Ipv4Addr, UseEpsv> {
        let IpAddr::V4(local) = local.to_canonical() else {
            return Err(UseEpsv);
        };
        let peer = peer.to_canonical();
        if let Some(matching) = self.overrides.iter().find(|one| one.network.contains(&peer)) {
            return Ok(matching.address);
        }
        Ok(match &self.address {
            Address::OfControlConnection => local,
            Address::Fixed(address) => *address,
            Address::Named { resolved, .. } => Ipv4Addr::from_bits(resolved.load(Ordering::Relaxed)),
        })
    }

    /// Looks a configured name up again and again until `stopping`. Returns at once if there is none.
    pub async fn keep_fresh(&self, stopping: &CancellationToken) {
        let Address::Named { name, resolved } = &self.address else {
            return;
        };
        while stopping
            .run_until_cancelled(tokio::time::sleep(REFRESH))
            .await
            .is_some()
        {
            match resolve(name).await {
                Ok(address) => {
                    let before = Ipv4Addr::from_bits(resolved.swap(address.to_bits(), Ordering::Relaxed));
                    if before != address {
                        info!(name, %before, %address, "the advertised address has changed");
                    }
                }
                // What was true five minutes ago is the best guess.
                Err(error) => warn!(name, %error, "keeping the advertised address as it was"),
            }
        }
    }
}

async fn resolve(name: &str) -> Result<Ipv4Addr, AdvertisedError> {
    let found = tokio::net::lookup_host((name, 0)).await;
    let mut addresses = found.map_err(|source| AdvertisedError::Resolve {
        name: name.to_owned(),
        source,
    })?;
    let ipv4 = addresses.find_map(|address| match address {
        SocketAddr::V4(address) => Some(*address.ip()),
        SocketAddr::V6(_) => None,
    });
    ipv4.ok_or_else(|| AdvertisedError::NoIpv4(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::estate::Estate;

    use super::*;

    const LOCAL: &str = "198.51.100.1";

    async fn told(ftp: &Ftp, peer: &str) -> String {
        let advertised = Advertised::new(ftp).await.unwrap();
        let address = advertised.address_for(peer.parse().unwrap(), LOCAL.parse().unwrap());
        address.unwrap().to_string()
    }

    #[tokio::test]
    async fn by_default_it_is_where_the_control_connection_arrived() {
        assert_eq!(told(&Estate::default().ftp, "10.20.0.5").await, LOCAL);
    }

    #[tokio::test]
    async fn the_first_matching_network_wins_over_the_advertised_address() {
        let mut ftp = Estate::default().ftp;
        ftp.advertised_address = Some("203.0.113.2".parse().unwrap());
        let rule = |network: &str, address| AdvertisedFor {
            network: network.parse().unwrap(),
            address,
        };
        ftp.advertised_for = vec![
            rule("10.20.0.0/24", [10, 20, 0, 10].into()),
            rule("10.0.0.0/8", [10, 0, 0, 10].into()),
        ];
        assert_eq!(told(&ftp, "10.20.0.5").await, "10.20.0.10");
        assert_eq!(told(&ftp, "10.21.0.5").await, "10.0.0.10");
        assert_eq!(told(&ftp, "192.0.2.9").await, "203.0.113.2");
        assert_eq!(told(&ftp, "::ffff:10.20.0.5").await, "10.20.0.10");
    }

    #[tokio::test]
    async fn a_name_is_resolved_at_bind() {
        let mut ftp = Estate::default().ftp;
        ftp.advertised_address = Some("localhost".parse().unwrap());
        assert_eq!(told(&ftp, "192.0.2.9").await, "127.0.0.1");
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_an_error_that_names_the_key() {
        let mut ftp = Estate::default().ftp;
        // Longer than any name, so that the resolver refuses it without asking the network.
        ftp.advertised_address = Some(Host::Name("x".repeat(300)));
        let error = Advertised::new(&ftp).await.unwrap_err().to_string();
        assert!(error.starts_with("failed to resolve ftp.advertised_address"), "{error}");
    }

    #[tokio::test]
    async fn an_ipv6_client_is_sent_to_epsv_whatever_is_configured() {
        let mut ftp = Estate::default().ftp;
        ftp.advertised_address = Some("203.0.113.2".parse().unwrap());
        let advertised = Advertised::new(&ftp).await.unwrap();
        let ipv6 = "2001:db8::1".parse().unwrap();
        assert_eq!(advertised.address_for(ipv6, ipv6), Err(UseEpsv));
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(advertised.address_for(mapped, mapped), Ok([203, 0, 113, 2].into()));
    }

    #[tokio::test]
    async fn keeping_fresh_ends_when_the_server_stops() {
        let mut ftp = Estate::default().ftp;
        ftp.advertised_address = Some("localhost".parse().unwrap());
        let stopping = CancellationToken::new();
        stopping.cancel();
        Advertised::new(&ftp).await.unwrap().keep_fresh(&stopping).await;
    }
}
