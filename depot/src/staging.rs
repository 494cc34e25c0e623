use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use fwdrill_protocol::update_set::{
    FileEntry, FileKind, MANIFEST_FILE, Manifest, ManifestError, SIGNATURE_FILE, SetPath, SignatureError, verify,
};
use thiserror::Error;

use crate::depot::{Depot, DepotError};
use crate::error::{ContentError, FileError, OrFailed};
use crate::files::{self, Hashing, check_content, create_new, sync_directory};
use crate::incremental::{IncrementalError, apply_incremental};
use crate::partial::{self, Partial};
use crate::set_handle::SetHandle;
use crate::switch::switch;
use crate::workspace::Workspace;

/// How many sets are kept after a switch, unless the caller says otherwise.
pub const KEEP: usize = 3;

/// A set on its way into a depot: signed and verified, its files coming in one by one.
///
/// Begin with the manifest; bring in every file by one of [`reuse`](Self::reuse),
/// [`apply_incremental`](Self::apply_incremental), [`place_partial`](Self::place_partial) and [`place`](Self::place);
/// [`commit`](Self::commit). Dropped before that, or killed at any point, it leaves the set in force alone.
///
/// Expiry is not looked at: the caller has the clock ([`Manifest::check`]).
#[derive(Debug)]
pub struct Staging {
    depot: Depot,
    workspace: Workspace,
    manifest: Manifest,
    /// The set in force, if it is whole enough to take files from.
    present: Option<SetHandle>,
    placed: BTreeSet<SetPath>,
}

impl Staging {
    /// Begins to stage the set with this manifest. A manifest that the depot's key does not vouch for, or one older than
    /// the set in force, is refused here.
    pub fn begin(depot: &Depot, manifest: &[u8], signature: &str) -> Result<Self, StagingError> {
        let workspace = Workspace::create(depot.layout())?;
        Self::adopt(depot, workspace, manifest, signature)
    }

    /// Begins in a workspace that has files of the set already.
    pub(crate) fn adopt(
        depot: &Depot,
        workspace: Workspace,
        bytes: &[u8],
        signature: &str,
    ) -> Result<Self, StagingError> {
        verify(bytes, signature, depot.public_key()).map_err(StagingError::Signature)?;
        let manifest = Manifest::parse(bytes).map_err(StagingError::Manifest)?;
        refuse_rollback(depot, &manifest)?;
        for (name, content) in [(MANIFEST_FILE, bytes), (SIGNATURE_FILE, signature.as_bytes())] {
            let path = workspace.path().join(name);
            create_new(&path)?.write_all(content).or_failed("write", &path)?;
        }
        let present = match depot.current() {
            Ok(present) => present,
            // A damaged set in force must not keep out the one that replaces it.
            Err(error) => {
                tracing::warn!(%error, "the set in force is of no use, all files come anew");
                None
            }
        };
        Ok(Self {
            depot: depot.clone(),
            workspace,
            manifest,
            present,
            placed: BTreeSet::new(),
        })
    }

    /// The manifest of the set being staged.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The files that are not in yet.
    pub fn missing(&self) -> Vec<&FileEntry> {
        self.manifest
            .files()
            .iter()
            .filter(|entry| !self.placed.contains(&entry.path))
            .collect()
    }

    /// Takes the file from the set in force, if it is there unchanged (under whatever path) and undamaged: by a hard
    /// link, or by a copy where the file system has none. Returns whether it did.
    pub fn reuse(&mut self, entry: &FileEntry) -> Result<bool, StagingError> {
        let Some(present) = self.present.clone() else {
            return Ok(false);
        };
        let same = |other: &&FileEntry| (other.size, other.sha256) == (entry.size, entry.sha256);
        let Some(source) = present.manifest().files().iter().find(same) else {
            return Ok(false);
        };
        if let Err(damage) = present.verify_file(source)? {
            tracing::warn!(serial = present.serial(), %damage, "the set in force is damaged");
            return Ok(false);
        }
        self.link_or_copy(entry, &present.file(source))?;
        Ok(true)
    }

    /// The incremental update that would make this database out of the one in force, if the set has one. It pays to
    /// bring that in first, and then [`apply_incremental`](Self::apply_incremental) it.
    pub fn useful_incremental(&self, database: &FileEntry) -> Option<&FileEntry> {
        let have = self.present.as_ref()?.manifest().file(&database.path)?;
        self.manifest.incremental_for(&database.path, &have.sha256)
    }

