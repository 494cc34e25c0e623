//! Making and signing the next set.

mod database;
mod eicar;
mod policies;
mod records;

use std::io::Write;
use std::path::Path;

use fwdrill_protocol::update_set::{
    FileEntry, FileKind, Manifest, ManifestError, SecretKey, SetPath, SetPathError, Sha256, SignError,
};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use thiserror::Error;

use crate::depot::{Depot, DepotError};
use crate::error::{FileError, OrFailed};
use crate::files::{Hashing, create_new, ensure_directory, lock_directory};
use crate::set_handle::SetHandle;
use crate::staging::{KEEP, Staging, StagingError};
use crate::workspace::Workspace;
use database::{DATABASES, Origin};

/// The smallest main database that can be asked for.
pub const MIN_MAIN_SIZE: u64 = 1 << 10;
/// The largest main database that can be asked for.
pub const MAX_MAIN_SIZE: u64 = 64 << 20;
/// The size of the main database when nobody asks.
pub const DEFAULT_MAIN_SIZE: u64 = 1 << 20;
/// How long a set is good when nobody asks.
pub const DEFAULT_LIFETIME: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What the next set shall be. There is no clock and no chance in here: the same options on the same depot make the
/// same set, byte for byte, up to the signature (which has randomness in it).
#[derive(Debug, Clone)]
pub struct PublishOptions {
    /// The version for people; unset: `22.0.<date>.<serial>`.
    pub version: Option<String>,
    /// The serial; unset: the newest plus one.
    pub serial: Option<u64>,
    /// When the set is published.
    pub published: Timestamp,
    /// How long after that it is good.
    pub lifetime: SignedDuration,
    /// What the contents are drawn from; unset: as in the set in force, else 0.
    pub seed: Option<u64>,
    /// The size of the main database in bytes, from [`MIN_MAIN_SIZE`] to [`MAX_MAIN_SIZE`]. It is met exactly by the first
    /// set, the following ones append to it. Unset: as in the set in force, else [`DEFAULT_MAIN_SIZE`]. Another size, or
    /// another seed, than in the set in force starts all databases anew.
    pub main_size: Option<u64>,
    /// Whether to add the EICAR test file, `extras/eicar-test-file.com`.
    pub with_eicar: bool,
    /// How many of the newest sets stay.
    pub keep: usize,
}

impl PublishOptions {
    /// The defaults, published at this time.
    pub fn at(published: Timestamp) -> Self {
        Self {
            version: None,
            serial: None,
            published,
            lifetime: DEFAULT_LIFETIME,
            seed: None,
            main_size: None,
            with_eicar: false,
            keep: KEEP,
        }
    }
}

/// Makes, signs and puts into force the next set of a depot. While one publisher is at it, a second one waits.
pub fn publish(depot: &Depot, key: &SecretKey, options: &PublishOptions) -> Result<SetHandle, PublishError> {
    if key.public() != depot.public_key() {
        return Err(PublishError::StrangeKey {
            key: key.public().id(),
            depot: depot.public_key().id(),
        });
    }
    ensure_directory(&depot.layout().sets())?;
    let _publishing = lock_directory(&depot.layout().sets())?;
    let present = depot.current()?;
    let serial = next_serial(depot, present.as_ref(), options.serial)?;
    let origin = next_origin(present.as_ref(), serial, options)?;

    let workspace = Workspace::create(depot.layout())?;
    let mut files = Vec::new();
    for database in &DATABASES {
        files.extend(database::write(&workspace, database, &origin, serial)?);
    }
    for (path, text) in policies::render(origin.seed, serial) {
        files.push(write_file(&workspace, &path, FileKind::Policy, |file| {
            file.write_all(text.as_bytes())
        })?);
    }
    if options.with_eicar {
        files.push(write_file(&workspace, eicar::PATH, FileKind::Extra, |file| {
            file.write_all(&eicar::contents())
        })?);
    }

    let version = options
        .version
        .clone()
        .unwrap_or_else(|| default_version(options.published, serial));
    let expires = options
        .published
        .checked_add(options.lifetime)
        .map_err(|_| PublishError::Lifetime(options.lifetime))?;
    let manifest = Manifest::new(version, serial, options.published, expires, files)?.render();
    let comment = format!("fwdrill update set {serial}");
    let signature = key.sign(manifest.as_bytes(), &comment).map_err(PublishError::Sign)?;
    let staging = Staging::adopt(depot, workspace, manifest.as_bytes(), &signature)?;
    Ok(staging.commit_keeping(options.keep)?)
}

