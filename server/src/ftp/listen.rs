//! The listeners of the control port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::connection::{self, BACKLOG};
use crate::saved_syn;

/// How often another port is asked for when the kernel gave one that the other family has no more.
const ATTEMPTS: usize = 20;

/// Listens on the control port. `::` means both families, by two sockets: an IPv4 client that arrives at a dual stack
/// socket looks like an IPv6 one to those who ask the socket, and then PASV has no address to give.
///
/// Port 0: any, the same for both. Must be called within a tokio runtime.
pub fn listen(address: SocketAddr) -> io::Result<Vec<TcpListener>> {
    if address.ip() != IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED) {
        return Ok(vec![connection::listen(address)?]);
    }
    let attempts = if address.port() == 0 { ATTEMPTS } else { 1 };
    let mut error = None;
    for _ in 0..attempts {
        let ipv6 = listen_v6_only(address)?;
        let port = ipv6.local_addr()?.port();
        match connection::listen((Ipv4Addr::UNSPECIFIED, port).into()) {
            Ok(ipv4) => return Ok(vec![ipv6, ipv4]),
            Err(refused) => error = Some(refused),
        }
    }
    Err(error.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

fn listen_v6_only(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(true)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    saved_syn::keep(&socket);
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn both_families_arrive_as_what_they_are_at_one_port() {
        let listeners = listen((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
        let port = listeners[0].local_addr().unwrap().port();
        assert_eq!(listeners.len(), 2);
        for (listener, target) in [
            (&listeners[0], SocketAddr::from((Ipv6Addr::LOCALHOST, port))),
            (&listeners[1], SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        ] {
            let client = TcpStream::connect(target).await.unwrap();
            let (accepted, peer) = listener.accept().await.unwrap();
            assert_eq!(accepted.local_addr().unwrap(), target);
            assert_eq!(peer, client.local_addr().unwrap());
        }
    }

    #[tokio::test]
    async fn one_address_is_one_listener() {
        let listeners = listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        assert_eq!(listeners.len(), 1);
        let taken = listeners[0].local_addr().unwrap();
        assert_eq!(listen(taken).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
