//! What arrives in a transfer: counted by whoever receives it, digested and, as far as a manifest may be long, kept here.

use fwdrill_protocol::update_set::{Manifest, SetPath, Sha256};
use sha2::Digest;

use crate::observation::ExpectedContent;

/// The content of one transfer.
#[derive(Default)]
pub(super) struct Content {
    digest: sha2::Sha256,
    kept: Vec<u8>,
}

impl Content {
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        if self.kept.len() + bytes.len() <= Manifest::MAX_BYTES {
            self.kept.extend_from_slice(bytes);
        }
    }

    pub(super) fn sha256(&self) -> Sha256 {
        Sha256::from_bytes(self.digest.clone().finalize().into())
    }

    /// The manifest that it is, if it is one.
    pub(super) fn manifest(&self) -> Option<Manifest> {
        Manifest::parse(&self.kept).ok()
    }
}

/// The smallest file of a set that is more than a few bytes: enough to see whether content survives.
pub(super) fn small_file(manifest: &Manifest) -> Option<(SetPath, ExpectedContent)> {
    let entry = manifest
        .files()
        .iter()
        .filter(|entry| entry.size >= 256)
        .min_by_key(|entry| entry.size)?;
    let according_to = format!("the manifest of serial {}", manifest.serial());
    Some((
        entry.path.clone(),
        ExpectedContent {
            size: entry.size,
            sha256: entry.sha256,
            according_to,
        },
    ))
}
