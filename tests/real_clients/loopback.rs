//! A loopback address of one's own, so that fixed ports can be used: all of 127/8 is this host.

use std::net::Ipv4Addr;

/// The address `last` of this process. Where tests share a process, each has another `last`.
pub(crate) fn own_address(last: u8) -> Ipv4Addr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, last)
}
