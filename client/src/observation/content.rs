//! What was delivered, as opposed to whether anything was: pages in the place of answers, update sets and who signed them,
//! files byte by byte, uploads.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::update_set::{Manifest, Sha256, VersionAnswer};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Trouble;

/// What was found out about content beyond the first transfers. All of it is absent where nobody had to ask.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ContentFacts {
    /// The serial of the set that this client has, as far as the user said.
    #[serde(default)]
    pub have: Option<u64>,
    /// Services asked once more, because what they said did not agree.
    #[serde(default)]
    pub again: Vec<AskedAgain>,
    /// What the server that the estate names says, where it is not the one that is probed.
    #[serde(default)]
    pub upstream: Option<Upstream>,
    /// One request with segments of several sizes, where a transfer had stalled.
    #[serde(default)]
    pub segments: Vec<Segmented>,
    /// The files of the set, whole.
    #[serde(default)]
    pub files: Vec<WholeFile>,
    /// Where the same file is another one over FTP than over HTTP.
    #[serde(default)]
    pub differences: Vec<Difference>,
    /// What was sent into the drop box, and what became of it.
    #[serde(default)]
    pub uploads: Vec<Upload>,
}

/// A page that came in the place of what was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// `GET /manifest.json`
    pub request: String,
    /// The HTTP status code.
    pub status: u16,
    /// Its Content-Type.
    pub content_type: Option<String>,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// The title of an HTML page.
    pub title: Option<String>,
    /// The beginning of what a reader would see.
    pub text: String,
    /// Whether it has a form to fill in.
    pub form: bool,
    /// Whether one of its fields is for a password.
    pub password: bool,
}

/// Headers by which caches and proxies show, by their name in lower case.
pub type Marks = BTreeMap<String, String>;

/// An update set as it was offered over one road.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetSeen {
    /// Its serial.
    pub serial: u64,
    /// Its version.
    pub version: String,
    /// When it was published.
    pub published: Timestamp,
    /// Until when it is good.
    pub expires: Timestamp,
    /// The digest of its manifest.
    pub manifest: Sha256,
    /// Who vouches for it.
    pub signature: Signature,
}

impl SetSeen {
    /// What a manifest says; its signature has not been looked at yet.
    pub fn of(manifest: &Manifest, digest: Sha256) -> Self {
        SetSeen {
            serial: manifest.serial(),
            version: manifest.version().to_owned(),
            published: manifest.published(),
            expires: manifest.expires(),
            manifest: digest,
            signature: Signature::Unknown,
        }
    }
}

/// What the signature of a manifest says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "signature", rename_all = "kebab-case")]
pub enum Signature {
    /// It was not had, or nobody says which key to check it with.
    #[default]
    Unknown,
    /// The server says that there is none.
    Missing {
        /// Its answer.
        answer: String,
    },
    /// The estate's key vouches for the manifest.
    Good,
    /// It was made with another key than the estate's.
    OtherKey {
        /// The id of the key that signed.
        signed_by: String,
        /// The id of the estate's key.
        trusted: String,
    },
    /// Bytes and signature do not belong together, or it is no signature.
    Bad {
        /// In words.
        why: String,
    },
}

/// What a service says when it is asked a second time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedAgain {
    /// Which one: the version service, or the manifest over HTTP.
    pub flow: Flow,
    /// Whether the request told caches not to answer it.
    pub past_caches: bool,
    /// The serial in the answer.
    pub serial: Option<u64>,
    /// When that set was published.
    pub published: Option<Timestamp>,
}

/// What the server of the estate says, asked beside another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its name in the estate, `server.host`.
    pub host: String,
    /// Its answer.
    pub answer: Option<VersionAnswer>,
    /// Why there is none.
    pub error: Option<String>,
}

/// One download with segments of at most so many bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segmented {
    /// The service.
    pub to: SocketAddr,
    /// What was asked for.
    pub path: String,
    /// The largest segment (TCP_MAXSEG), without headers; absent: as the system likes, and waited for patiently.
    pub most: Option<u16>,
    /// How many bytes came.
    pub bytes: u64,
    /// Whether all of it came.
    pub complete: bool,
}

/// A file of the set, as it came over one road.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WholeFile {
    /// Over which road: [`Flow::FtpPassive`] or [`Flow::Http`].
    pub road: Flow,
    /// Its path in the set.
    pub path: String,
    /// How long it should be.
    pub size: u64,
    /// Its digest in the manifest.
    pub sha256: Sha256,
    /// Every attempt, in turn: a second one where the first was cut.
    pub attempts: Vec<FileAttempt>,
}

/// One attempt to get a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileAttempt {
    /// From which byte of the file on.
    pub from: u64,
    /// How many bytes came.
    pub bytes: u64,
    /// Their digest.
    pub sha256: Sha256,
    /// Why it ended early.
    pub trouble: Option<Trouble>,
}

impl WholeFile {
    /// Whether it came whole in the first attempt, whatever its content.
    pub fn came(&self) -> bool {
        self.attempts
            .first()
            .is_some_and(|first| first.trouble.is_none() && first.from == 0)
    }

    /// Whether it came whole, and is not what the manifest says.
    pub fn altered(&self) -> bool {
        self.came() && self.attempts.first().is_some_and(|first| first.sha256 != self.sha256)
    }
}

/// The first byte in which a file differs between two roads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Its path in the set.
    pub path: String,
    /// Counted from 0.
    pub at: u64,
    /// The byte that came over FTP.
    pub ftp: u8,
    /// The byte that came over HTTP.
    pub http: u8,
}

impl Upload {
    /// Whether the server said no, for a reason of its own. 425, 426 and 451 say that something went wrong.
    pub fn is_refused(&self) -> bool {
        self.code.is_some_and(|code| code / 100 == 5 || code == 452)
    }
}

/// One file sent into the drop box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Where to.
    pub path: String,
    /// How many bytes were to be sent.
    pub size: u64,
    /// The largest segment, where it was not the system's choice.
    pub most: Option<u16>,
    /// The code of the server's last word about it: 226, 550, 552...
    pub code: Option<u16>,
    /// Why it failed.
    pub trouble: Option<Trouble>,
}
