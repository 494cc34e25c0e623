//! A proxy that ends TLS and begins it anew, with a certificate of its own: what inspection of HTTPS comes to. Bytes pass
//! unchanged.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use fwdrill_client::tls::{Trust, secure};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::proxy::listen;

/// How long the server may take to shake hands: longer than any client waits.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct TlsProxyArgs {
    /// The port that connections are redirected to
    #[arg(long, value_name = "PORT", default_value = "3128")]
    listen: u16,
    /// The server
    #[arg(long, value_name = "ADDRESS:PORT")]
    to: SocketAddr,
}

pub(super) async fn run(args: TlsProxyArgs) -> anyhow::Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(own_certificate().context("failed to make a certificate")?));
    let listener = listen(args.listen).await?;
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // How a connection ends is its ends' business.
            let _ = pass_on(client, &acceptor, args.to).await;
        });
    }
}

fn own_certificate() -> anyhow::Result<ServerConfig> {
    let mut params = CertificateParams::new(["inspection.example".to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "inspection");
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let secret = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], secret)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn pass_on(client: TcpStream, acceptor: &TlsAcceptor, to: SocketAddr) -> anyhow::Result<()> {
    let mut client = acceptor.accept(client).await?;
    let server = TcpStream::connect(to).await?;
    let (mut server, _) = secure(server, &to.ip().to_string(), Trust::Any, PATIENCE).await??;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
