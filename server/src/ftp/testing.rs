//! What the tests of the FTP service share.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU8, Ordering};

/// A loopback address that no other test listens on, so that fixed ports can be used: all of 127/8 is ours, and the
/// process and the thread choose theirs in it.
pub(crate) fn own_address() -> IpAddr {
    static THREADS: AtomicU8 = AtomicU8::new(1);
    thread_local! {
        static OWN: Ipv4Addr = {
            let [_, _, high, low] = std::process::id().to_be_bytes();
            Ipv4Addr::new(127, high, low, THREADS.fetch_add(1, Ordering::Relaxed))
        };
    }
    OWN.with(|address| (*address).into())
}