/// Why no set was published.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The depot is not in order.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// The set does not get into the depot.
    #[error(transparent)]
    Staging(#[from] StagingError),
    /// The options make no manifest: a version with strange characters, a lifetime of nothing.
    #[error("failed to make a manifest")]
    Manifest(#[from] ManifestError),
    /// The manifest cannot be signed.
    #[error("failed to sign the manifest")]
    Sign(#[source] SignError),
    /// Clients of this depot would refuse what this key signs.
    #[error("key {key} is not the key of this depot, {depot}")]
    StrangeKey {
        /// The id of the key given.
        key: String,
        /// The id of the key in the depot's `minisign.pub`.
        depot: String,
    },
    /// Out of bounds.
    #[error("main database of {0} bytes: expected {MIN_MAIN_SIZE} to {MAX_MAIN_SIZE}")]
    MainSize(u64),
    /// Not newer than what there is.
    #[error("serial {given} is not above {newest}, the newest in the depot")]
    Serial {
        /// The serial asked for.
        given: u64,
        /// The newest serial in the depot.
        newest: u64,
    },
    /// There is no number above the newest serial.
    #[error("no serial is left above {0}")]
    NoSerialLeft(u64),
    /// The set would expire at the end of time.
    #[error("lifetime of {0} is too long")]
    Lifetime(SignedDuration),
    /// A file's name is none (a mistake in here).
    #[error(transparent)]
    Path(#[from] SetPathError),
}

fn next_serial(depot: &Depot, present: Option<&SetHandle>, given: Option<u64>) -> Result<u64, PublishError> {
    // A leftover newer than the set in force counts as well: nobody shall wonder which of two sets has the number.
    let on_disk = depot.serials()?.last().copied().unwrap_or(0);
    let newest = on_disk.max(present.map_or(0, SetHandle::serial));
    match given {
        Some(given) if given > newest => Ok(given),
        Some(given) => Err(PublishError::Serial { given, newest }),
        None => newest.checked_add(1).ok_or(PublishError::NoSerialLeft(newest)),
    }
}

fn next_origin(present: Option<&SetHandle>, serial: u64, options: &PublishOptions) -> Result<Origin, PublishError> {
    let last = match present {
        Some(set) => database::origin_of(set)?,
        None => None,
    };
    let seed = options.seed.or(last.map(|last| last.seed)).unwrap_or(0);
    let main_size = options
        .main_size
        .or(last.map(|last| last.main_size))
        .unwrap_or(DEFAULT_MAIN_SIZE);
    if !(MIN_MAIN_SIZE..=MAX_MAIN_SIZE).contains(&main_size) {
        return Err(PublishError::MainSize(main_size));
    }
    let fresh = Origin {
        seed,
        main_size,
        first_serial: serial,
    };
    Ok(last.filter(|last| last.leads_to(&fresh)).unwrap_or(fresh))
}

fn default_version(published: Timestamp, serial: u64) -> String {
    let date = published.to_zoned_datetime(TimeZone::UTC).date();
    format!("22.0.{:04}{:02}{:02}.{serial}", date.year(), date.month(), date.day())
}

/// Writes one file of the set and describes it.
fn write_file(
    workspace: &Workspace,
    path: &str,
    kind: FileKind,
    write: impl FnOnce(&mut Hashing<std::fs::File>) -> std::io::Result<()>,
) -> Result<FileEntry, PublishError> {
    let path: SetPath = path.parse()?;
    let target = workspace.file(&path)?;
    let (size, sha256) = write_hashing(&target, write)?;
    Ok(FileEntry {
        path,
        size,
        sha256,
        kind,
    })
}

fn write_hashing(
    target: &Path,
    write: impl FnOnce(&mut Hashing<std::fs::File>) -> std::io::Result<()>,
) -> Result<(u64, Sha256), FileError> {
    let mut file = Hashing::new(create_new(target)?);
    write(&mut file).or_failed("write", target)?;
    Ok(file.so_far())
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
