use std::net::SocketAddr;

use bytes::Bytes;
use fwdrill_protocol::update_set::{FileEntry, MANIFEST_FILE, MAX_SIGNATURE_BYTES, Manifest, SIGNATURE_FILE};

use super::{FetchError, Signed};
use crate::ftp::{Control, Data, FtpError, Passive, Retrieval};
use crate::sync::UpdateCycle;

/// One FTP session, made when it is needed and again after it was lost.
///
/// A server of ours shows a session the set that was in force at its start. So whenever the session is a new one, the
/// manifest is compared with the one that is being downloaded.
pub(in crate::sync) struct FtpSource<'a> {
    cycle: &'a UpdateCycle,
    address: SocketAddr,
    control: Option<Control>,
    /// The session is in the middle of something, and of no use to anyone else.
    busy: bool,
    /// What works on this path, once that is known.
    passive: Passive,
    /// The server knows REST.
    can_restart: bool,
    manifest: Option<Vec<u8>>,
}

/// A file on its way.
pub(in crate::sync) struct Body<'a> {
    retrieval: Retrieval<'a>,
    offset: u64,
    busy: &'a mut bool,
}

impl<'a> FtpSource<'a> {
    pub(in crate::sync) fn new(cycle: &'a UpdateCycle, address: SocketAddr) -> Self {
        FtpSource {
            cycle,
            address,
            control: None,
            busy: false,
            passive: cycle.passive,
            can_restart: true,
            manifest: None,
        }
    }

    pub(super) async fn signed_manifest(&mut self) -> Result<Signed, (String, FetchError)> {
        let (manifest, signature) = (at_root(MANIFEST_FILE), at_root(SIGNATURE_FILE));
        let mut control = match self.session().await {
            Ok((control, _)) => control,
            Err(error) => return Err((manifest, error.into())),
        };
        let bytes = match self.read(&mut control, &manifest, Manifest::MAX_BYTES).await {
            Ok(bytes) => bytes,
            Err(error) => return Err((manifest, error)),
        };
        let text = match self.read(&mut control, &signature, MAX_SIGNATURE_BYTES).await {
            Ok(text) => text,
            Err(error) => return Err((signature, error)),
        };
        self.control = Some(control);
        self.manifest = Some(bytes.clone());
        Ok(Signed {
            manifest: bytes,
            signature: String::from_utf8_lossy(&text).into_owned(),
        })
    }

    pub(super) async fn open(&mut self, entry: &FileEntry, offset: u64) -> Result<Body<'_>, FetchError> {
        let (mut control, is_new) = self.session().await?;
        if is_new && self.manifest.is_some() {
            let now = self
                .read(&mut control, &at_root(MANIFEST_FILE), Manifest::MAX_BYTES)
                .await?;
            if self.manifest.as_ref() != Some(&now) {
                return Err(FetchError::Changed);
            }
        }
        let data = self.dial(&mut control).await?;
        let offset = self.restart(&mut control, offset).await?;
        self.busy = true;
        // REST is said already; it holds for the very next command.
        let path = at_root(entry.path.as_str());
        let retrieval = self.control.insert(control).retrieve(&path, 0, data).await?;
        Ok(Body {
            retrieval,
            offset,
            busy: &mut self.busy,
        })
    }

    /// Stores `bytes`; where the server wants the directories made first, they are.
    pub(in crate::sync) async fn store(&mut self, path: &str, bytes: &[u8]) -> Result<(), FtpError> {
        let (mut control, _) = self.session().await?;
        let data = self.dial(&mut control).await?;
        match control.store(path, data, bytes).await {
            Err(FtpError::Unexpected { reply, .. }) if matches!(reply.code, 550 | 553) => {
                for (at, _) in path.match_indices('/').skip(1) {
                    // One that is there already is refused, which is fine.
                    control.command(&format!("MKD {}", &path[..at])).await?;
                }
                let data = self.dial(&mut control).await?;
                control.store(path, data, bytes).await?;
            }
            stored => {
                stored?;
            }
        }
        self.control = Some(control);
        Ok(())
    }

    /// Says goodbye, if there is somebody to say it to.
    pub(in crate::sync) async fn quit(mut self) {
        if let Some(control) = self.control.take().filter(|_| !self.busy)
            && let Err(error) = control.quit().await
        {
            tracing::debug!(%error, "the server does not say goodbye");
        }
    }

    /// Takes the session out; whoever got on well with it puts it back. Also tells whether it is a new one.
    async fn session(&mut self) -> Result<(Control, bool), FtpError> {
        let busy = std::mem::take(&mut self.busy);
        if let Some(control) = self.control.take().filter(|_| !busy) {
            return Ok((control, false));
        }
        let mut control = Control::connect(self.address, &self.cycle.limits).await?;
        let login = &self.cycle.login;
        control.login(&login.user, &login.password).await?;
        control.binary().await?;
        Ok((control, true))
    }

    async fn dial(&mut self, control: &mut Control) -> Result<Data, FtpError> {
        let (data, worked) = control.passive(self.passive).await?;
        if worked == Passive::Pasv {
            self.passive = worked;
        }
        Ok(data)
    }

    /// Where the next file starts: at `offset`, or at 0 if the server cannot do that.
    async fn restart(&mut self, control: &mut Control, offset: u64) -> Result<u64, FtpError> {
        if offset == 0 || !self.can_restart {
            return Ok(0);
        }
        let reply = control.command(&format!("REST {offset}")).await?;
        self.can_restart = reply.code == 350;
        Ok(if self.can_restart { offset } else { 0 })
    }

    /// The whole of a small file.
    async fn read(&mut self, control: &mut Control, path: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
        let data = self.dial(control).await?;
        let mut file = control.retrieve(path, 0, data).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = file.chunk().await? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > limit {
                return Err(FetchError::Length(bytes.len() as u64));
            }
        }
        file.finish().await?;
        Ok(bytes)
    }
}

impl Body<'_> {
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, FtpError> {
        self.retrieval.chunk().await
    }

    pub(super) async fn finish(self) -> Result<(), FtpError> {
        let finished = self.retrieval.finish().await;
        // Also after a 426 the session goes on; not after a 421.
        *self.busy = match &finished {
            Ok(_) => false,
            Err(error) => error.reply().is_none_or(|reply| reply.code == 421),
        };
        finished.map(drop)
    }
}

fn at_root(path: &str) -> String {
    format!("/{path}")
}
