//! What arrives in a transfer: counted by whoever receives it, digested and, as far as a manifest may be long, kept here.

mod again;
mod files;
pub(super) mod page;
pub(super) mod segments;
mod upload;
pub(super) mod upstream;

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::update_set::{MAX_SIGNATURE_BYTES, Manifest, PublicKey, SetPath, Sha256, SignatureError, verify};
use sha2::Digest;

use super::Site;
use crate::observation::content::Signature;
use crate::observation::{ExpectedContent, Observations};
use crate::plan::Depth;

/// What gets through wherever anything does, and is not slow.
pub(super) const SMALL_SEGMENT: u16 = 536;

/// What has to be asked besides, where something stalled or does not agree.
pub(super) async fn explore(site: &mut Site<'_>, seen: &mut Observations) {
    if site.plan.depth < Depth::Usual {
        return;
    }
    segments::explore(site, seen).await;
    again::explore(site, seen).await;
}

/// What takes seconds on a path that looks healthy.
pub(super) async fn explore_thoroughly(site: &Site<'_>, seen: &mut Observations) {
    if site.plan.depth == Depth::Thorough {
        files::explore(site, seen).await;
        upload::explore(site, seen).await;
    }
}

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

    /// Its first bytes, all of them where it is no longer than a manifest may be.
    pub(super) fn beginning(&self) -> &[u8] {
        &self.kept
    }
}

/// More than one full-size packet carries, wherever there is no jumbo Ethernet: where large packets get lost, it does.
const SEVERAL_PACKETS: u64 = 4096;

/// The file of a set to see by whether content survives: the smallest that needs several packets, else the largest.
pub(super) fn file_to_try(manifest: &Manifest) -> Option<(SetPath, ExpectedContent)> {
    let files = manifest.files();
    let enough = files.iter().filter(|entry| entry.size >= SEVERAL_PACKETS);
    let entry = enough
        .min_by_key(|entry| entry.size)
        .or_else(|| files.iter().max_by_key(|entry| entry.size))?;
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

/// Whether the signature vouches for the manifest, by the key of the estate.
pub(super) fn checked(estate: &Estate, manifest: &Content, signature: &[u8]) -> Signature {
    let Some(key) = estate.update.public_key.as_deref() else {
        return Signature::Unknown;
    };
    let Ok(key) = PublicKey::parse(key) else {
        return Signature::Unknown;
    };
    let bad = |why: String| Signature::Bad { why };
    let text = match std::str::from_utf8(signature) {
        Ok(text) if text.len() <= MAX_SIGNATURE_BYTES => text,
        _ => return bad("it is no text of the length of a signature".to_owned()),
    };
    match verify(manifest.beginning(), text, &key) {
        Ok(_) => Signature::Good,
        Err(SignatureError::WrongKey { signed_by, expected }) => Signature::OtherKey {
            signed_by,
            trusted: expected,
        },
        Err(error) => bad(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fwdrill_protocol::update_set::SecretKey;

    fn estate(key: Option<&PublicKey>) -> Estate {
        let mut estate = Estate::default();
        estate.update.public_key = key.map(PublicKey::to_base64);
        estate
    }

    #[test]
    fn a_signature_is_good_another_keys_or_of_other_bytes() {
        let (own, other) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let mut manifest = Content::default();
        manifest.take(b"a manifest");
        let signature = own.sign(b"a manifest", "").unwrap();
        let says = |key, text: &str| checked(&estate(key), &manifest, text.as_bytes());
        assert_eq!(says(Some(own.public()), &signature), Signature::Good);
        assert_eq!(
            says(Some(other.public()), &signature),
            Signature::OtherKey {
                signed_by: own.public().id(),
                trusted: other.public().id(),
            }
        );
        let of_others = own.sign(b"another manifest", "").unwrap();
        assert!(matches!(says(Some(own.public()), &of_others), Signature::Bad { .. }));
        assert!(matches!(says(Some(own.public()), "<html>"), Signature::Bad { .. }));
        assert_eq!(says(None, &signature), Signature::Unknown, "nobody says with which key");
    }
}
