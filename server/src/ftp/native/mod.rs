//! Our own engine: the default, for the FTP wire is what fwdrill exists for.
//!
//! A session is one task. It reads a command when the one before is done, so what is pipelined waits in the socket; only
//! during a transfer it looks ahead, for ABOR and STAT. The map:
//!
//! - `codec`, `command`, `reply`: bytes to lines, lines to commands, and what is answered
//! - `control`: the control connection, in clear or under TLS
//! - `session`: the loop and who may say what; `fixed`, `login`, `browse`, `passive`, `active`,
//!   `prepare`, `change`: the commands by kind
//! - `transfer`: from a command to its final reply; `failure`: how that goes wrong
//! - `download`, `upload`, `listing`, `ascii`: what moves over a data connection

mod active;
mod ascii;
mod browse;
mod change;
mod codec;
mod command;
mod control;
mod download;
mod evidence;
mod failure;
mod fixed;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod listing;
mod login;
mod passive;
mod prepare;
mod reply;
mod session;
mod transfer;
mod upload;

use std::sync::Arc;

use async_trait::async_trait;

use super::site::Site;
use super::{ControlConnection, Engine};
use crate::evidence::EvidenceDesk;
use session::Session;

/// Lives control connections by our own session loop.
#[derive(Debug)]
pub struct Native {
    site: Arc<Site>,
    evidence: Option<EvidenceDesk>,
}

impl Native {
    /// An engine for this site.
    pub fn new(site: Arc<Site>) -> Self {
        Native { site, evidence: None }
    }

    /// An engine that also gives drills their evidence.
    pub(crate) fn with_evidence(self, desk: EvidenceDesk) -> Self {
        Native {
            evidence: Some(desk),
            ..self
        }
    }
}

#[async_trait]
impl Engine for Native {
    async fn live(&self, connection: ControlConnection) {
        Session::new(self.site.clone(), self.evidence.clone(), connection)
            .live()
            .await;
    }
}