    /// Makes a full database out of the one in force and this incremental update, which must be in already. Returns
    /// whether it did: not if the set in force has no database that the update is for.
    pub fn apply_incremental(&mut self, incremental: &FileEntry) -> Result<bool, StagingError> {
        let FileKind::Incremental { base, of, .. } = &incremental.kind else {
            return Ok(false);
        };
        let (Some(present), Some(database)) = (self.present.clone(), self.manifest.file(of).cloned()) else {
            return Ok(false);
        };
        let Some(old) = present.manifest().file(of).filter(|old| old.sha256 == *base) else {
            return Ok(false);
        };
        let target = self.make_room(&database)?;
        match apply_incremental(
            &present.file(old),
            &incremental.path.below(self.workspace.path()),
            &target,
        ) {
            Ok(()) => {}
            Err(error @ IncrementalError::WrongBase { .. }) => {
                tracing::warn!(serial = present.serial(), %error, "the set in force is damaged");
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        self.accept(&database, &target)?;
        Ok(true)
    }

    /// Takes a finished download. Its content is checked; if it is wrong, the download is deleted so that the next one
    /// starts afresh. The download keeps its name until the commit, for the case that this process gets no further.
    pub fn place_partial(&mut self, entry: &FileEntry, partial: Partial) -> Result<(), StagingError> {
        let path = partial.path().to_owned();
        let file = File::open(&path).or_failed("open", &path)?;
        if let Err(wrong) = check_content(&file, &path, entry)? {
            if partial.is_complete() {
                partial::remove(&path)?;
            }
            return Err(wrong.into());
        }
        self.link_or_copy(entry, &path)
    }

    /// Takes the file from a reader, to its end.
    pub fn place(&mut self, entry: &FileEntry, source: impl Read) -> Result<(), StagingError> {
        let target = self.make_room(entry)?;
        let mut sink = Hashing::new(create_new(&target)?);
        // One byte more than expected tells that it is too long, without taking all of something huge.
        files::copy(&mut source.take(entry.size.saturating_add(1)), &mut sink).or_failed("write", &target)?;
        sink.check(entry)?;
        self.placed.insert(entry.path.clone());
        Ok(())
    }

    /// Verifies every file once more, puts the set into force, and deletes all but the newest [`KEEP`] sets.
    ///
    /// A set older than the one in force is refused, and so is another set of the same serial. The very same set is
    /// fine: if the one in force turns out to be damaged, this one takes its place.
    pub fn commit(self) -> Result<SetHandle, StagingError> {
        self.commit_keeping(KEEP)
    }

    /// [`commit`](Self::commit), keeping as many of the newest sets (at least the one in force).
    pub fn commit_keeping(self, keep: usize) -> Result<SetHandle, StagingError> {
        let mut directories = BTreeSet::from([self.workspace.path().to_owned()]);
        for entry in self.manifest.files() {
            let path = entry.path.below(self.workspace.path());
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(ContentError::Missing {
                        path: entry.path.clone(),
                    }
                    .into());
                }
                file => file.or_failed("open", &path)?,
            };
            check_content(&file, &path, entry)??;
            file.sync_all().or_failed("flush", &path)?;
            directories.extend(
                path.ancestors()
                    .skip(1)
                    .take_while(|up| *up != self.workspace.path())
                    .map(Path::to_owned),
            );
        }
        for name in [MANIFEST_FILE, SIGNATURE_FILE] {
            let path = self.workspace.path().join(name);
            File::open(&path)
                .and_then(|file| file.sync_all())
                .or_failed("flush", &path)?;
        }
        // The deepest first: a name is only worth keeping once what it names is kept.
        for directory in directories.iter().rev() {
            sync_directory(directory)?;
        }
        let set = switch(&self.depot, self.workspace, &self.manifest, keep)?;
        partial::clear(self.depot.layout());
        Ok(set)
    }

    /// Where the file goes, with nothing there.
    fn make_room(&mut self, entry: &FileEntry) -> Result<PathBuf, StagingError> {
        if self.manifest.file(&entry.path) != Some(entry) {
            return Err(StagingError::NotListed {
                path: entry.path.clone(),
                serial: self.manifest.serial(),
            });
        }
        self.placed.remove(&entry.path);
        let target = self.workspace.file(&entry.path)?;
        partial::remove(&target)?;
        Ok(target)
    }

    fn link_or_copy(&mut self, entry: &FileEntry, source: &Path) -> Result<(), StagingError> {
        let target = self.make_room(entry)?;
        if fs::hard_link(source, &target).is_err() {
            let mut from = File::open(source).or_failed("open", source)?;
            files::copy(&mut from, &mut create_new(&target)?).or_failed("write", &target)?;
        }
        self.placed.insert(entry.path.clone());
        Ok(())
    }

    fn accept(&mut self, entry: &FileEntry, target: &Path) -> Result<(), StagingError> {
        let file = File::open(target).or_failed("open", target)?;
        check_content(&file, target, entry)??;
        self.placed.insert(entry.path.clone());
        Ok(())
    }
}

pub(crate) fn refuse_rollback(depot: &Depot, manifest: &Manifest) -> Result<(), StagingError> {
    match depot.current_serial()? {
        Some(have) if have > manifest.serial() => Err(StagingError::Rollback {
            have,
            offered: manifest.serial(),
        }),
        _ => Ok(()),
    }
}

/// Why a set does not come into the depot.
#[derive(Debug, Error)]
pub enum StagingError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// The depot itself is not in order.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// The depot's key does not vouch for the manifest.
    #[error("refused the manifest")]
    Signature(#[source] SignatureError),
    /// The manifest, though signed, is none.
    #[error("refused the manifest")]
    Manifest(#[source] ManifestError),
    /// A file is not what the manifest says.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// An incremental update does not do what it should.
    #[error(transparent)]
    Incremental(#[from] IncrementalError),
    /// A file was offered that the set does not have.
    #[error("{path} is not a file of update set {serial}")]
    NotListed {
        /// The file.
        path: SetPath,
        /// The set.
        serial: u64,
    },
    /// The set is older than the one in force.
    #[error("update set {offered} is older than the one in force, {have}")]
    Rollback {
        /// The serial of the set in force.
        have: u64,
        /// The serial of this set.
        offered: u64,
    },
    /// Another set of the same serial is in force: somebody published twice under one number.
    #[error("another update set {serial} is in force already")]
    SerialTaken {
        /// The serial of both.
        serial: u64,
    },
}

#[cfg(test)]
#[path = "staging_tests.rs"]
mod tests;
