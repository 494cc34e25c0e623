//! The listeners of the control port.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

use crate::connection;

/// Listens on the control port. `::` means both families, by two sockets: an IPv4 client that arrives at a dual stack
/// socket looks like an IPv6 one to those who ask the socket, and then PASV has no address to give.
///
/// Port 0: any, the same for both. Must be called within a tokio runtime.
pub fn listen(address: SocketAddr) -> io::Result<Vec<TcpListener>> {
    if address.ip() != Ipv6Addr::UNSPECIFIED {
        return Ok(vec![connection::listen(address)?]);
    }
    connection::listen_on_both(Ipv6Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, address.port())
}

#[cfg(test)]
mod tests {
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
