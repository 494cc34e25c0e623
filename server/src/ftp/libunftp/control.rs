//! A second handle on the control connection, whose stream libunftp has taken.

use std::io;
use std::net::{Shutdown, TcpStream};

use socket2::SockRef;

use crate::connection::is_hung_up;

#[derive(Debug)]
pub(super) struct Control {
    /// Shares libunftp's socket, which is non-blocking.
    socket: TcpStream,
}

impl Control {
    pub(super) fn of(stream: &tokio::net::TcpStream) -> io::Result<Self> {
        Ok(Control {
            socket: SockRef::from(stream).try_clone()?.into(),
        })
    }

    /// Ends the connection in both directions, which ends libunftp's loop.
    pub(super) fn hang_up(&self) {
        // The only error is that it has ended already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Whether the client has closed its side or reset it.
    pub(super) fn client_is_gone(&self) -> bool {
        is_hung_up(SockRef::from(&self.socket))
    }
}
