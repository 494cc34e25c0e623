//! Paths as FTP clients write them, made absolute and plain (TVFS, RFC 3659 section 6).

use std::fmt;

use thiserror::Error;

/// As long as Linux takes them (`PATH_MAX`, `NAME_MAX`).
const MOST_BYTES: usize = 4096;
const MOST_NAME_BYTES: usize = 255;

/// An absolute path in the tree that a session sees.
///
/// Invariant: no name is empty, `.`, `..`, longer than 255 bytes, or has a control character in it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct VirtualPath {
    names: Vec<String>,
}

/// A text that is no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadPath {
    /// It has control characters (NUL, CR, LF, ...): they would break listings and logs.
    #[error("a path must not have control characters")]
    Control,
    /// No file system takes it.
    #[error("the path is too long")]
    TooLong,
}

impl VirtualPath {
    /// `/`.
    pub fn root() -> Self {
        VirtualPath::default()
    }

    /// What `argument` means to a client whose current directory is `self`. Above the root is the root.
    pub fn join(&self, argument: &str) -> Result<Self, BadPath> {
        if argument.chars().any(char::is_control) {
            return Err(BadPath::Control);
        }
        if argument.len() > MOST_BYTES {
            return Err(BadPath::TooLong);
        }
        let mut names = if argument.starts_with('/') {
            Vec::new()
        } else {
            self.names.clone()
        };
        for name in argument.split('/') {
            match name {
                "" | "." => {}
                ".." => {
                    names.pop();
                }
                _ if name.len() > MOST_NAME_BYTES => return Err(BadPath::TooLong),
                _ => names.push(name.to_owned()),
            }
        }
        if names.iter().map(|name| name.len() + 1).sum::<usize>() > MOST_BYTES {
            return Err(BadPath::TooLong);
        }
        Ok(VirtualPath { names })
    }

    /// The names from the root on; none for the root itself.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// `/signatures/main.fwdb`; `/` for the root.
impl fmt::Display for VirtualPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names.is_empty() {
            return f.write_str("/");
        }
        self.names.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn joined(directory: &str, argument: &str) -> String {
        let directory = VirtualPath::root().join(directory).unwrap();
        directory.join(argument).unwrap().to_string()
    }

    #[test]
    fn paths_are_absolute_or_relative_to_the_current_directory() {
        assert_eq!(joined("/signatures", "main.fwdb"), "/signatures/main.fwdb");
        assert_eq!(joined("/signatures", "/policies/a"), "/policies/a");
        assert_eq!(joined("/signatures", ""), "/signatures");
        assert_eq!(joined("/", "../../etc/passwd"), "/etc/passwd");
        assert_eq!(joined("/a/b", "..//./c/"), "/a/c");
        assert_eq!(joined("/a/b", "/.."), "/");
    }

    #[test]
    fn control_characters_and_endless_paths_are_refused() {
        let root = VirtualPath::root();
        for text in ["a\0b", "a\rb", "a\nb", "\u{7f}", "\u{85}"] {
            assert_eq!(root.join(text), Err(BadPath::Control), "{text:?}");
        }
        assert_eq!(root.join(&"a".repeat(256)), Err(BadPath::TooLong));
        assert_eq!(root.join(&"a/".repeat(3000)), Err(BadPath::TooLong));
        let mut deep = root;
        let grown = (0..3000).try_for_each(|_| deep.join("aa").map(|path| deep = path));
        assert_eq!(grown, Err(BadPath::TooLong));
    }

    proptest! {
        #[test]
        fn whatever_a_client_says_the_path_is_plain(directory in "[a-z./]{0,20}", argument in "[a-z./\u{0}-\u{1f}]{0,20}|\\PC{0,20}") {
            let directory = VirtualPath::root().join(&directory).unwrap();
            if let Ok(path) = directory.join(&argument) {
                let plain = |name: &String| !name.is_empty() && name != "." && name != ".." && !name.contains('/');
                prop_assert!(path.names().iter().all(plain));
                prop_assert_eq!(VirtualPath::root().join(&path.to_string()).unwrap(), path);
            }
        }
    }
}
