use fwdrill_depot::{Depot, SetHandle};
use fwdrill_protocol::update_set::{Manifest, PublicKey, VersionAnswer, verify};
use jiff::Timestamp;

use super::SyncError;
use super::source::Signed;

/// The set that is here.
#[derive(Debug)]
pub(super) struct Present {
    /// The set in force, if its manifest is sound.
    pub(super) set: Option<SetHandle>,
    /// Its serial, even if it is damaged: a rollback is one all the same.
    pub(super) serial: Option<u64>,
    /// Whether every file of it is what it should be.
    pub(super) whole: bool,
}

impl Present {
    /// Looks, and reads every file.
    pub(super) fn look(depot: &Depot) -> Result<Self, SyncError> {
        let serial = depot.current_serial()?;
        let set = match depot.current() {
            Ok(set) => set,
            Err(error) => {
                tracing::warn!(%error, "the set in force is damaged and will be replaced");
                None
            }
        };
        let whole = match &set {
            Some(set) => {
                let damaged = set.verify_files()?;
                if let Some(damage) = damaged.first() {
                    tracing::warn!(serial, %damage, "the set in force is damaged and will be repaired");
                }
                damaged.is_empty()
            }
            None => false,
        };
        Ok(Present { set, serial, whole })
    }

    /// The manifest of a set with nothing wrong: "nothing new" is only good news to who has one.
    pub(super) fn known(&self) -> Option<&Manifest> {
        self.set.as_ref().filter(|_| self.whole).map(SetHandle::manifest)
    }
}

/// Decides whether what is offered is to be taken: `None` if it is here already.
pub(super) fn judge(
    host: &str,
    key: &PublicKey,
    present: &Present,
    answer: &VersionAnswer,
    signed: &Signed,
) -> Result<Option<Manifest>, SyncError> {
    verify(&signed.manifest, &signed.signature, key).map_err(SyncError::Signature)?;
    let manifest = Manifest::parse(&signed.manifest).map_err(SyncError::Manifest)?;
    manifest.check(Timestamp::now(), present.serial)?;
    let offered = manifest.serial();
    if present.serial == Some(offered)
        && let Some(set) = &present.set
    {
        if set.manifest_bytes() != signed.manifest {
            return Err(SyncError::SerialTaken { serial: offered });
        }
        if answer.serial > offered {
            return Err(SyncError::Stale {
                announced: answer.serial,
                offered,
            });
        }
        if present.whole {
            return Ok(None);
        }
    }
    if answer.serial > offered {
        tracing::warn!(
            host,
            announced = answer.serial,
            offered,
            "what can be downloaded is behind what is announced"
        );
    }
    Ok(Some(manifest))
}
