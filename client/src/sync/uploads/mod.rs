//! What a client sends after a cycle: system information and its log.

mod mwav_log;
pub(crate) mod sysinfo;

use std::fmt;

use fwdrill_protocol::estate::Mode;
use fwdrill_protocol::update_set::Manifest;

use super::progress::{Event, Progress};
use super::retry::Patience;
use super::source::FtpSource;
use super::{Outcome, SyncError, UpdateCycle};
use crate::ftp::FtpError;

/// What became of the uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uploads {
    /// None were asked for.
    NotWanted,
    /// These are on the server, by their paths there.
    Done(Vec<String>),
    /// There is no FTP to upload over, and that is in order: the estate has none, or downloads go over HTTP, for which the
    /// guide opens no FTP port. The reason, for people.
    NoWay(String),
}

/// A part of a line, for people.
impl fmt::Display for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Uploads::NotWanted => f.write_str("no uploads"),
            Uploads::Done(paths) => write!(f, "uploaded {}", paths.join(" and ")),
            Uploads::NoWay(reason) => write!(f, "no uploads: {reason}"),
        }
    }
}

impl UpdateCycle {
    /// Sends `sysinfo.json` and `mwav.log` over FTP, the only way the guide has for them, to `/upload/<client>/`.
    ///
    /// If downloads go over FTP, a failure is an error. If they go over HTTP, an FTP port that cannot be reached is what
    /// the guide's HTTP port list amounts to, so only what happens once the session stands is an error.
    pub(super) async fn upload(
        &self,
        ftp: Option<FtpSource<'_>>,
        manifest: &Manifest,
        mut outcome: Outcome,
        progress: &dyn Progress,
    ) -> Result<Outcome, SyncError> {
        let Some(mut ftp) = ftp else {
            outcome.uploads = Uploads::NoWay("the estate has no FTP".to_owned());
            return Ok(outcome);
        };
        let files = [
            ("sysinfo.json", sysinfo::render(&self.client, &self.into, manifest)),
            ("mwav.log", mwav_log::render(self, manifest, &outcome)),
        ];
        let mut done = Vec::new();
        for (name, text) in files {
            let path = format!("/upload/{}/{name}", self.client);
            match self.store(&mut ftp, &path, text.as_bytes(), progress).await {
                Ok(()) => {
                    progress.event(Event::Uploaded {
                        path: &path,
                        bytes: text.len() as u64,
                    });
                    done.push(path);
                }
                Err(error) if self.mode == Mode::Http && is_blocked(&error) => {
                    tracing::info!(%error, "nothing is uploaded: downloads go over HTTP, and FTP is not reachable");
                    outcome.uploads = Uploads::NoWay(error.to_string());
                    return Ok(outcome);
                }
                Err(source) => {
                    outcome.uploads = Uploads::Done(done);
                    return Err(SyncError::Upload {
                        what: path,
                        source,
                        outcome: Box::new(outcome),
                    });
                }
            }
        }
        ftp.quit().await;
        outcome.uploads = Uploads::Done(done);
        Ok(outcome)
    }

    /// Stores one file; tries again after a cut. A file arrives whole or not at all, so each try begins anew.
    async fn store(
        &self,
        ftp: &mut FtpSource<'_>,
        path: &str,
        bytes: &[u8],
        progress: &dyn Progress,
    ) -> Result<(), FtpError> {
        let mut patience = Patience::new(self.retry, progress);
        loop {
            let error = match ftp.store(path, bytes).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let worth_it = error.is_transient() && !is_blocked(&error);
            patience.after(path, error, worth_it).await?;
        }
    }
}

/// Whether a connection could not be made at all.
pub(super) fn is_blocked(error: &FtpError) -> bool {
    error.connection().is_some_and(|(_, source)| source.never_stood())
}
