//! The server's certificate and the TLS that every service speaks.
//!
//! A certificate is made on first start and kept in `<state>/tls/`; who has one of their own puts it there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerSessionMemoryCache;
use rustls::version::{TLS12, TLS13};
use thiserror::Error;
use tracing::info;

const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";
/// Sessions that can be resumed: an FTP client does so with every data connection.
const SESSIONS: usize = 16_384;

/// Why there is no TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A certificate or key file cannot be read or written.
    #[error("failed to {operation} {}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// A file is not what its name says.
    #[error("failed to read PEM from {}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: pem::Error,
    },
    /// The certificate cannot be made.
    #[error("failed to make a certificate for {}", names.join(", "))]
    Make {
        /// The names and addresses it was to have.
        names: Vec<String>,
        /// The reason.
        #[source]
        source: rcgen::Error,
    },
    /// Certificate and key are of no use, or do not belong together.
    #[error("failed to use the certificate and key in {}", directory.display())]
    Use {
        /// Where they are.
        directory: PathBuf,
        /// The reason.
        #[source]
        source: rustls::Error,
    },
}

/// TLS 1.2 and 1.3 with the certificate in `<state>/tls/`, made for `names` (host names and addresses) if the directory
/// is not there. Without ALPN: HTTPS adds its own.
pub fn server_config(state: &Path, names: &[String]) -> Result<Arc<ServerConfig>, TlsError> {
    let directory = state.join("tls");
    if !directory.exists() {
        make(&directory, names)?;
    }
    load(&directory)
}

/// The certificate (PEM), for clients that are to trust it.
pub fn certificate_path(state: &Path) -> PathBuf {
    state.join("tls").join(CERTIFICATE)
}

fn load(directory: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let path = directory.join(CERTIFICATE);
    let text = read(&path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|source| TlsError::Pem { path, source })?;
    let path = directory.join(KEY);
    let text = read(&path)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|source| TlsError::Pem { path, source })?;
    configure(chain, key).map_err(|source| TlsError::Use {
        directory: directory.to_owned(),
        source,
    })
}

fn configure(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    Ok(Arc::new(config))
}

/// Certificate and key appear together: the directory gets its name when both are on the disk.
fn make(directory: &Path, names: &[String]) -> Result<(), TlsError> {
    let failed = |source| TlsError::Make {
        names: names.to_owned(),
        source,
    };
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params(names)
        .and_then(|params| params.self_signed(&key))
        .map_err(failed)?;

    let made = directory.with_extension("making");
    match fs::remove_dir_all(&made) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file_error("remove", &made, error)),
        _ => {}
    }
    let mut builder = DirBuilder::new();
    let built = builder.recursive(true).mode(0o755).create(&made);
    built.map_err(|error| file_error("create", &made, error))?;
    write(&made.join(KEY), 0o600, &key.serialize_pem())?;
    write(&made.join(CERTIFICATE), 0o644, &certificate.pem())?;
    fs::rename(&made, directory).map_err(|error| file_error("create", directory, error))?;
    info!(certificate = %directory.join(CERTIFICATE).display(), names = %names.join(", "), "made a TLS certificate");
    Ok(())
}

fn params(names: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "fwdrill");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // For a lab whose clocks may be anything; clients are told to trust this one certificate, not an authority.
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 12, 31);
    Ok(params)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| file_error("read", path, error))
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), TlsError> {
    let written = || -> io::Result<()> {
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    written().map_err(|error| file_error("write", path, error))
}

fn file_error(operation: &'static str, path: &Path, source: io::Error) -> TlsError {
    TlsError::File {
        operation,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection, SupportedProtocolVersion};

    use super::*;

    fn names() -> Vec<String> {
        ["update.example.net", "localhost", "127.0.0.1", "::1"]
            .map(str::to_owned)
            .into()
    }

    /// Both ends of a handshake in memory, trusting only the kept certificate.
    fn shake_hands(state: &Path, name: &str, version: &'static SupportedProtocolVersion) -> Result<(), rustls::Error> {
        let config = server_config(state, &names()).unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(certificate_path(state)).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name)?;
        let mut server = ServerConnection::new(config)?;
        for _ in 0..10 {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        Ok(())
    }

    #[test]
    fn a_client_that_trusts_the_kept_certificate_is_served_by_both_versions_and_every_name() {
        let state = tempfile::tempdir().unwrap();
        for version in [&TLS12, &TLS13] {
            for name in ["update.example.net", "localhost", "127.0.0.1", "::1"] {
                shake_hands(state.path(), name, version).unwrap();
            }
            assert!(shake_hands(state.path(), "elsewhere.example.net", version).is_err());
        }
    }

    #[test]
    fn the_certificate_is_made_once_and_the_key_is_the_owners() {
        let state = tempfile::tempdir().unwrap();
        server_config(state.path(), &names()).unwrap();
        let made = fs::read(certificate_path(state.path())).unwrap();
        server_config(state.path(), &names()).unwrap();
        assert_eq!(fs::read(certificate_path(state.path())).unwrap(), made);
        let mode = |name| {
            fs::metadata(state.path().join("tls").join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!((mode(KEY), mode(CERTIFICATE)), (0o600, 0o644));
    }

    #[test]
    fn a_start_that_was_killed_half_way_is_made_good() {
        let state = tempfile::tempdir().unwrap();
        fs::create_dir(state.path().join("tls.making")).unwrap();
        fs::write(state.path().join("tls.making").join(KEY), "half").unwrap();
        server_config(state.path(), &names()).unwrap();
        assert!(!state.path().join("tls.making").exists());
    }

    #[test]
    fn files_that_do_not_belong_together_are_an_error_and_left_alone() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        server_config(one.path(), &names()).unwrap();
        server_config(other.path(), &names()).unwrap();
        let key = |state: &Path| state.join("tls").join(KEY);
        fs::copy(key(other.path()), key(one.path())).unwrap();
        let error = server_config(one.path(), &names()).unwrap_err();
        assert!(matches!(error, TlsError::Use { .. }), "{error:?}");

        fs::remove_file(key(one.path())).unwrap();
        let error = server_config(one.path(), &names()).unwrap_err().to_string();
        assert!(
            error.starts_with("failed to read") && error.ends_with("key.pem"),
            "{error}"
        );
        assert!(!key(one.path()).exists());

        fs::write(key(one.path()), "no key").unwrap();
        let error = server_config(one.path(), &names()).unwrap_err();
        assert!(matches!(error, TlsError::Pem { .. }), "{error:?}");
    }
}
