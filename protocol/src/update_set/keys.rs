//! minisign keys, as the stock tool keeps them.

use std::fmt;

use ct_codecs::{Base64, Decoder, Encoder};
use thiserror::Error;

/// `Ed`, no key derivation, `B2`, 32 bytes of salt, 16 of limits, 8 of key number, 64 of key, 32 of checksum.
const SECRET_KEY_BYTES: usize = 158;
/// `Ed`, 8 bytes of key number, 32 of key.
const PUBLIC_KEY_BYTES: usize = 42;

/// A key that signs, without a password. Its debug form shows its id only.
#[derive(Clone)]
pub struct SecretKey {
    secret: minisign::SecretKey,
    public: PublicKey,
}

/// A key that signatures are checked with.
#[derive(Clone)]
pub struct PublicKey(minisign::PublicKey);

impl SecretKey {
    /// A new key, from the system's random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().map_err(KeyError::Generate)?;
        Ok(Self {
            secret: pair.sk,
            public: PublicKey(pair.pk),
        })
    }

    /// Reads the text of a secret key file without password, as `minisign -G -W` writes it.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let not_a_key = || KeyError::NotAKey { expected: "secret" };
        // The crate's own reader insists on a checksum that the stock tool leaves out of keys without password.
        let bytes = decode(key_line(text), SECRET_KEY_BYTES).ok_or_else(not_a_key)?;
        match bytes.get(2..4) {
            Some([0, 0]) => {}
            _ => return Err(KeyError::Encrypted),
        }
        let secret = minisign::SecretKey::from_bytes(&bytes).map_err(|_| not_a_key())?;
        let public = PublicKey(minisign::PublicKey::from_secret_key(&secret).map_err(|_| not_a_key())?);
        let key = Self { secret, public };
        // In place of the checksum: a damaged key does not verify what it signed.
        let vouches = key
            .sign(b"", "")
            .is_ok_and(|signature| super::verify(b"", &signature, &key.public).is_ok());
        if vouches { Ok(key) } else { Err(KeyError::Damaged) }
    }

    /// The text of a secret key file without password.
    pub fn render(&self) -> String {
        file_text("secret", &self.public, &self.secret.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn inner(&self) -> &minisign::SecretKey {
        &self.secret
    }
}

impl PublicKey {
    /// Reads the text of a public key file, or the bare base64 (`RW...`) that `minisign -P` takes.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let not_a_key = || KeyError::NotAKey { expected: "public" };
        let bytes = decode(key_line(text), PUBLIC_KEY_BYTES).ok_or_else(not_a_key)?;
        minisign::PublicKey::from_bytes(&bytes)
            .map(Self)
            .map_err(|_| not_a_key())
    }

    /// The text of a public key file.
    pub fn render(&self) -> String {
        file_text("public", self, &self.0.to_bytes())
    }

    /// The one line that `minisign -P` takes.
    pub fn to_base64(&self) -> String {
        self.0.to_base64()
    }

    /// The key's id, as the stock tool shows it: 16 hex digits.
    pub fn id(&self) -> String {
        id_of(self.0.keynum())
    }

    pub(super) fn inner(&self) -> &minisign::PublicKey {
        &self.0
    }
}

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The text is something else.
    #[error("not a minisign {expected} key")]
    NotAKey {
        /// Which half was expected.
        expected: &'static str,
    },
    /// The secret key has a password, and nobody is there to type it.
    #[error("the minisign secret key has a password; make one without (minisign -G -W)")]
    Encrypted,
    /// The parts of the secret key do not belong together.
    #[error("the minisign secret key is damaged: it does not verify its own signature")]
    Damaged,
    /// The system gives no random numbers.
    #[error("failed to generate a minisign key")]
    Generate(#[source] minisign::PError),
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.public.id())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.to_base64())
    }
}

/// Unlike the crate's, this compares the key number as well: signatures carry it.
impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bytes() == other.0.to_bytes()
    }
}

impl Eq for PublicKey {}

