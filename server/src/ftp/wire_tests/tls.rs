//! Explicit FTPS (RFC 4217).

use std::fs;
use std::sync::Arc;

use fwdrill_protocol::estate::Tls;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use super::{Place, for_every_engine, pattern};
use crate::config::FtpEngine;
use crate::tls::certificate_path;

for_every_engine!(
    files_go_both_ways_under_tls_of_either_version,
    where_tls_is_required_nobody_logs_in_without_it,
    where_tls_is_off_it_is_refused_and_the_session_goes_on,
);

pub(super) fn trusting(place: &Place, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(certificate_path(place.state.path())).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

async fn files_go_both_ways_under_tls_of_either_version(engine: FtpEngine) {
    let main = pattern(1_000_001);
    let mut place = Place::with(engine, &[("signatures/main", &main)]);
    place.estate().ftp.tls = Tls::Optional;
    let server = place.start().await;
    for version in [&TLS12, &TLS13] {
        let mut client = server.connect().await;
        client.secure(trusting(&place, version)).await;
        client.login("anonymous", "x").await;
        for _ in 0..2 {
            let data = client.passive().await;
            let (bytes, reply) = client.download(data, "RETR /signatures/main").await;
            assert_eq!(reply.code, 226);
            assert!(bytes == main);
        }
        assert_eq!(client.upload("/upload/pc/mwav.log", &main).await.code, 226);
        assert!(fs::read(place.dropped("pc/mwav.log")).unwrap() == main);
    }
    server.anonymous().await.passive().await;
}

async fn where_tls_is_required_nobody_logs_in_without_it(engine: FtpEngine) {
    let mut place = Place::new(engine);
    place.estate().ftp.tls = Tls::Required;
    let server = place.start().await;
    let mut client = server.connect().await;
    let reply = client.say("USER anonymous").await;
    assert_eq!(reply.code / 100, 5, "{reply:?}");
    client.secure(trusting(&place, &TLS13)).await;
    client.login("anonymous", "x").await;
    let data = client.passive().await;
    assert_eq!(client.download(data, "RETR /signatures/small").await.0, b"small");
}

async fn where_tls_is_off_it_is_refused_and_the_session_goes_on(engine: FtpEngine) {
    let place = Place::new(engine);
    let server = place.start().await;
    let mut client = server.connect().await;
    let reply = client.say("AUTH TLS").await;
    assert_eq!(reply.code / 100, 5, "{reply:?}");
    client.login("anonymous", "x").await;
}
