//! minisign signatures. What the stock tool writes is read here, and what is written here the stock tool reads.

use std::io::Cursor;

use thiserror::Error;

pub use super::keys::{KeyError, PublicKey, SecretKey};

/// No signature text is longer than this; who downloads one need not read on.
pub const MAX_SIGNATURE_BYTES: usize = 4096;

/// Verifies `signature`, the text of a `.minisig` file, over `bytes`, and returns its trusted comment.
///
/// Only prehashed signatures are taken, as the stock tool makes them since 0.10.
pub fn verify(bytes: &[u8], signature: &str, key: &PublicKey) -> Result<String, SignatureError> {
    let signature = parse(signature)?;
    if !signature.is_prehashed() {
        return Err(SignatureError::NotPrehashed);
    }
    if signature.keynum() != key.inner().keynum() {
        return Err(SignatureError::WrongKey {
            signed_by: super::keys::id_of(signature.keynum()),
            expected: key.id(),
        });
    }
    minisign::verify(key.inner(), &signature, Cursor::new(bytes), true, false, false)
        .map_err(|_| SignatureError::Mismatch { key: key.id() })?;
    signature
        .trusted_comment()
        .map_err(|_| SignatureError::Malformed("its trusted comment is not text"))
}

/// Why a signature does not vouch for the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// Not the four lines of a minisign signature.
    #[error("malformed minisign signature: {0}")]
    Malformed(&'static str),
    /// The form before minisign 0.10, which signs the bytes themselves.
    #[error("minisign signature is of the legacy, not prehashed kind")]
    NotPrehashed,
    /// Made by another key.
    #[error("signed by key {signed_by}, expected key {expected}")]
    WrongKey {
        /// The id of the key that signed.
        signed_by: String,
        /// The id of the key it was checked with.
        expected: String,
    },
    /// The bytes, the signature or the trusted comment were altered.
    #[error("signature of key {key} does not match the bytes")]
    Mismatch {
        /// The id of the key it was checked with.
        key: String,
    },
}

/// Why something could not be signed.
#[derive(Debug, Error)]
pub enum SignError {
    /// The trusted comment would break the signature's text.
    #[error("invalid trusted comment {0:?}: it has control characters or space at an end")]
    Comment(String),
    /// The system gives no random numbers, or the key's halves do not belong together.
    #[error("failed to sign with key {key}")]
    Sign {
        /// The id of the key.
        key: String,
        /// What went wrong.
        #[source]
        source: minisign::PError,
    },
}

impl SecretKey {
    /// Signs `bytes`; returns the text of a `.minisig` file. The comment is covered by the signature.
    ///
    /// The signature has randomness in it: signing twice gives two texts, both good.
    pub fn sign(&self, bytes: &[u8], trusted_comment: &str) -> Result<String, SignError> {
        if trusted_comment.trim() != trusted_comment || trusted_comment.chars().any(|c| c.is_control() && c != '\t') {
            return Err(SignError::Comment(trusted_comment.to_owned()));
        }
        let (secret, public) = (self.inner(), self.public());
        let untrusted = format!("signature from minisign secret key {}", public.id());
        minisign::sign(
            Some(public.inner()),
            secret,
            bytes,
            Some(trusted_comment),
            Some(&untrusted),
        )
        .map(|signature| signature.to_string())
        .map_err(|source| SignError::Sign {
            key: public.id(),
            source,
        })
    }
}

/// The crate's reader takes a signature or comment signature of any length, and then indexes into it: so the lengths
/// are checked before it sees them.
fn parse(text: &str) -> Result<minisign::SignatureBox, SignatureError> {
    if text.len() > MAX_SIGNATURE_BYTES {
        return Err(SignatureError::Malformed("it is too long"));
    }
    let lines: Vec<&str> = text.lines().collect();
    let [_, signature, _, comment_signature] = lines.as_slice() else {
        return Err(SignatureError::Malformed("it has not four lines"));
    };
    // base64 of 2 + 8 + 64 and of 64 bytes
    if signature.len() != 100 || comment_signature.len() != 88 {
        return Err(SignatureError::Malformed(
            "a line is longer or shorter than a signature",
        ));
    }
    minisign::SignatureBox::from_string(text).map_err(|_| SignatureError::Malformed("a line is not as it should be"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> SecretKey {
        SecretKey::generate().expect("random numbers")
    }

    #[test]
    fn what_is_signed_verifies_and_returns_its_comment() {
        let key = key();
        let signature = key.sign(b"bytes", "serial 7\tof a test").expect("signed");
        assert_eq!(
            verify(b"bytes", &signature, key.public()),
            Ok("serial 7\tof a test".into())
        );
        assert!(
            signature.lines().nth(1).expect("second line").starts_with("RU"),
            "prehashed"
        );
    }

    #[test]
    fn other_bytes_another_key_and_another_comment_are_refused_and_told_apart() {
        let (ours, theirs) = (key(), key());
        let signature = ours.sign(b"bytes", "true").expect("signed");
        let mismatch = SignatureError::Mismatch {
            key: ours.public().id(),
        };
        assert_eq!(verify(b"other", &signature, ours.public()), Err(mismatch.clone()));
        assert_eq!(
            verify(b"bytes", &signature.replace("true", "false"), ours.public()),
            Err(mismatch)
        );
        let wrong = SignatureError::WrongKey {
            signed_by: ours.public().id(),
            expected: theirs.public().id(),
        };
        assert_eq!(verify(b"bytes", &signature, theirs.public()), Err(wrong));
    }

    #[test]
    fn a_comment_that_would_not_survive_the_text_is_not_signed() {
        for comment in ["two\nlines", " space", "space ", "nul\0"] {
            assert!(
                matches!(key().sign(b"", comment), Err(SignError::Comment(_))),
                "{comment:?}"
            );
        }
    }

    #[test]
    fn a_signature_cut_short_anywhere_is_malformed_and_nothing_panics() {
        let key = key();
        let signature = key.sign(b"bytes", "comment").expect("signed");
        for end in 0..signature.trim_end().len() {
            let error = verify(b"bytes", &signature[..end], key.public()).expect_err("cut short");
            assert!(matches!(error, SignatureError::Malformed(_)), "{end}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_verify_panic(text in "(untrusted comment: \\PC{0,9}\n)?[A-Za-z0-9+/=]{0,101}\n(trusted comment: \\PC{0,9}\n)?[A-Za-z0-9+/=]{0,90}") {
            prop_assert!(verify(b"", &text, key().public()).is_err());
        }

        #[test]
        fn no_changed_byte_verifies(position in 0usize..300, flip in 1u8..=255) {
            let key = key();
            let mut bytes = vec![7; 300];
            let signature = key.sign(&bytes, "comment").expect("signed");
            bytes[position] ^= flip;
            prop_assert!(verify(&bytes, &signature, key.public()).is_err());
        }
    }
}
