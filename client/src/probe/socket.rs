//! Socket options that say how far a packet may go, and how far an answer may have come.

use std::io;
use std::net::SocketAddr;

use nix::libc;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use nix::{getsockopt_impl, setsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, Socket, Type};

sockopt_impl!(
    /// ip(7): an answer with a smaller TTL is dropped, as if it had not come.
    MinTtl,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_MINTTL,
    i32
);
sockopt_impl!(
    /// The same for IPv6 (RFC 5082).
    MinHopCount,
    SetOnly,
    libc::IPPROTO_IPV6,
    libc::IPV6_MINHOPCOUNT,
    i32
);

sockopt_impl!(
    /// tcp(7): the first 28 bytes of what the kernel knows of a connection.
    TcpInfo,
    GetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    [u32; 7]
);

/// Where in these there is the number of segments sent and not acknowledged (struct tcp_info: eight single bytes, then the
/// retransmission time, that of acknowledgements and both segment sizes stand before it).
const UNACKNOWLEDGED: usize = 6;

/// How many segments of a connection the other end has not acknowledged yet; `None` where the system does not tell.
pub(super) fn unacknowledged(stream: &tokio::net::TcpStream) -> Option<u32> {
    Some(getsockopt(stream, TcpInfo).ok()?[UNACKNOWLEDGED])
}

/// What a connection attempt sets before its SYN leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// How many hops the packets may go: a router that counts it down to nothing answers "time exceeded".
    pub(crate) ttl: Option<u8>,
    /// The smallest TTL with which an answer may arrive.
    pub(crate) min_ttl: Option<u8>,
    /// The largest segment either way (TCP_MAXSEG, tcp(7)): the other end is told so in the SYN.
    pub(crate) segment: Option<u16>,
}

/// A non-blocking TCP socket for `to`, whose ICMP errors can be read from its error queue (ip(7), IP_RECVERR).
pub(super) fn open(to: SocketAddr, reach: Reach) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if let Some(segment) = reach.segment {
        socket.set_tcp_mss(segment.into())?;
    }
    match to {
        SocketAddr::V4(_) => {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
            reach.ttl.map_or(Ok(()), |ttl| socket.set_ttl_v4(ttl.into()))?;
            if let Some(least) = reach.min_ttl {
                setsockopt(&socket, MinTtl, &least.into())?;
            }
        }
        SocketAddr::V6(_) => {
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
            reach.ttl.map_or(Ok(()), |ttl| socket.set_unicast_hops_v6(ttl.into()))?;
            if let Some(least) = reach.min_ttl {
                setsockopt(&socket, MinHopCount, &least.into())?;
            }
        }
    }
    Ok(socket)
}
