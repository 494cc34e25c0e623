//! A directory of update sets, as the server publishes and serves them and as a client keeps them.
//!
//! Both ends use the same directory layout and the same switch: what `sync --into DIR` keeps, `serve --depot DIR` serves,
//! and that pair is an update agent. The map:
//!
//! - [`Layout`]: the names in the directory
//! - [`Depot`] and [`SetHandle`]: open it, and hold a verified set that stays while it is held
//! - [`Staging`] and [`Partial`]: bring in a set, resuming what a killed process left; crash-safe at every step
//! - [`publish()`] and [`keys`]: make and sign the next set, a pure function of seed, size and serial
//! - [`apply_incremental`]: an old database and an incremental update make the new database
//!
//! # Locks
//! All are `flock(2)` on directories, so that they end with the process, however it ends:
//!
//! | on | held by | keeps out |
//! |---|---|---|
//! | `sets/<serial>` (shared) | every [`SetHandle`] | pruning: a client in mid-download keeps its set |
//! | `staging/<name>` | every [`Staging`] | the next one's clearing away of what dead processes left |
//! | `staging` | for a moment | two that begin or clear at once |
//! | `DIR` | a commit, while it switches | two that switch at once: the second sees the first's set, and is refused if older |
//! | `sets` | [`publish()`], from choosing the serial to the switch | two publishers: the second waits and publishes the next serial |
//!
//! Everything here blocks; from async code call it on a blocking thread.

mod depot;
mod error;
mod files;
mod incremental;
pub mod keys;
mod layout;
mod partial;
mod publish;
mod set_handle;
mod staging;
mod switch;
#[cfg(test)]
mod testing;
mod workspace;

pub use depot::{Depot, DepotError};
pub use error::{ContentError, FileError};
pub use files::write_if_absent;
pub use incremental::{IncrementalError, apply_incremental};
pub use layout::Layout;
pub use partial::{Partial, PartialError};
pub use publish::{
    DEFAULT_LIFETIME, DEFAULT_MAIN_SIZE, MAX_MAIN_SIZE, MIN_MAIN_SIZE, PublishError, PublishOptions, publish,
};
pub use set_handle::SetHandle;
pub use staging::{KEEP, Staging, StagingError};
