//! A server whose accept queue is full: the kernel drops every further SYN (listen(2)).

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket, sockopt,
};
use std::os::fd::AsRawFd;
use tokio::net::TcpStream;
use tokio::time::timeout;

#[derive(Debug, Args)]
pub(crate) struct FullBacklogArgs {
    /// Its port
    #[arg(long, value_name = "PORT")]
    listen: u16,
}

/// On loopback a connection that is not there by now is not coming.
const PATIENCE: Duration = Duration::from_millis(300);

pub(super) async fn run(args: FullBacklogArgs) -> anyhow::Result<()> {
    let context = || format!("failed to listen on port {}", args.listen);
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).with_context(context)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true).with_context(context)?;
    let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, args.listen);
    bind(fd.as_raw_fd(), &SockaddrIn::from(address)).with_context(context)?;
    // No room but for one.
    listen(&fd, Backlog::new(0)?).with_context(context)?;
    let mut waiting = Vec::new();
    while let Ok(Ok(connection)) = timeout(PATIENCE, TcpStream::connect((Ipv4Addr::LOCALHOST, args.listen))).await {
        waiting.push(connection);
    }
    super::ready();
    std::future::pending().await
}
