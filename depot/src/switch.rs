use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use fwdrill_protocol::update_set::{MANIFEST_FILE, Manifest};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::depot::Depot;
use crate::error::{FileError, OrFailed};
use crate::files::{lock_directory, read_at_most, sync_directory};
use crate::layout::Layout;
use crate::partial::remove;
use crate::set_handle::SetHandle;
use crate::staging::{StagingError, refuse_rollback};
use crate::workspace::{Workspace, discard, try_lock};

/// Puts a verified and flushed workspace into force.
///
/// Killed between any two of these steps, `current` names a whole set: the old one until the link is replaced, the new
/// one from then on. A set that stands under `sets/` without ever having been in force is replaced by the next of its
/// serial, or pruned.
pub(crate) fn switch(
    depot: &Depot,
    mut workspace: Workspace,
    manifest: &Manifest,
    keep: usize,
) -> Result<SetHandle, StagingError> {
    let layout = depot.layout();
    let serial = manifest.serial();
    let _guard = lock_directory(layout.root())?;
    // Again, now that nobody else can switch.
    refuse_rollback(depot, manifest)?;
    if depot.current_serial()? == Some(serial)
        && let Ok(in_force) = depot.set(serial)
    {
        let ours = read_at_most(&workspace.path().join(MANIFEST_FILE), Manifest::MAX_BYTES)?;
        if in_force.manifest_bytes() != ours {
            return Err(StagingError::SerialTaken { serial });
        }
        if in_force.verify_files()?.is_empty() {
            return Ok(in_force);
        }
        tracing::warn!(serial, "the set in force is damaged, a fresh copy takes its place");
    }
    workspace.share(layout)?;
    put_under_sets(layout, &mut workspace, &layout.set(serial))?;
    sync_directory(&layout.sets())?;
    point_current_at(layout, serial)?;
    sync_directory(layout.root())?;
    let set = depot.set(serial)?;
    if let Err(error) = prune(depot, serial, keep) {
        tracing::warn!(%error, "old update sets stay for now");
    }
    Ok(set)
}

/// What stood there before was never in force, or is damaged. It ends up as the workspace, and is deleted with it.
fn put_under_sets(layout: &Layout, workspace: &mut Workspace, set: &Path) -> Result<(), FileError> {
    if set.try_exists().or_failed("inspect", set)? {
        match renameat_with(CWD, workspace.path(), CWD, set, RenameFlags::EXCHANGE) {
            Ok(()) => return Ok(()),
            // Network and FUSE file systems may not know how to; there the damaged set is gone for a moment.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => discard(layout, set)?,
            Err(error) => return Err(error.into()).or_failed("exchange a set with", set),
        }
    }
    fs::rename(workspace.path(), set).or_failed("move a set to", set)?;
    workspace.moved();
    Ok(())
}

fn point_current_at(layout: &Layout, serial: u64) -> Result<(), FileError> {
    let (next, current) = (layout.next_current(), layout.current());
    remove(&next)?;
    symlink(Layout::link_target(serial), &next).or_failed("create the link", &next)?;
    fs::rename(&next, &current).or_failed("replace the link", &current)
}

/// Deletes all sets but the newest; never the one in force, nor one that somebody holds.
fn prune(depot: &Depot, in_force: u64, keep: usize) -> Result<(), StagingError> {
    let mut serials = depot.serials()?;
    // What is newer than the set in force was never in force itself: a leftover that keeps nobody's place.
    serials.retain(|serial| *serial != in_force);
    let leftovers = serials.split_off(serials.partition_point(|serial| *serial < in_force));
    serials.truncate((serials.len() + 1).saturating_sub(keep.max(1)));
    for serial in serials.into_iter().chain(leftovers) {
        let set = depot.layout().set(serial);
        if let Some(_lock) = try_lock(&set)? {
            discard(depot.layout(), &set)?;
            tracing::debug!(serial, "pruned an old update set");
        }
    }
    Ok(())
}
