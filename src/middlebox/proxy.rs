//! What transparent proxies share: connections that a firewall redirected to them, and where those wanted to go.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use anyhow::Context;
use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream};

/// Listens on a port, and says that it does.
pub(super) async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await;
    let listener = listener.with_context(|| format!("failed to listen on port {port}"))?;
    super::ready();
    Ok(listener)
}

/// The address that a redirected connection was made for (SO_ORIGINAL_DST).
pub(super) fn original_destination(client: &TcpStream) -> Option<SocketAddr> {
    let address = getsockopt(client, sockopt::OriginalDst).ok()?;
    let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
    Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
}

/// Carries bytes both ways until both sides have ended.
pub(super) async fn join(mut client: TcpStream, mut server: TcpStream) {
    // How it ends is the ends' business.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
