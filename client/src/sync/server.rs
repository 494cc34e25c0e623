use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::select_ok;
use fwdrill_protocol::estate::Estate;

use super::SyncError;
use crate::connection::connect;
use crate::tls::Trust;

/// How long a name may take to resolve.
const RESOLVE_LIMIT: Duration = Duration::from_secs(10);

/// Where an update server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// As the user calls it: a name or an address.
    pub host: String,
    /// Where that is. The first one that answers on the version port is used for everything.
    pub addresses: Vec<IpAddr>,
    /// The port of the version service.
    pub version: u16,
    /// The port of HTTP downloads.
    pub http: u16,
    /// Whether that is HTTPS, and with which certificate.
    pub https: Option<Trust>,
    /// The port of the FTP control connection; `None` where the estate has no FTP.
    pub ftp: Option<u16>,
}

impl Server {
    /// The server of this estate at one address.
    pub fn at(address: IpAddr, estate: &Estate) -> Self {
        Server::with(address.to_string(), vec![address], estate)
    }

    /// The server of this estate at `host`, a name or an address.
    pub async fn resolve(host: &str, estate: &Estate) -> Result<Self, SyncError> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Server::at(address, estate));
        }
        let failed = |source| SyncError::Name {
            host: host.to_owned(),
            source,
        };
        let found = tokio::time::timeout(RESOLVE_LIMIT, tokio::net::lookup_host((host, 0)))
            .await
            .map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in found.map(|socket| socket.ip()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(failed(std::io::ErrorKind::NotFound.into()));
        }
        Ok(Server::with(host.to_owned(), addresses, estate))
    }

    /// Whether its version port accepts a connection now, at one of its addresses.
    pub async fn answers(&self, limit: Duration) -> bool {
        let ports = self.addresses.iter().map(|address| (*address, self.version).into());
        let dialled = ports.map(|to| Box::pin(connect(to, limit)));
        !self.addresses.is_empty() && select_ok(dialled).await.is_ok()
    }

    fn with(host: String, addresses: Vec<IpAddr>, estate: &Estate) -> Self {
        Server {
            host,
            addresses,
            version: estate.ports.version,
            http: estate.ports.http,
            https: Trust::of_http(estate),
            ftp: estate.ftp.enabled.then_some(estate.ftp.port),
        }
    }

    /// What a Host header says (RFC 9110 section 7.2).
    pub(crate) fn authority(&self, port: u16) -> String {
        if self.host.contains(':') {
            format!("[{}]:{port}", self.host)
        } else {
            format!("{}:{port}", self.host)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_needs_no_resolving_and_a_name_without_address_is_named() {
        let estate = Estate::default();
        let server = Server::resolve("::1", &estate).await.unwrap();
        assert_eq!(server.authority(2221), "[::1]:2221");
        assert_eq!((server.version, server.http, server.ftp), (3333, 2221, Some(2021)));
        // RFC 6761: this one never resolves.
        let error = Server::resolve("fwdrill.invalid", &estate).await.unwrap_err();
        assert_eq!(error.to_string(), "failed to resolve fwdrill.invalid");
    }
}
