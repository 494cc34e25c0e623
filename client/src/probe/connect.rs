//! One attempt to connect, and everything a plain socket can say about how it ended.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fwdrill_protocol::report::Outcome;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::socket::{self, Reach};
use crate::connection::ConnectionError;
use crate::observation::{Attempt, Icmp};

/// Connects to `to`, for no longer than `limit`. Never fails: what goes wrong is the observation.
pub(super) async fn connect(to: SocketAddr, limit: Duration) -> (Attempt, Option<TcpStream>) {
    connect_as_far_as(to, limit, Reach::default()).await
}

/// The same with packets that go, or answers that come, only so far.
pub(super) async fn connect_as_far_as(to: SocketAddr, limit: Duration, reach: Reach) -> (Attempt, Option<TcpStream>) {
    let started = Instant::now();
    let begun = match begin(to, reach) {
        Ok(stream) => stream,
        Err(error) => return (failed(to, error, Duration::ZERO, None), None),
    };
    let ready = timeout(limit, begun.writable()).await;
    let elapsed = started.elapsed();
    let error = match ready {
        Err(_) => return (attempt(to, Outcome::Timeout, None), None),
        Ok(Err(error)) => Some(error),
        Ok(Ok(())) => begun.take_error().unwrap_or_else(Some),
    };
    match error {
        None => {
            // Small requests must not wait for a delayed ACK.
            let _ = begun.set_nodelay(true);
            (attempt(to, Outcome::Open, Some(elapsed)), Some(begun))
        }
        Some(error) => (failed(to, error, elapsed, icmp_error(&begun)), None),
    }
}

fn begin(to: SocketAddr, reach: Reach) -> io::Result<TcpStream> {
    let socket = socket::open(to, reach)?;
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

/// An attempt that came to nothing. Without an ICMP error `ECONNREFUSED` is a RST; with one it is nmap's "filtered": Linux
/// maps port unreachable (3/3) to `ECONNREFUSED` too (icmp_err_convert in net/ipv4/icmp.c).
fn failed(to: SocketAddr, error: io::Error, elapsed: Duration, icmp: Option<Icmp>) -> Attempt {
    let words = error.to_string();
    let outcome = match icmp {
        Some(_) => Outcome::Unreachable,
        None => ConnectionError::of_connecting(error, elapsed).outcome(),
    };
    Attempt {
        icmp,
        error: Some(words),
        ..attempt(to, outcome, Some(elapsed))
    }
}

fn attempt(to: SocketAddr, outcome: Outcome, elapsed: Option<Duration>) -> Attempt {
    Attempt {
        to,
        outcome,
        rtt_ms: elapsed.map(|elapsed| (elapsed.as_secs_f64() * 1e5).round() / 1e2),
        icmp: None,
        error: None,
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
        let to = "192.0.2.1:9".parse().unwrap();
        let refused = |icmp| failed(to, io::Error::from_raw_os_error(nix::libc::ECONNREFUSED), LIMIT, icmp).outcome;
        let icmp = Icmp {
            kind: 3,
            code: 3,
            offender: None,
        };
        assert_eq!(refused(None), Outcome::Refused);
        assert_eq!(refused(Some(icmp)), Outcome::Unreachable);
    }

    #[test]
    fn errors_of_connect_mean_the_same_as_everywhere_else() {
        let to = "192.0.2.1:9".parse().unwrap();
        let outcome = |errno| failed(to, io::Error::from_raw_os_error(errno), LIMIT, None).outcome;
        // This host's own trouble, not the path's.
        assert_eq!(outcome(nix::libc::EMFILE), Outcome::CheckFailed);
        // A `prohibit` route, or ICMPv6 "administratively prohibited".
        assert_eq!(outcome(nix::libc::EACCES), Outcome::Unreachable);
        assert_eq!(outcome(nix::libc::ETIMEDOUT), Outcome::Timeout);
        // It stood for a moment: not a closed port.
        assert_eq!(outcome(nix::libc::ECONNRESET), Outcome::Reset);
    }
}
