//! PASV and EPSV: one passive listener at most for a session, and the data connection that came of it.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use fwdrill_protocol::ftp_reply;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tracing::{debug, info};

use super::command::Epsv;
use super::reply::Reply;
use super::session::Session;
use crate::ftp::passive::{Claim, Lease};
use crate::ftp::witness::Witness;
use crate::saved_syn;

/// How many strangers at one passive port are noted: they shall not fill a drill's journal.
const STRANGERS_NOTED: usize = 16;

/// Where the next transfer's data connection comes from.
#[derive(Debug, Default)]
pub(super) enum Prepared {
    /// Nowhere: PASV, EPSV, PORT or EPRT must come first.
    #[default]
    None,
    /// A port was told to the client.
    Listening(Listening),
    /// The client has connected; the port is free again.
    Connected(Data),
    /// From us to the client, when the transfer begins.
    Active(SocketAddr),
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

impl Prepared {
    /// Listens on a leased port until then. Whatever was there before must be gone already.
    pub(super) fn listen(lease: Lease, until: Instant) -> io::Result<Self> {
        let address = lease.address();
        let (listener, claim) = lease.split();
        Ok(Prepared::Listening(Listening {
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
        let Prepared::Listening(listening) = self else {
            return std::future::pending().await;
        };
        let rightful = witness.peer().ip();
        let connected = tokio::time::timeout_at(listening.until, listening.accept(rightful, witness)).await;
        *self = match connected {
            Ok(data) => Prepared::Connected(data),
            Err(_) => {
                info!(listener = %listening.address, "no data connection came");
                Prepared::None
            }
        };
    }
}

impl Session {
    pub(super) async fn pasv(&mut self) -> io::Result<()> {
        let (peer, local) = (self.witness.peer().ip(), self.witness.local().ip());
        if self.settings.extended_only {
            return self.control.reply(&Reply::new(501, "You have said EPSV ALL")).await;
        }
        match self.site.advertised.address_for(peer, local) {
            Err(error) => self.control.reply(&Reply::new(425, error)).await,
            Ok(address) => {
                self.listen(|port| ftp_reply::Reply::passive(SocketAddrV4::new(address, port)))
                    .await
            }
        }
    }

    pub(super) async fn epsv(&mut self, which: Epsv) -> io::Result<()> {
        let ours = if self.witness.local().is_ipv4() { 1 } else { 2 };
        match which {
            Epsv::All => {
                self.settings.extended_only = true;
                self.control
                    .reply(&Reply::new(200, "Nothing but EPSV from here on"))
                    .await
            }
            Epsv::Protocol(protocol) if protocol != ours => {
                let text = format!("This connection has another protocol, use ({ours})");
                self.control.reply(&Reply::new(522, text)).await
            }
            Epsv::Any | Epsv::Protocol(_) => self.listen(ftp_reply::Reply::extended_passive).await,
        }
    }

    /// Listens on a port of the pool and tells it to the client. What there was before is closed first.
    async fn listen(&mut self, told: impl FnOnce(u16) -> ftp_reply::Reply) -> io::Result<()> {
        self.prepared = Prepared::None;
        let until = Instant::now() + self.site.limits.data_connect;
        let prepared = (self.site.lend(&self.witness).ok()).and_then(|lease| {
            let port = lease.address().port();
            Some((Prepared::listen(lease, until).ok()?, told(port)))
        });
        let Some((listening, reply)) = prepared else {
            let reply = Reply::new(425, "No passive port is free, try again later");
            return self.control.reply(&reply).await;
        };
        self.prepared = listening;
        // Noted first: a client that has read it may ask for the evidence at once.
        self.witness.passive_reply(&reply);
        self.control.reply(&Reply::from(&reply)).await
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
                    witness.data_accepted(self.address, peer, saved_syn::of(&stream));
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
