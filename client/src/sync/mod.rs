//! One client's update cycle: ask for the version, download what changed over FTP or HTTP, verify, switch atomically, and
//! send system information and the log.
//!
//! ```no_run
//! # async fn example() -> Result<(), fwdrill_client::sync::SyncError> {
//! use fwdrill_client::sync::{Server, UpdateCycle, this_host};
//! use fwdrill_protocol::estate::Estate;
//! let server = Server::resolve("update.example.net", &Estate::default()).await?;
//! let cycle = UpdateCycle::new(server, "/var/lib/fwdrill/updates", this_host());
//! let outcome = cycle.run(&()).await?;
//! # drop(outcome);
//! # Ok(())
//! # }
//! ```
//!
//! What is believed is the signed manifest alone: the version answer only says that a look is worth it. A cut download is
//! resumed where it stopped, in the same run or, after a crash, in the next one. The directory is a [depot] of update
//! sets: whatever happens and whenever, `current` in it names a whole set, and dropping the future of
//! [`UpdateCycle::run`] is as good a way to stop as any.
//!
//! [depot]: fwdrill_depot

mod cycle;
mod directory;
mod download;
mod error;
mod install;
mod names;
mod offer;
mod progress;
mod retry;
mod server;
mod source;
#[cfg(test)]
mod tests;
mod uploads;
mod version;
mod writer;

use std::fmt;
use std::path::PathBuf;

use fwdrill_protocol::drill::{DRILL_USER, DrillId};
use fwdrill_protocol::estate::Mode;
use fwdrill_protocol::update_set::PublicKey;

use crate::ftp::Passive;
use crate::limits::Limits;

pub use error::{Concern, SyncError};
pub use names::{ClientName, NotAClientName, this_host};
pub use progress::{Event, How, Progress};
pub use retry::Retry;
pub use server::Server;
pub use uploads::Uploads;
pub(crate) use uploads::sysinfo;

/// What one update cycle needs to know.
#[derive(Debug, Clone)]
pub struct UpdateCycle {
    /// Where to go.
    pub server: Server,
    /// What to download over.
    pub mode: Mode,
    /// How FTP data connections are arranged.
    pub passive: Passive,
    /// Who to be on FTP.
    pub login: Login,
    /// Carried in the header of every HTTP request.
    pub drill: Option<DrillId>,
    /// The key that update sets have to be signed with; unset: the one that `into` has already.
    pub key: Option<PublicKey>,
    /// The directory of update sets; made if it is not there and `key` is set.
    pub into: PathBuf,
    /// Whose system information and log are sent.
    pub client: ClientName,
    /// Whether they are sent at all.
    pub uploads: bool,
    /// How long each step may take.
    pub limits: Limits,
    /// What happens after a cut.
    pub retry: Retry,
}

impl UpdateCycle {
    /// A cycle with the defaults: over FTP, EPSV before PASV, anonymous, with uploads.
    pub fn new(server: Server, into: impl Into<PathBuf>, client: ClientName) -> Self {
        UpdateCycle {
            server,
            mode: Mode::Ftp,
            passive: Passive::Auto,
            login: Login::anonymous(),
            drill: None,
            key: None,
            into: into.into(),
            client,
            uploads: true,
            limits: Limits::default(),
            retry: Retry::default(),
        }
    }

    /// Makes this cycle part of a drill: its id goes with every request.
    pub fn in_drill(mut self, drill: DrillId) -> Self {
        self.login = Login::drill(drill);
        self.drill = Some(drill);
        self
    }
}

/// An FTP user. Its debug form shows no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Login {
    /// `anonymous`, with an address as password, as is the custom (RFC 1635).
    pub fn anonymous() -> Self {
        Login {
            user: "anonymous".to_owned(),
            password: "fwdrill@".to_owned(),
        }
    }

    /// The user whose password is the drill id.
    pub fn drill(drill: DrillId) -> Self {
        Login {
            user: DRILL_USER.to_owned(),
            password: drill.to_string(),
        }
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What a cycle came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The serial of the set in force now.
    pub serial: u64,
    /// Its version.
    pub version: String,
    /// The serial of the set before; `None` when there was none.
    pub before: Option<u64>,
    /// What was done to get the set; `None` when there was nothing new.
    pub installed: Option<Tally>,
    /// What became of the uploads.
    pub uploads: Uploads,
}

/// One line, for people.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set = format!("version {}, serial {}", self.version, self.serial);
        match &self.installed {
            None => write!(f, "nothing new: {set}")?,
            Some(Tally {
                reused,
                built,
                downloaded,
                received,
            }) => {
                let before = self
                    .before
                    .map_or_else(|| "none".to_owned(), |serial| serial.to_string());
                write!(
                    f,
                    "{set} (before: {before}): {downloaded} files downloaded ({received} bytes), {built} built from incremental updates, {reused} unchanged"
                )?;
            }
        }
        match &self.uploads {
            Uploads::NotWanted => Ok(()),
            uploads => write!(f, "; {uploads}"),
        }
    }
}

/// How the files of a set came together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Files taken from the set before.
    pub reused: usize,
    /// Databases made out of the one before and an incremental update.
    pub built: usize,
    /// Files downloaded.
    pub downloaded: usize,
    /// Bytes of files that came over the network in this run.
    pub received: u64,
}
