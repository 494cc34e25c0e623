use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{SetPath, Sha256};

const SCHEMA: &str = "fwdrill.manifest/1";

/// What an update set contains (`fwdrill.manifest/1`).
///
/// Invariant: every path occurs once (letter case aside) and no path needs another one to be a directory; the sizes
/// add up within `i64`; every incremental update belongs to a full database of the same set; the serial is not zero;
/// the version is a short line of printable ASCII; the set expires after it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    version: String,
    serial: u64,
    published: Timestamp,
    expires: Timestamp,
    files: Vec<FileEntry>,
}

/// One file of an update set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Where it is in the set.
    pub path: SetPath,
    /// Its length in bytes.
    pub size: u64,
    /// The digest of its contents.
    pub sha256: Sha256,
    /// What it is for.
    #[serde(flatten)]
    pub kind: FileKind,
}

/// What a file of an update set is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FileKind {
    /// A whole signature database.
    Database,
    /// What to append to an older full database in order to get the one in this set.
    Incremental {
        /// The first serial whose set had the older database. For people; clients compare `base`.
        from_serial: u64,
        /// The digest of the older database.
        base: Sha256,
        /// The full database that results.
        of: SetPath,
    },
    /// A policy that administrators hand to clients.
    Policy,
    /// Anything else; nothing depends on it.
    Extra,
}

impl Manifest {
    /// No manifest is longer than this; who downloads one need not read on.
    pub const MAX_BYTES: usize = 1 << 20;

