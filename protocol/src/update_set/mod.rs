//! The update set: what a server publishes and a client keeps.
//!
//! A set is a directory of files and one signed [`Manifest`] that names every file with its size and SHA-256.
//! Everything a client needs in order to trust a set is here, as bytes in and values out; who reads or writes the
//! bytes is somebody else's business (`fwdrill-depot`, the server, the client).
//!
//! * [`Manifest`], [`FileEntry`], [`FileKind`], [`SetPath`], [`Sha256`]: the set, parsed and therefore valid;
//! * [`Manifest::check`] and [`Refusal`]: what a client must refuse though the signature is good;
//! * [`VersionAnswer`]: what `GET /version` on port 3333 says;
//! * [`SecretKey`], [`PublicKey`], [`verify`]: minisign, compatible with the stock tool.

mod keys;
mod manifest;
mod refusal;
mod set_path;
mod sha256;
mod signature;
mod version_answer;

pub use manifest::{FileEntry, FileKind, Manifest, ManifestError};
pub use refusal::{CLOCK_SKEW, Refusal};
pub use set_path::{SetPath, SetPathError};
pub use sha256::{Sha256, Sha256Error};
pub use signature::{KeyError, MAX_SIGNATURE_BYTES, PublicKey, SecretKey, SignError, SignatureError, verify};
pub use version_answer::{VersionAnswer, VersionAnswerError};

/// The file name of a set's manifest, at the root of the set.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The file name of the manifest's minisign signature, next to it.
pub const SIGNATURE_FILE: &str = "manifest.json.minisig";
