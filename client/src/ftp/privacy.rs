//! Explicit FTPS (RFC 4217): AUTH TLS, and PROT P for data connections.

use fwdrill_protocol::ftp_reply::Reply;
use fwdrill_protocol::update_set::Sha256;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::control::{expect, unexpected};
use super::{Control, Data, FtpError};
use crate::tls::{Security, Trust};

/// A connection in clear, or under TLS.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// What carries either of them.
pub(super) fn socket(stream: &Stream) -> &TcpStream {
    match stream {
        Either::Left(plain) => plain,
        Either::Right(secure) => secure.get_ref().0,
    }
}

/// How private a session is.
#[derive(Debug, Default)]
pub(super) struct Privacy {
    /// What the control connection is secured with.
    control: Option<Box<Security>>,
    /// Whether data connections are, too.
    data: bool,
}

const SHAKING: &str = "shaking hands for TLS";

impl Control {
    /// AUTH TLS. After a reply of 234, [`Control::secured`] has to follow.
    pub async fn auth_tls(&mut self) -> Result<Reply, FtpError> {
        let reply = self.command("AUTH TLS").await?;
        expect(reply.code == 234, "AUTH TLS", reply)
    }

    /// The handshake with `host`, a name or an address: the session under TLS, and the SHA-256 of the server's certificate.
    pub async fn secured(self, host: &str, trust: Trust) -> Result<(Self, Sha256), FtpError> {
        let (peer, limit) = (self.peer(), self.limits.reply);
        let no_tls = |source| FtpError::Tls {
            peer,
            source: Box::new(source),
        };
        let lost = |source| FtpError::Control {
            peer,
            during: SHAKING.to_owned(),
            source,
        };
        let security = Security::new(host, trust, &[]).map_err(no_tls)?;
        let Either::Left(plain) = self.stream else {
            return Err(unexpected("AUTH TLS", Reply::new(503, "it is under TLS already")));
        };
        let shaken = security.shake(plain, limit).await;
        let (stream, certificate) = shaken.map_err(lost)?.map_err(no_tls)?;
        tracing::debug!(%peer, %certificate, "TLS");
        let control = Control {
            stream: Either::Right(Box::new(stream)),
            privacy: Privacy {
                control: Some(Box::new(security)),
                data: false,
            },
            // What somebody put behind the 234 in clear is no answer of the server's.
            received: Default::default(),
            ..self
        };
        Ok((control, certificate))
    }

    /// PBSZ 0 and PROT P: data connections are private from now on.
    pub async fn protect_data(&mut self) -> Result<(), FtpError> {
        for command in ["PBSZ 0", "PROT P"] {
            let reply = self.command(command).await?;
            expect(reply.is_positive(), command, reply)?;
        }
        self.privacy.data = true;
        Ok(())
    }

    /// A data connection as PROT wants it.
    pub(super) async fn protected(&self, data: Data) -> Result<Data, FtpError> {
        match self.privacy.control.as_ref().filter(|_| self.privacy.data) {
            None => Ok(data),
            Some(security) => data.secured(security, self.limits.reply).await,
        }
    }
}

impl Data {
    async fn secured(self, security: &Security, limit: std::time::Duration) -> Result<Self, FtpError> {
        let peer = self.peer();
        let lost = |source| FtpError::Data {
            peer,
            during: SHAKING.to_owned(),
            source,
        };
        let Either::Left(plain) = self.stream else {
            return Ok(self);
        };
        let shaken = security.shake(plain, limit).await;
        let (stream, _) = shaken.map_err(lost)?.map_err(|source| FtpError::Tls {
            peer,
            source: Box::new(source),
        })?;
        Ok(Data {
            stream: Either::Right(Box::new(stream)),
            ..self
        })
    }
}
