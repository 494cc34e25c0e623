use std::time::Duration;

use fwdrill_protocol::update_set::SetPath;

/// Who wants to know how a cycle gets on.
///
/// Called from the cycle itself, so it should be quick. `()` is not interested.
pub trait Progress: Send + Sync {
    /// Something happened.
    fn event(&self, event: Event<'_>);
}

impl Progress for () {
    fn event(&self, _: Event<'_>) {}
}

/// Something that happened in a cycle.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A newer set is on offer, signed and neither expired nor older than what is here.
    Offered {
        /// Its version.
        version: &'a str,
        /// Its serial.
        serial: u64,
    },
    /// How much is to be downloaded, at most: a full database that an incremental update makes is not counted.
    Planned {
        /// How many files.
        files: usize,
        /// How many bytes, those of earlier runs among them.
        bytes: u64,
    },
    /// A download begins or goes on.
    Started {
        /// The file.
        path: &'a SetPath,
        /// Its size in bytes.
        size: u64,
        /// How much of it is here already. Said again, smaller, when a download has to start over.
        offset: u64,
    },
    /// So many more bytes of the file that was started last are here.
    Moved {
        /// How many.
        bytes: u64,
    },
    /// A transfer was cut and is tried again.
    Retrying {
        /// The file.
        path: &'a str,
        /// What happened.
        error: &'a dyn std::error::Error,
        /// After this pause.
        pause: Duration,
    },
    /// A file of the new set is here and is what the manifest says.
    Verified {
        /// The file.
        path: &'a SetPath,
        /// Where it came from.
        how: How,
    },
    /// The new set is in force.
    Switched {
        /// Its serial.
        serial: u64,
    },
    /// A newer set appeared in the middle; the cycle starts again with that one.
    Restarted,
    /// A file was uploaded.
    Uploaded {
        /// Its path on the server.
        path: &'a str,
        /// Its size.
        bytes: u64,
    },
}

/// Where a file of a set came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// From the set before.
    Reused,
    /// Made out of the one in the set before and an incremental update.
    Built,
    /// From the server.
    Downloaded,
}
