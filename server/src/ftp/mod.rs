//! FTP (RFC 959): the service that clients download from and upload to.
//!
//! The wire is spoken by an [`Engine`]; everything else is here and the same for all of them. The map:
//!
//! - [`listen()`]: the control port; [`Service`]: accepted connections go in, an engine lives them
//! - [`site`]: what sessions share, and the three things a session asks of it: to be let in, a tree, a passive port
//! - [`access`], [`tree`] (over [`path`]), [`passive`], [`advertised`]: one question each
//! - [`witness`]: what a session leaves in the journal; [`lockout`]: who has guessed too often
//! - [`native`]: our own engine
//! - [`libunftp`]: the engine that nobody here wrote, the control group

pub mod access;
pub mod advertised;
pub mod libunftp;
mod listen;
pub mod lockout;
pub mod native;
pub mod passive;
pub mod path;
mod seats;
pub mod site;
#[cfg(test)]
pub(crate) mod testing;
pub mod tree;
#[cfg(test)]
mod wire_tests;
pub mod witness;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, info_span};

use crate::connection::{Accepted, close_gently};
pub use listen::listen;
use seats::Seats;
use site::Site;
use witness::Witness;

/// Lives the control connections of the FTP service.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Speaks FTP until the session is over, data connections and all.
    ///
    /// Once [`ControlConnection::stopping`] is cancelled, finish the transfer in hand and end. If the future is dropped
    /// before it is done, the session is cut: nothing of it may live on.
    async fn live(&self, connection: ControlConnection);
}

/// A control connection that was just accepted; nothing has been said yet. `TCP_NODELAY` and keepalive are set.
#[derive(Debug)]
pub struct ControlConnection {
    /// The connection.
    pub stream: TcpStream,
    /// The server's end.
    pub local: SocketAddr,
    /// The other end as the server sees it.
    pub peer: SocketAddr,
    /// Cancelled when the server stops.
    pub stopping: CancellationToken,
    /// Notes what is seen. That the connection was accepted is noted already.
    pub witness: Arc<Witness>,
}

/// The FTP service: hands accepted control connections to an engine, as many as it may.
pub struct Service {
    site: Arc<Site>,
    engine: Box<dyn Engine>,
    seats: Arc<Seats>,
    stopping: CancellationToken,
}

impl Service {
    /// A service whose sessions `engine` lives; `stopping` asks all of them to end.
    pub fn new(site: Arc<Site>, engine: Box<dyn Engine>, stopping: CancellationToken) -> Arc<Self> {
        Arc::new(Service {
            seats: Seats::new(site.limits.sessions, site.limits.sessions_per_address),
            site,
            engine,
            stopping,
        })
    }

    /// What the sessions share.
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// Keeps a configured name of the advertised address resolved until the server stops. To be run once, beside the
    /// accept loops.
    pub async fn keep_fresh(&self) {
        self.site.advertised.keep_fresh(&self.stopping).await;
    }

    /// Lives one control connection, from greeting to end.
    pub async fn live(&self, accepted: Accepted) {
        let Accepted {
            stream,
            local,
            peer,
            syn,
        } = accepted;
        let span = info_span!("ftp", %peer, %local);
        let witness = Arc::new(Witness::new(self.site.journal.clone(), local, peer, syn));
        let session = async {
            let Some(_seat) = self.seats.take(peer.ip()) else {
                debug!("no more sessions");
                // Boxed: a session that is not refused shall not carry the buffer of one that is.
                return Box::pin(refuse(stream)).await;
            };
            keep_alive(&stream, self.site.limits.keepalive);
            debug!("session begins");
            let connection = ControlConnection {
                stream,
                local,
                peer,
                stopping: self.stopping.clone(),
                witness,
            };
            self.engine.live(connection).await;
            debug!("session ends");
        };
        session.instrument(span).await;
    }
}

/// RFC 959: 421 may be the reply to any command, even before the first.
async fn refuse(mut stream: TcpStream) {
    let busy = fwdrill_protocol::ftp_reply::Reply::new(421, "Too many sessions, try again later");
    // A client that does not listen any more needs no answer.
    if stream.write_all(busy.to_string().as_bytes()).await.is_ok() {
        close_gently(&mut stream).await;
    }
}

fn keep_alive(stream: &TcpStream, every: Duration) {
    let keepalive = TcpKeepalive::new().with_time(every).with_interval(every);
    if let Err(error) = SockRef::from(stream).set_tcp_keepalive(&keepalive) {
        debug!(%error, "cannot keep the control connection alive");
    }
}
