//! FTP under TLS, and whether somebody on the way reads FTP along.

use fwdrill_protocol::ftp_reply::Reply;
use fwdrill_protocol::update_set::Sha256;
use serde::{Deserialize, Serialize};

use super::FtpTalk;

/// What was asked beside the client's own dialogue, where that left a question.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Beside {
    /// The same dialogue under TLS, where the client's own one was in clear.
    #[serde(default)]
    pub under_tls: Option<FtpTalk>,
    /// Whether a helper stands on the way.
    #[serde(default)]
    pub helper: Option<HelperTest>,
}

/// How TLS came about on a control connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsTalk {
    /// The reply to AUTH TLS.
    pub auth: Option<Reply>,
    /// The SHA-256 of the server's certificate; absent where the handshake failed.
    pub certificate: Option<Sha256>,
}

/// Two commands sent letter by letter. Netfilter's FTP helper drops a segment in which there is no more than the beginning
/// of PORT or EPRT, and no other (nf_conntrack_ftp.c, find_pattern: "partial match"): it has to see such a command whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelperTest {
    /// Whether the beginning of a command that no helper cares for arrived at the other end.
    pub ordinary: bool,
    /// Whether the beginning of EPRT did.
    pub watched: bool,
}

impl HelperTest {
    /// Whether a helper reads this connection along; `None` where nothing arrives. There are helpers that do not drop.
    pub fn found(&self) -> Option<bool> {
        self.ordinary.then_some(!self.watched)
    }
}
