//! HTTPS on the download port, by rustls over raw sockets.

use std::sync::Arc;

use fwdrill_protocol::estate::HttpTls;
use fwdrill_protocol::flow::Flow;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::tls::certificate_path;

async fn serving(change: impl FnOnce(&mut Config)) -> (Place, Running) {
    let mut place = Place::new();
    place
        .depot
        .publish(1, &[("signatures/a", b"one"), ("signatures/big", &pattern(20 << 20))]);
    place.config.estate.http.tls = HttpTls::Required;
    change(&mut place.config);
    let server = place.start().await;
    (place, server)
}

pub(super) async fn secure(
    place: &Place,
    stream: TcpStream,
    version: &'static SupportedProtocolVersion,
) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(certificate_path(place.state.path())).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    in_time(TlsConnector::from(Arc::new(config)).connect(name, stream))
        .await
        .unwrap()
}

pub(super) async fn talk(stream: &mut TlsStream<TcpStream>, request: &str) -> Vec<u8> {
    in_time(stream.write_all(request.as_bytes())).await.unwrap();
    let mut answer = Vec::new();
    // An end without close_notify would be an error here.
    in_time(stream.read_to_end(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn files_of_every_size_come_whole_under_either_version_and_end_with_close_notify() {
    let (place, server) = serving(|_| ()).await;
    for version in [&TLS12, &TLS13] {
        for (path, content) in [("a", b"one".to_vec()), ("big", pattern(20 << 20))] {
            let stream = TcpStream::connect(server.address(Flow::Http)).await.unwrap();
            let mut stream = secure(&place, stream, version).await;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            let request = format!("GET /signatures/{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = talk(&mut stream, &request).await;
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
            assert!(answer.ends_with(&content));
        }
    }
}

#[tokio::test]
async fn only_downloads_are_https_the_version_service_is_not() {
    let (_place, server) = serving(|_| ()).await;
    let version = server.ask(Flow::Version, "GET /version HTTP/1.1\r\nHost: a\r\n").await;
    assert_eq!(version.status, 200);
    let mut wire = server.connect(Flow::Http).await;
    wire.send("GET /signatures/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let said = wire.rest_or_reset().await;
    // An alert (RFC 8446 section 6): content type 21, then the version of the record.
    assert!(said.starts_with(&[21, 3]), "{said:?}");
}

#[tokio::test]
async fn whoever_does_not_shake_hands_is_let_go_in_time() {
    let (_place, server) = serving(|config| config.http.handshake = Duration::from_millis(100)).await;
    let mut silent = server.connect(Flow::Http).await;
    assert_eq!(silent.rest_or_reset().await, b"");
    // The head of a ClientHello of 512 bytes, and no more of it.
    let mut slow = server.connect(Flow::Http).await;
    in_time(slow.stream.write_all(&[22, 3, 1, 2, 0, 1, 0, 1]))
        .await
        .unwrap();
    assert_eq!(slow.rest_or_reset().await, b"");
}

#[tokio::test]
async fn a_server_that_stops_does_not_wait_for_handshakes_and_idle_clients_get_close_notify() {
    let (place, server) = serving(|_| ()).await;
    let _silent = server.connect(Flow::Http).await;
    let stream = TcpStream::connect(server.address(Flow::Http)).await.unwrap();
    let mut idle = secure(&place, stream, &TLS13).await;
    let request = "GET /signatures/a HTTP/1.1\r\nHost: a\r\n\r\n";
    in_time(idle.write_all(request.as_bytes())).await.unwrap();
    let mut answer = vec![0; 4096];
    assert!(in_time(idle.read(&mut answer)).await.unwrap() > 0);
    assert_eq!(server.stop().await, 0, "nobody had to be cut");
    let mut rest = Vec::new();
    in_time(idle.read_to_end(&mut rest)).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_cut_on_disk_in_mid_download_ends_without_close_notify() {
    let (place, server) = serving(|_| ()).await;
    let narrow = server.connect_narrow(Flow::Http).await;
    let mut stream = secure(&place, narrow.stream, &TLS13).await;
    let request = "GET /signatures/big HTTP/1.1\r\nHost: a\r\n\r\n";
    in_time(stream.write_all(request.as_bytes())).await.unwrap();
    assert!(in_time(stream.read(&mut [0; 1024])).await.unwrap() > 0);
    let file = place.depot.path().join("sets/1/signatures/big");
    std::fs::OpenOptions::new()
        .write(true)
        .open(file)
        .unwrap()
        .set_len(0)
        .unwrap();
    let mut rest = Vec::new();
    let error = in_time(stream.read_to_end(&mut rest)).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof, "{error}");
    assert!(rest.len() < 20 << 20);
}
