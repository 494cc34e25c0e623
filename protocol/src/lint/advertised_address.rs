//! `advertised-address-unroutable`: the 227 names an address that those who dial the server cannot reach.

use std::net::{IpAddr, Ipv4Addr};

use super::Statements;
use crate::address::is_private;
use crate::estate::Estate;
use crate::estate::host::Host;
use crate::finding::{Confidence, Finding, FindingId, Place, Severity};
use crate::flow::Flow;

/// Only literal addresses are compared: where a name leads is not known without asking.
pub(super) fn check(said: &Statements) -> Vec<Finding> {
    let estate = said.estate;
    let dialled = estate.server.host.as_ref().and_then(|host| host.parse::<IpAddr>().ok());
    if !said.needs_passive_range() {
        return Vec::new();
    }
    let wrong: Vec<String> = advertised(estate)
        .into_iter()
        .filter(|said| said.cannot_be_reached(dialled))
        .map(|said| said.evidence(dialled))
        .collect();
    let Some(first) = wrong.first() else {
        return Vec::new();
    };
    vec![Finding {
        id: FindingId::AdvertisedAddressUnroutable,
        severity: Severity::Error,
        confidence: Confidence::Likely,
        flow: Flow::FtpPassive,
        summary: format!("clients cannot reach the address that the server advertises: {first}"),
        place: Place::Server,
        evidence: wrong,
        remedy: match dialled {
            Some(dialled) if !is_private(dialled) => {
                format!(
                    "advertise what clients dial: ftp.advertised_address = \"{dialled}\", Ser_Pasv_IPAddr={dialled}"
                )
            }
            _ => "advertise the address that clients dial (ftp.advertised_address, Ser_Pasv_IPAddr)".to_owned(),
        },
        // A helper that is bound to the control port translates the private address, and opens the range by itself.
        alternatives: vec![FindingId::AlgRewritesReply],
    }]
}

/// An address that a 227 may carry.
struct Advertised {
    key: String,
    address: Ipv4Addr,
    /// Clients come from a public network, as the key says.
    to_public: bool,
}

fn advertised(estate: &Estate) -> Vec<Advertised> {
    let own = match (&estate.ftp.advertised_address, estate.server.bind) {
        (Some(Host::Address(IpAddr::V4(address))), _) => Some(("ftp.advertised_address", *address)),
        (Some(_), _) => None,
        // Unset: where the control connection arrived, and that can be no other.
        (None, IpAddr::V4(address)) if !address.is_unspecified() => Some(("server.bind", address)),
        (None, _) => None,
    };
    let own = own.map(|(key, address)| Advertised {
        key: key.to_owned(),
        address,
        to_public: false,
    });
    let others = estate.ftp.advertised_for.iter().map(|other| Advertised {
        key: format!("ftp.advertised_for {}", other.network),
        address: other.address,
        to_public: !is_private(other.network.network()) && other.network.prefix_len() > 0,
    });
    own.into_iter().chain(others).collect()
}

impl Advertised {
    /// A private address beside a public one that clients dial; or one that no other host reaches, dialled from anywhere.
    fn cannot_be_reached(&self, dialled: Option<IpAddr>) -> bool {
        let only_here = self.address.is_loopback() || self.address.is_link_local() || self.address.is_broadcast();
        if only_here {
            return dialled != Some(IpAddr::V4(self.address)) && dialled.is_some();
        }
        let to_public = self.to_public || (self.is_own() && dialled.is_some_and(|dialled| !is_private(dialled)));
        to_public && is_private(IpAddr::V4(self.address))
    }

    fn is_own(&self) -> bool {
        !self.key.starts_with("ftp.advertised_for")
    }

    fn evidence(&self, dialled: Option<IpAddr>) -> String {
        let clients = match dialled {
            Some(dialled) if self.is_own() => format!("while clients dial {dialled}"),
            _ => "for clients of a public network".to_owned(),
        };
        format!("{} is {}, {clients}", self.key, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Case;
    use super::*;
    use crate::estate::AdvertisedFor;

    fn case(dialled: Option<&str>, advertised: Option<&str>) -> Case {
        let mut case = Case::healthy();
        case.estate.server.host = dialled.map(str::to_owned);
        case.estate.ftp.advertised_address = advertised.map(|address| address.parse().unwrap());
        case
    }

    #[test]
    fn a_private_address_beside_a_public_one_that_is_dialled_is_an_error() {
        for private in [
            "10.20.0.10",
            "172.31.0.1",
            "192.168.1.1",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.1.1",
        ] {
            let findings = case(Some("203.0.113.2"), Some(private)).with(check);
            assert_eq!(findings.len(), 1, "{private}");
            assert_eq!(findings[0].severity, Severity::Error);
            assert!(findings[0].remedy.contains("Ser_Pasv_IPAddr=203.0.113.2"));
        }
    }

    #[test]
    fn a_server_bound_to_a_private_address_advertises_that() {
        let mut case = case(Some("203.0.113.2"), None);
        case.estate.server.bind = "10.20.0.10".parse().unwrap();
        assert_eq!(case.with(check).len(), 1);
    }

    #[test]
    fn an_address_like_the_one_that_is_dialled_is_well() {
        assert!(case(Some("203.0.113.2"), Some("203.0.113.2")).with(check).is_empty());
        assert!(case(Some("10.20.0.10"), Some("10.20.0.10")).with(check).is_empty());
        assert!(case(Some("127.0.0.1"), Some("127.0.0.1")).with(check).is_empty());
        assert!(case(Some("10.20.0.10"), Some("192.168.1.1")).with(check).is_empty());
    }

    #[test]
    fn an_address_for_one_network_is_judged_by_that_network() {
        let mut case = case(Some("203.0.113.2"), Some("203.0.113.2"));
        let other = |network: &str| AdvertisedFor {
            network: network.parse().unwrap(),
            address: Ipv4Addr::new(10, 20, 0, 10),
        };
        case.estate.ftp.advertised_for = vec![other("10.20.0.0/16")];
        assert!(case.with(check).is_empty(), "the cure of a missing hairpin");
        case.estate.ftp.advertised_for = vec![other("198.51.100.0/24")];
        assert_eq!(case.with(check).len(), 1);
    }

    #[test]
    fn where_it_is_not_known_what_clients_dial_nothing_is_said() {
        assert!(case(None, Some("10.20.0.10")).with(check).is_empty());
        assert!(
            case(Some("update.example.net"), Some("10.20.0.10"))
                .with(check)
                .is_empty()
        );
        assert!(case(Some("203.0.113.2"), None).with(check).is_empty());
        assert!(
            case(Some("203.0.113.2"), Some("ftp.example.net"))
                .with(check)
                .is_empty()
        );
    }
}
