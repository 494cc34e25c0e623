//! TLS to the update server: which certificate is taken, and what went wrong.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fwdrill_protocol::estate::{Estate, HttpTls};
use fwdrill_protocol::update_set::Sha256;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sha2::Digest;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::connection::ConnectionError;

/// Which certificate a client takes from the server.
///
/// No authority vouches for a lab's certificate, and what is downloaded is signed. So any is taken, and shown; unless the
/// estate names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// Any whose key the server has.
    Any,
    /// The one with this SHA-256.
    Only(Sha256),
}

impl Trust {
    /// For downloads over HTTP in this estate; `None` where they are in clear.
    pub fn of_http(estate: &Estate) -> Option<Self> {
        match estate.http.tls {
            HttpTls::Off => None,
            HttpTls::Required => Some(Trust::of(estate)),
        }
    }

    /// Whatever is under TLS in this estate.
    pub fn of(estate: &Estate) -> Self {
        estate.tls.fingerprint.map_or(Trust::Any, Trust::Only)
    }
}

/// Why there is no TLS, on a connection that stands.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// What came is no TLS.
    #[error("it does not speak TLS")]
    NotTls,
    /// The two ends do not agree.
    #[error("the TLS handshake failed")]
    Handshake(#[source] rustls::Error),
    /// Somebody else has the connection, or the server has another certificate than the estate says.
    #[error("the certificate is {found}, the estate trusts {trusted}")]
    Certificate {
        /// SHA-256 of the one that came.
        found: Sha256,
        /// SHA-256 of the one to be trusted.
        trusted: Sha256,
    },
    /// The host cannot be named in TLS.
    #[error("{0:?} is no name for TLS")]
    Name(String),
}

/// Shakes hands for HTTPS over a connection to `host` (a name or an address). Nothing is sent to who has the wrong
/// certificate. The outer error is the connection's, which is silent if all this takes longer than `limit`.
pub async fn secure(
    stream: TcpStream,
    host: &str,
    trust: Trust,
    limit: Duration,
) -> Result<Result<(TlsStream<TcpStream>, Sha256), TlsError>, ConnectionError> {
    match Security::new(host, trust, &[b"http/1.1"]) {
        Ok(security) => security.shake(stream, limit).await,
        Err(error) => Ok(Err(error)),
    }
}

/// What the connections of one session have in common: whom they trust, and the TLS session that a later one resumes (some
/// FTP servers take no data connection that does not).
#[derive(Debug, Clone)]
pub(crate) struct Security {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    trust: Trust,
}

impl Security {
    /// For connections to `host`, a name or an address, that may speak one of `protocols` (ALPN; none: it does not come up).
    pub(crate) fn new(host: &str, trust: Trust, protocols: &[&[u8]]) -> Result<Self, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))?;
        let mut config = config().map_err(TlsError::Handshake)?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Security {
            config: Arc::new(config),
            name,
            trust,
        })
    }

    /// Shakes hands. Nothing is sent to who has the wrong certificate. The outer error is the connection's, which is silent
    /// if all this takes longer than `limit`.
    pub(crate) async fn shake(
        &self,
        stream: TcpStream,
        limit: Duration,
    ) -> Result<Result<(TlsStream<TcpStream>, Sha256), TlsError>, ConnectionError> {
        // Boxed: a handshake is large, and most connections have none.
        let shaken = tokio::time::timeout(limit, Box::pin(self.shake_hands(stream))).await;
        Ok(shaken.map_err(|_| ConnectionError::Silent(limit))??)
    }

    async fn shake_hands(&self, stream: TcpStream) -> io::Result<Result<(TlsStream<TcpStream>, Sha256), TlsError>> {
        let connector = TlsConnector::from(self.config.clone());
        let stream = match connector.connect(self.name.clone(), stream).await {
            Ok(stream) => stream,
            Err(error) => return classify(error).map(Err),
        };
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let Some(own) = certificates.first() else {
            return Ok(Err(TlsError::Handshake(rustls::Error::NoCertificatesPresented)));
        };
        let found = Sha256::from_bytes(sha2::Sha256::digest(own).into());
        match self.trust {
            Trust::Only(trusted) if trusted != found => Ok(Err(TlsError::Certificate { found, trusted })),
            _ => Ok(Ok((stream, found))),
        }
    }
}

/// rustls hides its errors in those of the stream.
fn classify(error: io::Error) -> io::Result<TlsError> {
    match error.downcast::<rustls::Error>() {
        Ok(rustls::Error::InvalidMessage(_)) => Ok(TlsError::NotTls),
        Ok(error) => Ok(TlsError::Handshake(error)),
        Err(error) => Err(error),
    }
}

fn config() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth())
}

/// Takes every certificate, but only from who has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
