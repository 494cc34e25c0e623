//! What the tests of this crate share.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use fwdrill_protocol::update_set::{FileEntry, Manifest, SecretKey, SetPath};
use jiff::Timestamp;

use crate::{Depot, PublishOptions, SetHandle, Staging, StagingError, publish};

/// A publisher's key and a depot that trusts it, in a directory that goes with them.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) key: SecretKey,
    pub(crate) depot: Depot,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_key(SecretKey::generate().expect("random numbers"))
    }

    /// A second depot that trusts the same key, as a client of this one has.
    pub(crate) fn client(&self) -> Self {
        Self::with_key(self.key.clone())
    }

    fn with_key(key: SecretKey) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let depot = Depot::create(dir.path(), key.public()).expect("a depot");
        Self { dir, key, depot }
    }

    /// Publishes the next small set.
    pub(crate) fn publish(&self) -> SetHandle {
        publish(&self.depot, &self.key, &options()).expect("published")
    }

    /// Begins to bring that set in here.
    pub(crate) fn begin(&self, set: &SetHandle) -> Result<Staging, StagingError> {
        Staging::begin(&self.depot, set.manifest_bytes(), set.signature())
    }

    /// Brings that set in here, every file anew.
    pub(crate) fn fetch(&self, set: &SetHandle) -> Result<SetHandle, StagingError> {
        let mut staging = self.begin(set)?;
        for entry in set.manifest().files() {
            staging.place(entry, fs::File::open(set.file(entry)).expect("a file of the set"))?;
        }
        staging.commit()
    }

    /// Signs a manifest that may say anything.
    pub(crate) fn sign(&self, manifest: &Manifest) -> (Vec<u8>, String) {
        let bytes = manifest.render().into_bytes();
        let signature = self.key.sign(&bytes, "test").expect("signed");
        (bytes, signature)
    }

    /// The serial in force, after making sure that its set is whole.
    pub(crate) fn whole_serial(&self) -> Option<u64> {
        let set = self.depot.current().expect("a depot in order")?;
        assert_eq!(set.verify_files().expect("readable"), []);
        Some(set.serial())
    }

    pub(crate) fn names_in(&self, directory: &str) -> Vec<String> {
        names_in(&self.dir.path().join(directory))
    }
}

/// A small set, published at a fixed time.
pub(crate) fn options() -> PublishOptions {
    PublishOptions {
        main_size: Some(4096),
        ..PublishOptions::at(at("2026-11-24T10:00:00Z"))
    }
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

pub(crate) fn entry<'a>(set: &'a SetHandle, path: &str) -> &'a FileEntry {
    let path: SetPath = path.parse().expect("a path");
    set.manifest()
        .file(&path)
        .unwrap_or_else(|| panic!("no {path} in {:?}", set.manifest().files()))
}

pub(crate) fn bytes_of(set: &SetHandle, path: &str) -> Vec<u8> {
    fs::read(set.file(entry(set, path))).expect("a file of the set")
}

/// Every file of a set (signature aside) with its bytes.
pub(crate) fn contents(set: &SetHandle) -> BTreeMap<SetPath, Vec<u8>> {
    let file = |entry: &FileEntry| (entry.path.clone(), bytes_of(set, entry.path.as_str()));
    set.manifest().files().iter().map(file).collect()
}

pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
