//! The server's certificate and the TLS that every service speaks.
//!
//! Who has a certificate names it in the estate (`tls.certificate`, `tls.key`). Otherwise one is made on first start and
//! kept in `<state>/tls/`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fwdrill_protocol::estate::{Estate, HttpTls};
use fwdrill_protocol::update_set::Sha256;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ServerSessionMemoryCache;
use rustls::version::{TLS12, TLS13};
use sha2::Digest;
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
    #[error("failed to use the certificate {} with the key {}", certificate.display(), key.display())]
    Use {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The reason.
        #[source]
        source: rustls::Error,
    },
}

/// TLS 1.2 and 1.3 with the estate's certificate, or else with the one in `<state>/tls/`, made for every name and address
/// of the server if the directory is not there. Without ALPN, which is each protocol's own.
pub fn server_config(estate: &Estate, state: &Path) -> Result<ServerConfig, TlsError> {
    if let (Some(certificate), Some(key)) = (&estate.tls.certificate, &estate.tls.key) {
        return load(certificate, key);
    }
    let directory = state.join("tls");
    if !directory.exists() {
        make(&directory, &names(estate))?;
    }
    load(&directory.join(CERTIFICATE), &directory.join(KEY))
}

/// The same for HTTPS; `None` where the estate has plain HTTP.
pub fn https_config(estate: &Estate, state: &Path) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    if estate.http.tls == HttpTls::Off {
        return Ok(None);
    }
    let mut config = server_config(estate, state)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}

/// The SHA-256 of the certificate that [`server_config`] shows; `None` while there is none to be read.
pub fn fingerprint(estate: &Estate, state: &Path) -> Option<Sha256> {
    let kept = certificate_path(state);
    let text = fs::read(estate.tls.certificate.as_ref().unwrap_or(&kept)).ok()?;
    let own = CertificateDer::pem_slice_iter(&text).next()?.ok()?;
    Some(Sha256::from_bytes(sha2::Sha256::digest(own).into()))
}

/// The certificate (PEM), for clients that are to trust it.
pub fn certificate_path(state: &Path) -> PathBuf {
    state.join("tls").join(CERTIFICATE)
}

/// The names that a certificate is made for.
fn names(estate: &Estate) -> Vec<String> {
    let advertised = estate.ftp.advertised_address.as_ref().map(ToString::to_string);
    let bound = Some(estate.server.bind).filter(|address| !address.is_unspecified());
    let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut names: Vec<String> = estate.server.host.clone().into_iter().collect();
    names.extend(advertised);
    names.extend(bound.map(|address| address.to_string()));
    names.extend(local);
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn load(certificate: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let pem = |path: &Path, source| TlsError::Pem {
        path: path.to_owned(),
        source,
    };
    let text = read(certificate)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|source| pem(certificate, source))?;
    if let Some(own) = chain.first() {
        let fingerprint = Sha256::from_bytes(sha2::Sha256::digest(own).into());
        info!(certificate = %certificate.display(), %fingerprint, "clients may be told to take this certificate only: tls.fingerprint");
    }
    let text = read(key)?;
    let secret = PrivateKeyDer::from_pem_slice(&text).map_err(|source| pem(key, source))?;
    configure(chain, secret).map_err(|source| TlsError::Use {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })
}

fn configure(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ServerConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    config.ticketer = rustls::crypto::ring::Ticketer::new()?;
    Ok(config)
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

    fn estate() -> Estate {
        let mut estate = Estate::default();
        estate.server.host = Some("update.example.net".to_owned());
        estate
    }

    /// Both ends of a handshake in memory, trusting only the kept certificate.
    fn shake_hands(state: &Path, name: &str, version: &'static SupportedProtocolVersion) -> Result<(), rustls::Error> {
        let config = server_config(&estate(), state).unwrap();
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
        let mut server = ServerConnection::new(Arc::new(config))?;
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
        server_config(&estate(), state.path()).unwrap();
        let made = fs::read(certificate_path(state.path())).unwrap();
        server_config(&estate(), state.path()).unwrap();
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
        server_config(&estate(), state.path()).unwrap();
        assert!(!state.path().join("tls.making").exists());
    }

    #[test]
    fn files_that_do_not_belong_together_are_an_error_and_left_alone() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        server_config(&estate(), one.path()).unwrap();
        server_config(&estate(), other.path()).unwrap();
        let key = |state: &Path| state.join("tls").join(KEY);
        fs::copy(key(other.path()), key(one.path())).unwrap();
        let error = server_config(&estate(), one.path()).unwrap_err();
        assert!(matches!(error, TlsError::Use { .. }), "{error:?}");

        fs::remove_file(key(one.path())).unwrap();
        let error = server_config(&estate(), one.path()).unwrap_err().to_string();
        assert!(
            error.starts_with("failed to read") && error.ends_with("key.pem"),
            "{error}"
        );
        assert!(!key(one.path()).exists());

        fs::write(key(one.path()), "no key").unwrap();
        let error = server_config(&estate(), one.path()).unwrap_err();
        assert!(matches!(error, TlsError::Pem { .. }), "{error:?}");
    }
    #[test]
    fn a_certificate_that_the_estate_names_is_used_and_none_is_made() {
        let (given, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        server_config(&estate(), given.path()).unwrap();
        let mut estate = estate();
        estate.tls.certificate = Some(certificate_path(given.path()));
        estate.tls.key = Some(given.path().join("tls").join(KEY));
        server_config(&estate, state.path()).unwrap();
        assert!(!state.path().join("tls").exists());

        estate.tls.key = Some(given.path().join("elsewhere.pem"));
        let error = server_config(&estate, state.path()).unwrap_err().to_string();
        assert!(
            error.starts_with("failed to read") && error.ends_with("elsewhere.pem"),
            "{error}"
        );
    }
}
