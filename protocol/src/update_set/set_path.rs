use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{MANIFEST_FILE, SIGNATURE_FILE};

const MAX_PATH: usize = 1000;
const MAX_NAME: usize = 200;

/// The path of a file inside an update set, such as `signatures/main.fwdb`.
///
/// Invariant: one or more names joined by `/`; every name consists of ASCII letters, digits and `._+-`, does not start
/// with a dot, and is at most 200 bytes long. So joining it to a directory never leaves the directory, putting it into
/// a URL or an FTP command needs no escaping, and it never is the manifest itself.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SetPath(String);

impl SetPath {
    /// The path as text, with `/` between names.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names, outermost directory first.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The name of the file itself.
    pub fn file_name(&self) -> &str {
        self.names().next_back().unwrap_or(&self.0)
    }

    /// Where the file lies when the set lies in `directory`.
    pub fn below(&self, directory: &Path) -> PathBuf {
        self.names().fold(directory.to_owned(), |path, name| path.join(name))
    }

    /// Whether this path would need `other`, a file, to be a directory.
    pub(super) fn is_below(&self, other: &SetPath) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

/// Why a text is not the path of a file inside an update set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SetPathError {
    /// Nothing at all, or an empty name as in `a//b` and `a/`.
    #[error("invalid path {0:?}: a name is empty")]
    Empty(String),
    /// It starts at the root.
    #[error("invalid path {0:?}: it is absolute")]
    Absolute(String),
    /// A name starts with a dot: `..`, `.`, or a hidden file.
    #[error("invalid path {0:?}: a name starts with a dot")]
    Dot(String),
    /// A character that some file system, URL or FTP server would take amiss.
    #[error("invalid path {path:?}: {character:?} is not an ASCII letter, a digit or one of \"._+-\"")]
    Character {
        /// The path, as given.
        path: String,
        /// The first offending character.
        character: char,
    },
    /// Longer than file systems and FTP servers take.
    #[error("invalid path of {length} bytes: more than 1000, or a name in it has more than 200")]
    TooLong {
        /// The length of the whole path.
        length: usize,
    },
    /// It is the manifest or its signature, which lie in the set but cannot list themselves.
    #[error("invalid path {0:?}: the name is that of the manifest")]
    Manifest(String),
}

impl FromStr for SetPath {
    type Err = SetPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = || text.to_owned();
        if text.len() > MAX_PATH {
            return Err(SetPathError::TooLong { length: text.len() });
        }
        if text.starts_with('/') {
            return Err(SetPathError::Absolute(path()));
        }
        for name in text.split('/') {
            if name.is_empty() {
                return Err(SetPathError::Empty(path()));
            }
            if name.starts_with('.') {
                return Err(SetPathError::Dot(path()));
            }
            if let Some(character) = name
                .chars()
                .find(|c| !(c.is_ascii_alphanumeric() || "._+-".contains(*c)))
            {
                return Err(SetPathError::Character {
                    path: path(),
                    character,
                });
            }
            if name.len() > MAX_NAME {
                return Err(SetPathError::TooLong { length: text.len() });
            }
        }
        let first = text.split('/').next().unwrap_or(text);
        if [MANIFEST_FILE, SIGNATURE_FILE]
            .iter()
            .any(|name| first.eq_ignore_ascii_case(name))
        {
            return Err(SetPathError::Manifest(path()));
        }
        Ok(Self(path()))
    }
}

impl TryFrom<String> for SetPath {
    type Error = SetPathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SetPath> for String {
    fn from(path: SetPath) -> Self {
        path.0
    }
}

impl fmt::Display for SetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SetPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_of_bad_path_is_refused_with_its_reason() {
        let error = |text: &str| text.parse::<SetPath>().expect_err(text).to_string();
        insta::assert_snapshot!(
            [
                "", "/etc/passwd", "a//b", "a/", "..", "a/../b", ".", ".hidden", "a/.git/config", "a\\b", "C:evil", "a\nb",
                "a\0b", "a b", "é", "a%2e", "manifest.json", "Manifest.JSON", "manifest.json.minisig", "manifest.json/x",
            ]
            .map(error)
            .join("\n"),
            @r#"
            invalid path "": a name is empty
            invalid path "/etc/passwd": it is absolute
            invalid path "a//b": a name is empty
            invalid path "a/": a name is empty
            invalid path "..": a name starts with a dot
            invalid path "a/../b": a name starts with a dot
            invalid path ".": a name starts with a dot
            invalid path ".hidden": a name starts with a dot
            invalid path "a/.git/config": a name starts with a dot
            invalid path "a\\b": '\\' is not an ASCII letter, a digit or one of "._+-"
            invalid path "C:evil": ':' is not an ASCII letter, a digit or one of "._+-"
            invalid path "a\nb": '\n' is not an ASCII letter, a digit or one of "._+-"
            invalid path "a\0b": '\0' is not an ASCII letter, a digit or one of "._+-"
            invalid path "a b": ' ' is not an ASCII letter, a digit or one of "._+-"
            invalid path "é": 'é' is not an ASCII letter, a digit or one of "._+-"
            invalid path "a%2e": '%' is not an ASCII letter, a digit or one of "._+-"
            invalid path "manifest.json": the name is that of the manifest
            invalid path "Manifest.JSON": the name is that of the manifest
            invalid path "manifest.json.minisig": the name is that of the manifest
            invalid path "manifest.json/x": the name is that of the manifest
            "#
        );
        assert_eq!(
            "a".repeat(201).parse::<SetPath>(),
            Err(SetPathError::TooLong { length: 201 })
        );
        assert_eq!(
            "a/".repeat(600).parse::<SetPath>(),
            Err(SetPathError::TooLong { length: 1200 })
        );
    }

    #[test]
    fn a_manifest_in_a_subdirectory_is_an_ordinary_file() {
        assert!("extras/manifest.json".parse::<SetPath>().is_ok());
    }

    proptest! {
        #[test]
        fn a_path_that_parses_stays_below_the_directory(text in "[a-z./\\\\:\u{0}-\u{1f}]{0,20}|\\PC{0,20}") {
            if let Ok(path) = text.parse::<SetPath>() {
                let below = path.below(Path::new("/set"));
                prop_assert!(below.components().skip(2).all(|c| matches!(c, std::path::Component::Normal(_))));
                prop_assert_eq!(below.components().count(), 2 + path.names().count());
            }
        }
    }
}
