//! Active mode (RFC 959 section 3.2, RFC 2428): the server makes the data connection. Only for a listing: nobody's updates
//! come that way, but somebody has to find out whether they could.

use std::net::SocketAddr;
use std::pin::pin;

use fwdrill_protocol::ftp_reply::Reply;
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::{Control, Data, FtpError};

/// What came of a LIST for which the server was to connect to the client.
#[derive(Debug)]
pub struct Arrival {
    /// Who connected, if anybody did.
    pub from: Option<SocketAddr>,
    /// The reply to LIST, as far as one came.
    pub reply: Result<Reply, FtpError>,
    /// How many bytes came, once the final reply had said that this was all.
    pub received: Option<u64>,
}

impl Control {
    /// PORT, or EPRT for IPv6: `at` is where the client listens. The command as it was sent, and its reply, whatever that is.
    pub async fn active(&mut self, at: SocketAddr) -> Result<(String, Reply), FtpError> {
        let command = match at {
            SocketAddr::V4(at) => {
                let [a, b, c, d] = at.ip().octets();
                let [high, low] = at.port().to_be_bytes();
                format!("PORT {a},{b},{c},{d},{high},{low}")
            }
            SocketAddr::V6(at) => format!("EPRT |2|{}|{}|", at.ip(), at.port()),
        };
        let reply = self.command(&command).await?;
        Ok((command, reply))
    }

    /// LIST over the connection that the server makes to `listener`, for which it has as long as for any data connection.
    pub async fn list_to(&mut self, listener: &TcpListener) -> Arrival {
        let limits = self.limits;
        let (came, reply) = {
            let mut accept = pin!(timeout(limits.data_connect, listener.accept()));
            let mut command = pin!(self.command("LIST"));
            let mut came = None;
            // Some servers connect first, some reply first; one that refuses does not connect any more.
            let reply = loop {
                tokio::select! {
                    reply = &mut command => break reply,
                    accepted = &mut accept, if came.is_none() => came = Some(accepted),
                }
            };
            let begun = reply.as_ref().is_ok_and(Reply::is_preliminary);
            if begun && came.is_none() {
                came = Some(accept.await);
            }
            (came.and_then(Result::ok).and_then(Result::ok), reply)
        };
        let from = came.as_ref().map(|(_, from)| *from);
        let (Some((stream, from_there)), true) = (came, reply.as_ref().is_ok_and(Reply::is_preliminary)) else {
            return Arrival {
                from,
                reply,
                received: None,
            };
        };
        let data = Data::over(stream, from_there, &limits);
        match self.receive_all(data).await {
            Ok(received) => Arrival {
                from,
                reply,
                received: Some(received),
            },
            Err(error) => Arrival {
                from,
                reply: Err(error),
                received: None,
            },
        }
    }

    async fn receive_all(&mut self, data: Data) -> Result<u64, FtpError> {
        let mut listing = self.receiving("the listing", data).await?;
        while listing.chunk().await?.is_some() {}
        let received = listing.received();
        listing.finish().await?;
        Ok(received)
    }
}
