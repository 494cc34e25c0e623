//! The publisher's key pair on disk: `minisign.key` (without password, readable by its owner only) and `minisign.pub`,
//! both as the stock minisign writes them.

use std::path::{Path, PathBuf};

use fwdrill_protocol::update_set::{KeyError, PublicKey, SecretKey};
use thiserror::Error;

use crate::error::FileError;
use crate::files::{ensure_directory, read_at_most, write_if_absent};

const MAX_KEY_BYTES: usize = 4096;

/// The key in `dir`; a new one is made if there is none. When two processes make one at once, both get the same.
pub fn load_or_create(dir: &Path) -> Result<SecretKey, KeyFileError> {
    ensure_directory(dir)?;
    if let Some(key) = load(dir)? {
        return Ok(key);
    }
    let path = secret_key_path(dir);
    let key = SecretKey::generate().map_err(|source| KeyFileError::Key {
        path: path.clone(),
        source,
    })?;
    write_if_absent(&path, key.render().as_bytes(), 0o600)?;
    // Whichever key came first is the one.
    Ok(load(dir)?.unwrap_or(key))
}

/// The key in `dir`, if there is one. Its public half is put next to it if it is missing, and must belong to it.
pub fn load(dir: &Path) -> Result<Option<SecretKey>, KeyFileError> {
    let path = secret_key_path(dir);
    let text = match read_at_most(&path, MAX_KEY_BYTES) {
        Ok(text) => text,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let key = SecretKey::parse(&String::from_utf8_lossy(&text)).map_err(|source| KeyFileError::Key { path, source })?;
    let path = dir.join("minisign.pub");
    if !write_if_absent(&path, key.public().render().as_bytes(), 0o644)? {
        let text = read_at_most(&path, MAX_KEY_BYTES)?;
        let public = PublicKey::parse(&String::from_utf8_lossy(&text)).map_err(|source| KeyFileError::Key {
            path: path.clone(),
            source,
        })?;
        if public != *key.public() {
            return Err(KeyFileError::Strangers {
                path,
                found: public.id(),
                expected: key.public().id(),
            });
        }
    }
    Ok(Some(key))
}

/// Where the secret key of `dir` is.
pub fn secret_key_path(dir: &Path) -> PathBuf {
    dir.join("minisign.key")
}

/// Why there is no key pair.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// A key file is no key, or none that can be used.
    #[error("failed to use {}", path.display())]
    Key {
        /// The key file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: KeyError,
    },
    /// The two files do not belong together.
    #[error("{} is key {found}, but the secret key next to it is {expected}", path.display())]
    Strangers {
        /// The public key file.
        path: PathBuf,
        /// The id in it.
        found: String,
        /// The id of the secret key.
        expected: String,
    },
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_then_loaded() {
        let dir = tempfile::tempdir().expect("a directory");
        let made = load_or_create(&dir.path().join("new")).expect("made");
        let loaded = load_or_create(&dir.path().join("new")).expect("loaded");
        assert_eq!(made.public(), loaded.public());
        let text = fs::read_to_string(dir.path().join("new/minisign.pub")).expect("the public key");
        assert_eq!(text, made.public().render());
    }

    #[test]
    fn only_its_owner_reads_the_secret_key() {
        let dir = tempfile::tempdir().expect("a directory");
        load_or_create(dir.path()).expect("made");
        let mode = |name| fs::metadata(dir.path().join(name)).expect(name).permissions().mode() & 0o777;
        assert_eq!((mode("minisign.key"), mode("minisign.pub")), (0o600, 0o644));
    }

    #[test]
    fn many_at_once_end_up_with_one_key() {
        let dir = tempfile::tempdir().expect("a directory");
        let ids: std::collections::BTreeSet<String> = std::thread::scope(|scope| {
            let made: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| load_or_create(dir.path()).expect("a key")))
                .collect();
            made.into_iter()
                .map(|thread| thread.join().expect("no panic").public().id())
                .collect()
        });
        assert_eq!(ids.len(), 1);
    }

    #[test]
    fn a_public_key_that_is_missing_is_written_again_and_a_strange_one_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let key = load_or_create(dir.path()).expect("made");
        let path = dir.path().join("minisign.pub");
        fs::remove_file(&path).expect("removed");
        load_or_create(dir.path()).expect("loaded");
        assert_eq!(
            fs::read_to_string(&path).expect("the public key"),
            key.public().render()
        );
        fs::write(&path, SecretKey::generate().expect("random numbers").public().render()).expect("written");
        assert!(matches!(
            load_or_create(dir.path()),
            Err(KeyFileError::Strangers { .. })
        ));
    }

    #[test]
    fn a_file_that_is_no_key_is_named_and_left_alone() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join("minisign.key"), "my diary\n").expect("written");
        let error = load_or_create(dir.path()).expect_err("no key");
        assert!(error.to_string().ends_with("/minisign.key"), "{error}");
        assert_eq!(
            std::error::Error::source(&error).expect("a cause").to_string(),
            "not a minisign secret key"
        );
        assert_eq!(
            fs::read_to_string(dir.path().join("minisign.key")).expect("still there"),
            "my diary\n"
        );
    }
}