pub(super) fn id_of(key_number: &[u8]) -> String {
    let reversed: Vec<u8> = key_number.iter().rev().copied().collect();
    hex::encode_upper(reversed)
}

fn file_text(half: &str, public: &PublicKey, bytes: &[u8]) -> String {
    // Only a length beyond usize could fail to encode.
    let line = Base64::encode_to_string(bytes).unwrap_or_default();
    format!("untrusted comment: minisign {half} key {}\n{line}\n", public.id())
}

/// The line after the comment, or the only line.
fn key_line(text: &str) -> &str {
    let mut lines = text.trim().lines();
    let first = lines.next().unwrap_or_default();
    let line = if first.starts_with("untrusted comment:") {
        lines.next().unwrap_or_default()
    } else {
        first
    };
    line.trim()
}

fn decode(line: &str, length: usize) -> Option<Vec<u8>> {
    let bytes = Base64::decode_to_vec(line, None).ok()?;
    (bytes.len() == length && bytes.starts_with(b"Ed")).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `minisign -G -W` 0.11 for this test; it signs nothing.
    const STOCK_SECRET: &str = "untrusted comment: minisign encrypted secret key\nRWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAgG63KXzbFr2rdKXsHjornR2uHcjm9V2O9yHpocWy8o5kecr2g1mJw8oc9JxagRr7cNeZLLjWpg5+FTVkNryAQW8jcCcjvAzbAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    const STOCK_PUBLIC: &str = "untrusted comment: minisign public key BD16DB7C29B76E80\nRWSAbrcpfNsWvcoc9JxagRr7cNeZLLjWpg5+FTVkNryAQW8jcCcjvAzb\n";

    #[test]
    fn the_key_files_of_the_stock_tool_are_read() {
        let secret = SecretKey::parse(STOCK_SECRET).expect("a secret key");
        let public = PublicKey::parse(STOCK_PUBLIC).expect("a public key");
        assert_eq!(secret.public(), &public);
        assert_eq!(public.render(), STOCK_PUBLIC);
        assert_eq!(public.id(), "BD16DB7C29B76E80");
    }

    #[test]
    fn keys_survive_being_written_and_read() {
        let secret = SecretKey::generate().expect("random numbers");
        let again = SecretKey::parse(&secret.render()).expect("own output");
        assert_eq!(again.public(), secret.public());
        assert_eq!(
            &PublicKey::parse(&secret.public().to_base64()).expect("own output"),
            secret.public()
        );
        assert_eq!(
            &PublicKey::parse(&secret.public().render()).expect("own output"),
            secret.public()
        );
    }

    #[test]
    fn a_key_never_shows_in_its_debug_form() {
        let secret = SecretKey::parse(STOCK_SECRET).expect("a secret key");
        assert_eq!(format!("{secret:?}"), "SecretKey(BD16DB7C29B76E80)");
    }

    #[test]
    fn halves_are_not_taken_for_each_other_nor_is_anything_else_a_key() {
        for text in [
            "",
            "x",
            "untrusted comment: x",
            STOCK_PUBLIC,
            "RW\u{e9}",
            "-----BEGIN PRIVATE KEY-----",
        ] {
            assert!(
                matches!(SecretKey::parse(text), Err(KeyError::NotAKey { .. })),
                "{text:?}"
            );
        }
        for text in ["", "x", STOCK_SECRET, "untrusted comment: x\n"] {
            assert!(
                matches!(PublicKey::parse(text), Err(KeyError::NotAKey { .. })),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_key_with_a_password_or_a_changed_letter_says_so() {
        // "RWQAAEIy" is Ed, no derivation, B2; "RWRTY0Iy" is Ed, Sc, B2.
        assert!(matches!(
            SecretKey::parse(&STOCK_SECRET.replace("RWQAAEIy", "RWRTY0Iy")),
            Err(KeyError::Encrypted)
        ));
        let damaged = STOCK_SECRET.replace("oc9Jxag", "oc9Jxbg");
        assert!(matches!(SecretKey::parse(&damaged), Err(KeyError::Damaged)));
    }
}
