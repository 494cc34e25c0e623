//! What an IP address says about where it can be reached from.

use std::net::IpAddr;

/// Whether no router on the internet forwards to it: RFC 1918, shared (RFC 6598), loopback, link-local, unique local
/// (RFC 4193), unspecified.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
