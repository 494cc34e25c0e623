use std::path::{Path, PathBuf};

use fwdrill_protocol::update_set::Sha256;

/// The names in a depot.
///
/// ```text
/// DIR/minisign.pub                     the key that sets are checked with
/// DIR/sets/<serial>/manifest.json      and manifest.json.minisig, signatures/, policies/
/// DIR/current -> sets/<serial>         replaced by rename(2)
/// DIR/staging/<name>/                  a set in the making; whatever is here and not locked may be deleted
/// DIR/partial/<sha256>                 a file half (or wholly) downloaded, kept until its set is in place
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The layout of the depot at `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The depot itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The key that sets are checked with.
    pub fn public_key(&self) -> PathBuf {
        self.root.join("minisign.pub")
    }

    /// All sets.
    pub fn sets(&self) -> PathBuf {
        self.root.join("sets")
    }

    /// One set.
    pub fn set(&self, serial: u64) -> PathBuf {
        self.sets().join(serial.to_string())
    }

    /// The symbolic link to the set in force.
    pub fn current(&self) -> PathBuf {
        self.root.join("current")
    }

    /// What `current` is made as before it gets its name. There is one such name only, so that a process killed between
    /// the two steps leaves nothing that adds up.
    pub(crate) fn next_current(&self) -> PathBuf {
        self.root.join(".current.next")
    }

    /// What `current` points to, relative to the depot, so that the depot can be moved.
    pub(crate) fn link_target(serial: u64) -> PathBuf {
        Path::new("sets").join(serial.to_string())
    }

    /// The serial that a target of `current` stands for.
    pub(crate) fn serial_of_target(target: &Path) -> Option<u64> {
        serial_of_name(target.strip_prefix("sets").ok()?.to_str()?)
    }

    /// Sets in the making.
    pub fn staging(&self) -> PathBuf {
        self.root.join("staging")
    }

    /// Downloads not yet in a set.
    pub fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    /// The download of the file with this digest.
    pub fn partial(&self, sha256: &Sha256) -> PathBuf {
        self.partials().join(sha256.to_string())
    }
}

/// The serial a directory under `sets/` is named after: decimal, without sign or leading zero.
pub(crate) fn serial_of_name(name: &str) -> Option<u64> {
    let serial: u64 = name.parse().ok()?;
    (serial.to_string() == name && serial > 0).then_some(serial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_decimal_name_is_a_serial() {
        for (name, serial) in [
            ("7", Some(7)),
            ("0", None),
            ("07", None),
            ("+7", None),
            ("7.old", None),
            ("", None),
        ] {
            assert_eq!(serial_of_name(name), serial, "{name:?}");
            assert_eq!(
                Layout::serial_of_target(&Path::new("sets").join(name)),
                serial,
                "{name:?}"
            );
        }
        assert_eq!(Layout::serial_of_target(Path::new("/elsewhere/sets/7")), None);
        assert_eq!(Layout::serial_of_target(&Layout::link_target(42)), Some(42));
    }
}
