//! One attempt to connect, and everything a plain socket can say about how it ended.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fwdrill_protocol::report::Outcome;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::observation::{Attempt, Icmp};

/// Connects to `to`, for no longer than `limit`. Never fails: what goes wrong is the observation.
pub(super) async fn connect(to: SocketAddr, limit: Duration) -> (Attempt, Option<TcpStream>) {
    let started = Instant::now();
    let begun = match begin(to) {
        Ok(stream) => stream,
        Err(error) => return (attempt(to, outcome_of(&error, None), None, None, Some(&error)), None),
    };
    let ready = timeout(limit, begun.writable()).await;
    let elapsed = Some(started.elapsed());
    let error = match ready {
        Err(_) => return (attempt(to, Outcome::Timeout, None, None, None), None),
        Ok(Err(error)) => Some(error),
        Ok(Ok(())) => begun.take_error().unwrap_or_else(Some),
    };
    match error {
        None => {
            // Small requests must not wait for a delayed ACK.
            let _ = begun.set_nodelay(true);
            (attempt(to, Outcome::Open, elapsed, None, None), Some(begun))
        }
        Some(error) => {
            let icmp = icmp_error(&begun);
            (
                attempt(to, outcome_of(&error, icmp.as_ref()), elapsed, icmp, Some(&error)),
                None,
            )
        }
    }
}

/// Starts a connection that reports ICMP errors through its error queue (ip(7), IP_RECVERR), so
/// that their sender can be read afterwards.
fn begin(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    match to {
        SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?,
        SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?,
    }
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => return Err(error),
        _ => {}
    }
    TcpStream::from_std(socket.into())
}

/// The ICMP error at the head of the socket's error queue.
fn icmp_error(stream: &TcpStream) -> Option<Icmp> {
    use std::os::fd::AsRawFd;
    let mut space = nix::cmsg_space!(nix::libc::sock_extended_err, nix::libc::sockaddr_in6);
    let message =
        recvmsg::<SockaddrStorage>(stream.as_raw_fd(), &mut [], Some(&mut space), MsgFlags::MSG_ERRQUEUE).ok()?;
    message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, offender) if error.ee_origin == nix::libc::SO_EE_ORIGIN_ICMP => {
            Some(Icmp {
                kind: error.ee_type,
                code: error.ee_code,
                offender: offender.map(|address| IpAddr::from(address.sin_addr.s_addr.to_ne_bytes())),
            })
        }
        ControlMessageOwned::Ipv6RecvErr(error, offender) if error.ee_origin == nix::libc::SO_EE_ORIGIN_ICMP6 => {
            Some(Icmp {
                kind: error.ee_type,
                code: error.ee_code,
                offender: offender.map(|address| IpAddr::from(address.sin6_addr.s6_addr)),
            })
        }
        _ => None,
    })
}

/// Without an ICMP error, `ECONNREFUSED` is a RST. With one it is nmap's "filtered": Linux maps
/// port unreachable (3/3) to `ECONNREFUSED` too (icmp_err_convert in net/ipv4/icmp.c).
fn outcome_of(error: &io::Error, icmp: Option<&Icmp>) -> Outcome {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut};
    match error.kind() {
        _ if icmp.is_some() => Outcome::Unreachable,
        ConnectionRefused | ConnectionReset => Outcome::Refused,
        HostUnreachable | NetworkUnreachable => Outcome::Unreachable,
        TimedOut => Outcome::Timeout,
        // No descriptor, no port, no permission: this host's trouble, not the path's.
        _ => Outcome::CheckFailed,
    }
}

fn attempt(
    to: SocketAddr,
    outcome: Outcome,
    elapsed: Option<Duration>,
    icmp: Option<Icmp>,
    error: Option<&io::Error>,
) -> Attempt {
    Attempt {
        to,
        outcome,
        rtt_ms: elapsed.map(|elapsed| (elapsed.as_secs_f64() * 1e5).round() / 1e2),
        icmp,
        error: error.map(ToString::to_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_listening_port_is_open() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (attempt, stream) = connect(listener.local_addr().unwrap(), LIMIT).await;
        assert_eq!(attempt.outcome, Outcome::Open);
        assert!(attempt.rtt_ms.is_some() && stream.is_some());
    }

    #[tokio::test]
    async fn a_port_without_a_listener_is_refused_by_a_rst() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (attempt, stream) = connect(port, LIMIT).await;
        assert_eq!((attempt.outcome, attempt.icmp), (Outcome::Refused, None));
        assert!(stream.is_none());
    }

    #[tokio::test]
    async fn an_address_without_a_route_is_unreachable() {
        // 240.0.0.0/4 is reserved (RFC 1112); Linux refuses to route it.
        let (attempt, _) = connect("255.255.255.255:9".parse().unwrap(), LIMIT).await;
        assert!(
            matches!(attempt.outcome, Outcome::Unreachable | Outcome::CheckFailed),
            "{attempt:?}"
        );
    }

    #[test]
    fn an_icmp_error_makes_a_refusal_unreachable() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let icmp = Icmp {
            kind: 3,
            code: 3,
            offender: None,
        };
        assert_eq!(outcome_of(&refused, None), Outcome::Refused);
        assert_eq!(outcome_of(&refused, Some(&icmp)), Outcome::Unreachable);
    }

    #[test]
    fn a_shortage_on_this_host_is_no_observation_of_the_path() {
        let shortage = io::Error::from_raw_os_error(nix::libc::EMFILE);
        assert_eq!(outcome_of(&shortage, None), Outcome::CheckFailed);
    }
}
