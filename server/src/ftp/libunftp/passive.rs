//! Passive ports for libunftp, from our pool.

use std::io;
use std::net::{IpAddr, TcpStream};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use ::libunftp::options::Binder;
use async_trait::async_trait;
use tokio::net::TcpSocket;

use super::session::Session;

#[derive(Debug)]
pub(super) struct PoolBinder {
    session: Arc<Session>,
}

impl PoolBinder {
    pub(super) fn new(session: Arc<Session>) -> Self {
        PoolBinder { session }
    }
}

#[async_trait]
impl Binder for PoolBinder {
    /// libunftp's own range has no holes, so it is not asked. An error makes the reply 425.
    async fn bind(&mut self, _address: IpAddr, _range: RangeInclusive<u16>) -> io::Result<TcpSocket> {
        let lend = || self.session.lend();
        let listener = self.session.span.in_scope(lend).map_err(io::Error::other)?;
        // It listens already; that libunftp calls listen(2) again only changes the backlog. A TcpSocket is made from
        // any descriptor of a TCP socket, by way of the one type that has the conversion.
        Ok(TcpSocket::from_std_stream(TcpStream::from(OwnedFd::from(listener))))
    }
}
