//! One connection from the server to a client, and everything a plain socket says about how it ended.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::task_port::{NONCE_HEADER, PROOF_PATH, proof};
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A SYN and one repetition, which comes after 1 s (RFC 6298 section 2.1).
const CONNECT: Duration = Duration::from_millis(2500);

/// A proof is a few lines; more is somebody else's page.
const LONGEST: u64 = 4096;

/// What came of one attempt.
pub(crate) struct Dialled {
    pub(crate) local: SocketAddr,
    pub(crate) outcome: Outcome,
    pub(crate) offender: Option<IpAddr>,
    pub(crate) stream: Option<TcpStream>,
}

/// Dials from the address where the client's request arrived: the one that NAT and firewalls on the way know.
pub(crate) async fn dial(from: IpAddr, to: SocketAddr) -> Dialled {
    let begun = begin(from, to, None);
    let local = begun.as_ref().ok().and_then(|stream| stream.local_addr().ok());
    let (ended, offender) = match begun {
        Ok(stream) => end(stream, CONNECT).await,
        Err(error) => (Err(error), None),
    };
    Dialled {
        local: local.unwrap_or((from, 0).into()),
        outcome: outcome(&ended, offender),
        offender,
        stream: ended.ok(),
    }
}

/// Sends a SYN that `ttl` routers may count down, all of them where there is none.
pub(super) fn begin(from: IpAddr, to: SocketAddr, ttl: Option<u8>) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    let hops = ttl.map(u32::from);
    if to.is_ipv4() {
        setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        hops.map_or(Ok(()), |hops| socket.set_ttl_v4(hops))?;
    } else {
        setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        hops.map_or(Ok(()), |hops| socket.set_unicast_hops_v6(hops))?;
    }
    socket.bind(&SocketAddr::new(from, 0).into())?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => TcpStream::from_std(socket.into()),
    }
}

/// Waits for what comes of it: the connection or the error, and who sent the ICMP error if it was one.
pub(super) async fn end(stream: TcpStream, limit: Duration) -> (io::Result<TcpStream>, Option<IpAddr>) {
    let ready = timeout(limit, stream.writable()).await;
    let error = match ready {
        Err(_) => Some(io::ErrorKind::TimedOut.into()),
        Ok(Err(error)) => Some(error),
        Ok(Ok(())) => stream.take_error().unwrap_or_else(Some),
    };
    match error {
        None => (Ok(stream), None),
        Some(error) => {
            let offender = offender(&stream);
            (Err(error), offender)
        }
    }
}

/// Who sent the ICMP error at the head of the socket's error queue (ip(7), IP_RECVERR).
fn offender(stream: &TcpStream) -> Option<IpAddr> {
    use std::os::fd::AsRawFd;
    let mut space = nix::cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
    let queue = MsgFlags::MSG_ERRQUEUE;
    let message = recvmsg::<SockaddrStorage>(stream.as_raw_fd(), &mut [], Some(&mut space), queue).ok()?;
    let mut controls = message.cmsgs().ok()?;
    controls.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(_, Some(sender)) => Some(sender.sin_addr.s_addr.to_ne_bytes().into()),
        ControlMessageOwned::Ipv6RecvErr(_, Some(sender)) => Some(sender.sin6_addr.s6_addr.into()),
        _ => None,
    })
}

/// The same words for the same ends as at the client: an ICMP error is none of a closed port, whatever errno it became.
fn outcome(ended: &io::Result<TcpStream>, offender: Option<IpAddr>) -> Outcome {
    let error = match ended {
        Ok(_) => return Outcome::Open,
        Err(_) if offender.is_some() => return Outcome::Unreachable,
        Err(error) => error,
    };
    if error.kind() == io::ErrorKind::TimedOut {
        return Outcome::Timeout;
    }
    match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED) => Outcome::Refused,
        Some(Errno::CONNRESET) => Outcome::Reset,
        Some(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::HOSTDOWN | Errno::NETDOWN | Errno::ACCESS) => {
            Outcome::Unreachable
        }
        _ => Outcome::CheckFailed,
    }
}

/// Asks who answered to prove that it is the client of `drill`. The drill id itself stays here: it could be anybody.
pub(super) async fn proves(stream: TcpStream, drill: DrillId) -> bool {
    let nonce = DrillId::random().to_string();
    let expected = proof(drill, &nonce);
    said(stream, &nonce)
        .await
        .is_ok_and(|answer| answer.windows(expected.len()).any(|part| part == expected.as_bytes()))
}

async fn said(mut stream: TcpStream, nonce: &str) -> io::Result<Vec<u8>> {
    let request = format!(
        "GET {PROOF_PATH} HTTP/1.1\r\nhost: {}\r\n{NONCE_HEADER}: {nonce}\r\nconnection: close\r\n\r\n",
        stream.peer_addr()?
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    Ok(answer)
}
