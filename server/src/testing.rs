//! What the tests of this crate share: a depot whose sets contain just what a test says.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use fwdrill_protocol::update_set::{FileEntry, FileKind, MANIFEST_FILE, Manifest, SIGNATURE_FILE, SecretKey, Sha256};
use jiff::{SignedDuration, Timestamp};
use sha2::Digest;
use tempfile::TempDir;

/// A depot in a directory of its own, made by hand, so that it can be made wrong.
pub(crate) struct TestDepot {
    directory: TempDir,
    key: SecretKey,
    made: Timestamp,
}

impl TestDepot {
    pub(crate) fn new() -> Self {
        let (directory, key) = (tempfile::tempdir().unwrap(), SecretKey::generate().unwrap());
        fs::write(directory.path().join("minisign.pub"), key.public().render()).unwrap();
        TestDepot {
            directory,
            key,
            made: Timestamp::now(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// When set `serial` claims to be published: an hour ago, and a minute later for each serial.
    pub(crate) fn published(&self, serial: u64) -> Timestamp {
        Timestamp::from_second(self.made.as_second() - 3600 + 60 * serial as i64).unwrap()
    }

    /// A signed set under `sets/`, not in force. Returns its directory.
    pub(crate) fn stage(&self, serial: u64, files: &[(&str, &[u8])]) -> PathBuf {
        let set = self.path().join("sets").join(serial.to_string());
        fs::create_dir_all(&set).unwrap();
        let mut entries = Vec::new();
        for (path, contents) in files {
            let file = set.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, contents).unwrap();
            entries.push(FileEntry {
                path: path.parse().unwrap(),
                size: contents.len() as u64,
                sha256: Sha256::from_bytes(sha2::Sha256::digest(contents).into()),
                kind: FileKind::Extra,
            });
        }
        let published = self.published(serial);
        let expires = published + SignedDuration::from_hours(24);
        let manifest = Manifest::new(format!("1.0.{serial}"), serial, published, expires, entries)
            .unwrap()
            .render();
        fs::write(
            set.join(SIGNATURE_FILE),
            self.key.sign(manifest.as_bytes(), "test").unwrap(),
        )
        .unwrap();
        fs::write(set.join(MANIFEST_FILE), manifest).unwrap();
        set
    }

    pub(crate) fn put_in_force(&self, serial: u64) {
        let (next, current) = (self.path().join(".current.next"), self.path().join("current"));
        symlink(format!("sets/{serial}"), &next).unwrap();
        fs::rename(next, current).unwrap();
    }

    pub(crate) fn publish(&self, serial: u64, files: &[(&str, &[u8])]) {
        self.stage(serial, files);
        self.put_in_force(serial);
    }
}
