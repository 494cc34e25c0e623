//! The console's password: made at the first start, told once, kept as an Argon2id hash.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use super::ConsoleError;
use crate::secret_file;

/// The name of the file with the hash, in PHC string form.
const FILE: &str = "password";
/// Letters and digits that nobody takes for each other: 31, of which [`LENGTH`] are 99 bits.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
const LENGTH: usize = 20;
/// Passwords that are compared at the same time: each costs 19 MiB and some hundredths of a second.
const AT_ONCE: usize = 2;
/// How long one waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// What passwords are compared with.
#[derive(Debug)]
pub(super) struct Password {
    hash: Arc<str>,
    turns: Arc<Semaphore>,
}

impl Password {
    /// The password whose hash is in `directory`; without one it is made, and returned for its owner to see.
    pub(super) fn load_or_make(directory: &Path) -> Result<(Self, Option<String>), ConsoleError> {
        let path = directory.join(FILE);
        let (hash, made) = match secret_file::load(&path)? {
            Some(hash) if PasswordHash::new(&hash).is_ok() => (hash, None),
            Some(_) => return Err(ConsoleError::Hash { path }),
            None => {
                let password = random();
                let hash = hash(&password)?;
                secret_file::make(&path, &hash)?;
                (hash, Some(password))
            }
        };
        let password = Password {
            hash: hash.into(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        };
        Ok((password, made))
    }

    /// Whether it is this one; `None` where too many ask at once.
    pub(super) async fn is(&self, given: String) -> Option<bool> {
        let turn = tokio::time::timeout(PATIENCE, self.turns.clone().acquire_owned());
        let turn = turn.await.ok()?.ok()?;
        let hash = self.hash.clone();
        let compared = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let hash = PasswordHash::new(&hash).ok()?;
            Some(Argon2::default().verify_password(given.as_bytes(), &hash).is_ok())
        });
        compared.await.ok()?
    }
}

/// In PHC string form, with a salt of its own.
fn hash(password: &str) -> Result<String, ConsoleError> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string())
        .map_err(|error| ConsoleError::Hashing(error.to_string()))
}

/// In groups of five, as people copy them.
fn random() -> String {
    let letter = |_| char::from(LETTERS[rand::random_range(0..LETTERS.len())]);
    let letters: Vec<char> = (0..LENGTH).map(letter).collect();
    let groups: Vec<String> = letters.chunks(5).map(|group| group.iter().collect()).collect();
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_password_is_told_once_and_only_its_hash_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (password, made) = Password::load_or_make(directory.path()).unwrap();
        let made = made.unwrap();
        assert_eq!(password.is(made.clone()).await, Some(true));
        assert_eq!(password.is(made[..made.len() - 1].to_owned()).await, Some(false));
        assert_eq!(password.is(String::new()).await, Some(false));
        let kept = std::fs::read_to_string(directory.path().join(FILE)).unwrap();
        assert!(kept.starts_with("$argon2id$") && !kept.contains(&made), "{kept}");
        let (again, none) = Password::load_or_make(directory.path()).unwrap();
        assert!(none.is_none());
        assert_eq!(again.is(made).await, Some(true));
    }

    #[test]
    fn a_file_that_is_no_hash_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), "secret").unwrap();
        let error = Password::load_or_make(directory.path()).unwrap_err().to_string();
        assert!(error.contains("password") && error.contains("delete it"), "{error}");
    }

    #[test]
    fn no_two_passwords_are_alike() {
        assert_ne!(random(), random());
        assert_eq!(random().len(), LENGTH + 3);
    }
}
