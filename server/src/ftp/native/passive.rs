//! The data connection of a session: one passive listener at most, and what came of it.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tracing::{debug, info};

use crate::ftp::passive::{Claim, Lease};
use crate::ftp::witness::Witness;

/// How many strangers at one passive port are noted: they shall not fill a drill's journal.
const STRANGERS_NOTED: usize = 16;

/// Where the next transfer's data connection comes from.
#[derive(Debug, Default)]
pub(super) enum Passive {
    /// Nowhere: PASV or EPSV must come first.
    #[default]
    None,
    /// A port was told to the client.
    Listening(Listening),
    /// The client has connected; the port is free again.
    Connected(Data),
}

#[derive(Debug)]
pub(super) struct Listening {
    // In this order: the port is not given back before the listener is closed.
    listener: TcpListener,
    _claim: Claim,
    address: SocketAddr,
    until: Instant,
    strangers: usize,
}

/// An open data connection, in clear as yet.
#[derive(Debug)]
pub(super) struct Data {
    pub(super) stream: TcpStream,
    pub(super) local: SocketAddr,
    pub(super) peer: SocketAddr,
}

impl Passive {
    /// Listens on a leased port until then. Whatever was there before must be gone already.
    pub(super) fn listen(lease: Lease, until: Instant) -> io::Result<Self> {
        let address = lease.address();
        let (listener, claim) = lease.split();
        Ok(Passive::Listening(Listening {
            listener: TcpListener::from_std(listener)?,
            _claim: claim,
            address,
            until,
            strangers: 0,
        }))
    }

    /// Waits until a listener has become a data connection, or has waited in vain and is gone. If there is no listener this
    /// never ends. Nothing is lost if the future is dropped.
    ///
    /// Who connects must have the address of the control connection (RFC 2577 section 5 calls the other thing port stealing);
    /// a stranger is closed and told apart, and the rightful client is waited for.
    pub(super) async fn settle(&mut self, witness: &Witness) {
        let Passive::Listening(listening) = self else {
            return std::future::pending().await;
        };
        let rightful = witness.peer().ip();
        let connected = tokio::time::timeout_at(listening.until, listening.accept(rightful, witness)).await;
        *self = match connected {
            Ok(data) => Passive::Connected(data),
            Err(_) => {
                info!(listener = %listening.address, "no data connection came");
                Passive::None
            }
        };
    }
}

impl Listening {
    async fn accept(&mut self, rightful: IpAddr, witness: &Witness) -> Data {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let peer = crate::connection::canonical(peer);
                    if peer.ip() != rightful {
                        self.turn_away(peer, witness);
                        continue;
                    }
                    witness.data_accepted(self.address, peer);
                    if let Err(error) = stream.set_nodelay(true) {
                        debug!(%error, "the data connection is gone already");
                    }
                    return Data {
                        stream,
                        local: self.address,
                        peer,
                    };
                }
                Err(error) => {
                    debug!(%error, "cannot accept a data connection");
                    // Out of file descriptors, perhaps: the next try would fail at once.
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn turn_away(&mut self, peer: SocketAddr, witness: &Witness) {
        self.strangers += 1;
        if self.strangers <= STRANGERS_NOTED {
            info!(%peer, listener = %self.address, "a stranger at the passive port");
            witness.data_source_mismatch(self.address, peer);
        }
    }
}