    /// A manifest of these parts, if they hold together. Files are put into the order of their paths.
    pub fn new(
        version: String,
        serial: u64,
        published: Timestamp,
        expires: Timestamp,
        mut files: Vec<FileEntry>,
    ) -> Result<Self, ManifestError> {
        if version.is_empty() || version.len() > 64 || !version.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Err(ManifestError::Version(version.chars().take(80).collect()));
        }
        if serial == 0 {
            return Err(ManifestError::SerialZero);
        }
        if expires <= published {
            return Err(ManifestError::ExpiresBeforePublished { published, expires });
        }
        check_paths(&files)?;
        check_sizes(&files)?;
        check_incrementals(&files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self {
            version,
            serial,
            published,
            expires,
            files,
        })
    }

    /// Reads a manifest. Its signature must have been verified over the very same bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(ManifestError::TooLong(bytes.len()));
        }
        // The schema first: what another schema means by the other fields is not ours to guess.
        let SchemaOnly { schema } = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if schema != SCHEMA {
            return Err(ManifestError::Schema(schema.chars().take(80).collect()));
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        Self::new(wire.version, wire.serial, wire.published, wire.expires, wire.files)
    }

    /// The canonical bytes: what is signed, served and kept.
    pub fn render(&self) -> String {
        let wire = WireRef {
            schema: SCHEMA,
            version: &self.version,
            serial: self.serial,
            published: self.published,
            expires: self.expires,
            files: &self.files,
        };
        // Nothing in these types can fail to serialise (string keys, no foreign writers).
        let mut text = serde_json::to_string_pretty(&wire).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The version for people, such as `22.0.20261124.1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The number that orders sets; it only grows.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// When the set was published.
    pub fn published(&self) -> Timestamp {
        self.published
    }

    /// When the set stops being good.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The files, ordered by path.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// The file at `path`.
    pub fn file(&self, path: &SetPath) -> Option<&FileEntry> {
        let index = self.files.binary_search_by(|entry| entry.path.cmp(path)).ok()?;
        self.files.get(index)
    }

    /// The incremental update that turns a copy of `path` whose digest is `have` into the one in this set.
    pub fn incremental_for(&self, path: &SetPath, have: &Sha256) -> Option<&FileEntry> {
        self.files
            .iter()
            .find(|entry| matches!(&entry.kind, FileKind::Incremental { base, of, .. } if of == path && base == have))
    }

    /// The bytes of all files together.
    pub fn total_size(&self) -> u64 {
        self.files.iter().map(|entry| entry.size).sum()
    }
}

/// Why bytes or parts are not a manifest.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// Longer than [`Manifest::MAX_BYTES`].
    #[error("invalid manifest: {0} bytes are more than a manifest has")]
    TooLong(usize),
    /// Not JSON, a field missing or of the wrong type, or a path or digest that is none.
    #[error("invalid manifest")]
    Json(#[source] serde_json::Error),
    /// Some other document.
    #[error("invalid manifest: schema is {0:?}, expected \"fwdrill.manifest/1\"")]
    Schema(String),
    /// The version is not a short printable line.
    #[error("invalid manifest: version {0:?} is not 1 to 64 printable ASCII characters")]
    Version(String),
    /// Serials start at 1.
    #[error("invalid manifest: serial is 0")]
    SerialZero,
    /// A set that was never good.
    #[error("invalid manifest: it expires at {expires}, not after it is published at {published}")]
    ExpiresBeforePublished {
        /// When it was published.
        published: Timestamp,
        /// When it expires.
        expires: Timestamp,
    },
    /// Two entries for one file (on a file system that ignores letter case, at least).
    #[error("invalid manifest: {0} is listed twice")]
    Duplicate(SetPath),
    /// A file would have to be a directory too.
    #[error("invalid manifest: {file} is a file, so {below} cannot be below it")]
    FileIsDirectory {
        /// The one that is a file.
        file: SetPath,
        /// The one that needs it to be a directory.
        below: SetPath,
    },
    /// Together the files are larger than any file system can hold.
    #[error("invalid manifest: the sizes up to {0} add up to more than 2^63 - 1 bytes")]
    SizeOverflow(SetPath),
    /// The result of an incremental update is not in the set.
    #[error(
        "invalid manifest: {incremental} is an incremental update of {of}, which is not a full database of this set"
    )]
    MissingFull {
        /// The incremental update.
        incremental: SetPath,
        /// The database it claims to produce.
        of: SetPath,
    },
}

#[derive(Deserialize)]
struct SchemaOnly {
    schema: String,
}

/// As it is written. Unknown fields are left alone: additions do not change the schema's number.
#[derive(Deserialize)]
struct Wire {
    version: String,
    serial: u64,
    published: Timestamp,
    expires: Timestamp,
    files: Vec<FileEntry>,
}

#[derive(Serialize)]
struct WireRef<'a> {
    schema: &'a str,
    version: &'a str,
    serial: u64,
    published: Timestamp,
    expires: Timestamp,
    files: &'a [FileEntry],
}

fn check_paths(files: &[FileEntry]) -> Result<(), ManifestError> {
    let mut seen: BTreeMap<SetPath, &SetPath> = BTreeMap::new();
    for FileEntry { path, .. } in files {
        // Lower case of a valid path is valid, so the fallback never happens; it would only be less strict.
        let folded = path
            .as_str()
            .to_ascii_lowercase()
            .parse()
            .unwrap_or_else(|_| path.clone());
        if seen.insert(folded, path).is_some() {
            return Err(ManifestError::Duplicate(path.clone()));
        }
    }
    // Whatever lies below a file sorts after it, but a sibling such as `a-b` may come between `a` and `a/b`.
    for (folded, file) in &seen {
        let below = seen
            .range(folded..)
            .skip(1)
            .take_while(|(other, _)| other.as_str().starts_with(folded.as_str()));
        if let Some((_, below)) = below.into_iter().find(|(other, _)| other.is_below(folded)) {
            return Err(ManifestError::FileIsDirectory {
                file: (*file).clone(),
                below: (*below).clone(),
            });
        }
    }
    Ok(())
}

fn check_sizes(files: &[FileEntry]) -> Result<(), ManifestError> {
    let mut total: u64 = 0;
    for entry in files {
        total = total
            .checked_add(entry.size)
            .filter(|total| i64::try_from(*total).is_ok())
            .ok_or_else(|| ManifestError::SizeOverflow(entry.path.clone()))?;
    }
    Ok(())
}

fn check_incrementals(files: &[FileEntry]) -> Result<(), ManifestError> {
    let full: std::collections::BTreeSet<&SetPath> = files
        .iter()
        .filter(|entry| entry.kind == FileKind::Database)
        .map(|entry| &entry.path)
        .collect();
    for entry in files {
        if let FileKind::Incremental { of, .. } = &entry.kind
            && !full.contains(of)
        {
            return Err(ManifestError::MissingFull {
                incremental: entry.path.clone(),
                of: of.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
