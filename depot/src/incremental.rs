use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use fwdrill_protocol::update_set::Sha256;
use thiserror::Error;

use crate::error::{FileError, OrFailed};
use crate::files::{self, Hashing};

const MAGIC: &str = "fwinc/1";
const MAX_HEADER: u64 = 200;

/// Builds a full database out of an older one and an incremental update: `base` followed by what the update carries.
///
/// `output` must not exist; it is gone again if this fails. That the update belongs to `base` is checked here; that the
/// result is the right one is for the manifest to say.
pub fn apply_incremental(base: &Path, incremental: &Path, output: &Path) -> Result<(), IncrementalError> {
    let mut update = BufReader::new(File::open(incremental).or_failed("open", incremental)?);
    let header = Header::read(&mut update, incremental)?;
    let mut old = File::open(base).or_failed("open", base)?;
    let new = files::create_new(output)?;
    let applied = apply(&header, &mut update, incremental, &mut old, base, new, output);
    if applied.is_err()
        && let Err(error) = fs::remove_file(output)
    {
        tracing::debug!(path = %output.display(), %error, "left half a database behind");
    }
    applied
}

/// Why an incremental update cannot be applied.
#[derive(Debug, Error)]
pub enum IncrementalError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The update is something else.
    #[error("{} is not an incremental update: {reason}", path.display())]
    Malformed {
        /// The update.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The update is for another database or another serial of it.
    #[error(
        "{} is not what the incremental update is for: it has {found} bytes and SHA-256 {found_sha256}, \
         expected {expected} bytes and {expected_sha256}",
        path.display()
    )]
    WrongBase {
        /// The database at hand.
        path: PathBuf,
        /// Its size; at least this, if it is too large.
        found: u64,
        /// Its digest.
        found_sha256: Sha256,
        /// The size the update is for.
        expected: u64,
        /// The digest the update is for.
        expected_sha256: Sha256,
    },
}

/// The first line of an incremental update: `fwinc/1 <length of base> <SHA-256 of base> <bytes that follow>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) base_length: u64,
    pub(crate) base: Sha256,
    pub(crate) appended: u64,
}

impl Header {
    pub(crate) fn render(&self) -> String {
        format!("{MAGIC} {} {} {}\n", self.base_length, self.base, self.appended)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_suffix('\n')?.split(' ');
        (words.next()? == MAGIC).then_some(())?;
        let header = Self {
            base_length: words.next()?.parse().ok()?,
            base: words.next()?.parse().ok()?,
            appended: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(header)
    }

    fn read(update: &mut impl BufRead, path: &Path) -> Result<Self, IncrementalError> {
        let mut line = Vec::new();
        update
            .take(MAX_HEADER)
            .read_until(b'\n', &mut line)
            .or_failed("read", path)?;
        let malformed = || IncrementalError::Malformed {
            path: path.to_owned(),
            reason: "its first line is not a header",
        };
        std::str::from_utf8(&line)
            .ok()
            .and_then(Self::parse)
            .ok_or_else(malformed)
    }
}

fn apply(
    header: &Header,
    update: &mut impl Read,
    update_path: &Path,
    old: &mut File,
    old_path: &Path,
    mut new: File,
    new_path: &Path,
) -> Result<(), IncrementalError> {
    let mut copy = Hashing::new(&mut new);
    // One byte more than expected tells that the base is too long, without reading all of something huge.
    files::copy(&mut old.take(header.base_length.saturating_add(1)), &mut copy).or_failed("copy", old_path)?;
    let (found, found_sha256) = copy.so_far();
    if (found, found_sha256) != (header.base_length, header.base) {
        let (path, expected, expected_sha256) = (old_path.to_owned(), header.base_length, header.base);
        return Err(IncrementalError::WrongBase {
            path,
            found,
            found_sha256,
            expected,
            expected_sha256,
        });
    }
    let appended = files::copy(&mut update.take(header.appended), &mut new).or_failed("write", new_path)?;
    let rest = files::copy(&mut update.take(1), &mut io::sink()).or_failed("read", update_path)?;
    let reason = match (appended == header.appended, rest) {
        (true, 0) => return new.flush().or_failed("write", new_path).map_err(Into::into),
        (true, _) => "it is longer than it says",
        (false, _) => "it is shorter than it says",
    };
    Err(IncrementalError::Malformed {
        path: update_path.to_owned(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use sha2::Digest;

    use super::*;

    struct Case {
        dir: tempfile::TempDir,
    }

    impl Case {
        fn new(base: &[u8], update: &[u8]) -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            fs::write(dir.path().join("base"), base).expect("written");
            fs::write(dir.path().join("update"), update).expect("written");
            Self { dir }
        }

        fn apply(&self) -> Result<Vec<u8>, IncrementalError> {
            let at = |name| self.dir.path().join(name);
            let applied = apply_incremental(&at("base"), &at("update"), &at("new"));
            assert_eq!(applied.is_ok(), at("new").exists(), "half a database is never left");
            applied.map(|()| fs::read(at("new")).expect("the new database"))
        }
    }

    fn update(base: &[u8], appended: &[u8]) -> Vec<u8> {
        let digest = Sha256::from_bytes(sha2::Sha256::digest(base).into());
        let header = Header {
            base_length: base.len() as u64,
            base: digest,
            appended: appended.len() as u64,
        };
        [header.render().as_bytes(), appended].concat()
    }

    #[test]
    fn the_new_database_is_the_old_one_and_what_the_update_carries() {
        assert_eq!(
            Case::new(b"old\n", &update(b"old\n", b"new\n"))
                .apply()
                .expect("applied"),
            b"old\nnew\n"
        );
        assert_eq!(Case::new(b"", &update(b"", b"")).apply().expect("applied"), b"");
    }

    #[test]
    fn another_base_is_refused_whether_longer_shorter_or_just_different() {
        for base in ["old", "old\nmore", "odd\n"] {
            let error = Case::new(base.as_bytes(), &update(b"old\n", b"new\n"))
                .apply()
                .expect_err(base);
            assert!(
                matches!(error, IncrementalError::WrongBase { expected: 4, .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn an_update_of_another_length_than_it_says_is_refused() {
        let whole = update(b"old\n", b"new\n");
        let longer = [&whole[..], b"x"].concat();
        for bytes in [&whole[..whole.len() - 1], &longer] {
            let error = Case::new(b"old\n", bytes).apply().expect_err("another length");
            assert!(matches!(error, IncrementalError::Malformed { .. }), "{error}");
        }
    }

    #[test]
    fn what_is_not_an_update_is_refused() {
        let digest = "a".repeat(64);
        for text in [
            String::new(),
            "fwinc/1".into(),
            format!("fwinc/1 1 {digest} 1"),
            format!("fwinc/2 1 {digest} 1\n"),
            format!("fwinc/1 -1 {digest} 1\n"),
            format!("fwinc/1 1 {digest} 1 1\n"),
            format!("fwinc/1 1 {} 1\n", "a".repeat(4000)),
        ] {
            let error = Case::new(b"old\n", text.as_bytes()).apply().expect_err(&text);
            assert!(matches!(error, IncrementalError::Malformed { .. }), "{error}");
        }
    }

    #[test]
    fn an_existing_file_is_not_overwritten() {
        let case = Case::new(b"old\n", &update(b"old\n", b"new\n"));
        let at = |name| case.dir.path().join(name);
        fs::write(at("new"), "mine").expect("written");
        assert!(matches!(
            apply_incremental(&at("base"), &at("update"), &at("new")),
            Err(IncrementalError::File(_))
        ));
        assert_eq!(fs::read(at("new")).expect("still there"), b"mine");
    }
}
