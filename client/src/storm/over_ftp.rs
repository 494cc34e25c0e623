//! An update over FTP: one session, one file after the other, and what is uploaded.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::storm::{Cause, Step};
use fwdrill_protocol::update_set::{MANIFEST_FILE, MAX_SIGNATURE_BYTES, Manifest, SIGNATURE_FILE};

use super::agent::{Agent, Check, Keep, Sink};
use super::tally::{Asked, Held, LetIn};
use super::trouble::{Failure, Trouble};
use crate::ftp::{Control, Data, FtpError, Passive};
use crate::sync::sysinfo;

/// What one read takes: thousands of agents read at the same time.
const CHUNK: usize = 32 * 1024;

/// The whole update, and the upload.
pub(super) async fn update(agent: &mut Agent<'_>) -> Result<Manifest, Trouble> {
    let mut session = Session::open(agent).await?;
    let manifest = session.manifest().await?;
    for entry in manifest.files() {
        session.retrieve(&format!("/{}", entry.path), Check::new(entry)).await?;
        session.agent.received += entry.size;
    }
    session.upload(&manifest).await?;
    session.quit().await;
    Ok(manifest)
}

/// The upload alone, where files come over HTTP.
pub(super) async fn upload(agent: &mut Agent<'_>, manifest: &Manifest) -> Result<(), Trouble> {
    let mut session = Session::open(agent).await?;
    session.upload(manifest).await?;
    session.quit().await;
    Ok(())
}

struct Session<'s, 'a> {
    agent: &'s mut Agent<'a>,
    control: Control,
    _counted: (Held, LetIn),
}

impl<'s, 'a> Session<'s, 'a> {
    async fn open(agent: &'s mut Agent<'a>) -> Result<Self, Trouble> {
        let site = agent.site;
        let limits = site.storm.limits;
        let (began, at) = (site.tally.now(), Instant::now());
        let greeted = async {
            let port = site
                .storm
                .server
                .ftp
                .ok_or_else(|| Failure::new(Cause::OwnOther, "the estate has no FTP"))?;
            let (stream, held) = site.dial(Flow::FtpControl, site.at(port), limits.connect).await?;
            let control = Control::over(stream, &limits).await;
            Ok((control.map_err(|error| Failure::of_ftp(Step::Control, &error))?, held))
        };
        let greeted = greeted.await;
        let (mut control, held) = agent.ended(Step::Control, began, at, greeted)?;
        let (began, at) = (site.tally.now(), Instant::now());
        let login = agent.login();
        let let_in = async {
            control.login(&login.user, &login.password).await?;
            control.binary().await
        };
        let let_in = let_in.await.map_err(|error| Failure::of_ftp(Step::Login, &error));
        agent.ended(Step::Login, began, at, let_in)?;
        Ok(Session {
            agent,
            control,
            _counted: (held, site.tally.let_in()),
        })
    }

    async fn manifest(&mut self) -> Result<Manifest, Trouble> {
        let path = format!("/{MANIFEST_FILE}");
        let bytes = self.retrieve(&path, Keep::within(Manifest::MAX_BYTES)).await?;
        let path = format!("/{SIGNATURE_FILE}");
        let signature = self.retrieve(&path, Keep::within(MAX_SIGNATURE_BYTES)).await?;
        let began = self.agent.site.tally.now();
        let manifest = self.agent.site.understand(bytes, &signature);
        manifest.map_err(|failure| self.agent.trouble(Step::Download, began, failure))
    }

    async fn retrieve<S: Sink>(&mut self, path: &str, mut sink: S) -> Result<S::Whole, Trouble> {
        let (data, _held) = self.data().await?;
        let tally = self.agent.site.tally.clone();
        let (began, at) = (tally.now(), Instant::now());
        let failed = |error: FtpError| Failure::of_ftp(Step::Download, &error);
        let received = async {
            let mut file = self.control.retrieve(path, 0, data).await.map_err(failed)?;
            while let Some(bytes) = file.chunk().await.map_err(failed)? {
                tally.moved(bytes.len() as u64);
                sink.take(&bytes)?;
            }
            file.finish().await.map_err(failed)?;
            sink.finish()
        };
        let received = received.await;
        self.agent.ended(Step::Download, began, at, received)
    }

    async fn upload(&mut self, manifest: &Manifest) -> Result<(), Trouble> {
        if !self.agent.site.settled.uploads.load(Ordering::Relaxed) {
            return Ok(());
        }
        let text = sysinfo::render(&self.agent.name, Path::new("."), manifest);
        let directory = format!("/upload/{}", self.agent.name);
        let path = format!("{directory}/sysinfo.json");
        let (data, held) = self.data().await?;
        let (mut began, mut at) = (self.agent.site.tally.now(), Instant::now());
        let mut stored = self.control.store(&path, data, text.as_bytes()).await;
        drop(held);
        // Some servers want the directories made first.
        if let Err(FtpError::Unexpected { reply, .. }) = &stored
            && matches!(reply.code, 550 | 553)
        {
            for directory in ["/upload", directory.as_str()] {
                // One that is there already is refused, which is fine.
                let _ = self.control.command(&format!("MKD {directory}")).await;
            }
            let (data, _held) = self.data().await?;
            (began, at) = (self.agent.site.tally.now(), Instant::now());
            stored = self.control.store(&path, data, text.as_bytes()).await;
        }
        let stored = stored.map_err(|error| Failure::of_ftp(Step::Upload, &error));
        self.agent.ended(Step::Upload, began, at, stored).map(drop)
    }

    /// A passive port, and the connection to it after the time that the agent takes.
    async fn data(&mut self) -> Result<(Data, Held), Trouble> {
        let site = self.agent.site;
        let (began, at) = (site.tally.now(), Instant::now());
        let asked = site.tally.asks();
        let told = self.ask(&asked).await;
        let to = self.agent.ended(Step::Passive, began, at, told)?;
        if !site.storm.think.is_zero() {
            tokio::time::sleep(site.storm.think).await;
        }
        let (began, at) = (site.tally.now(), Instant::now());
        let dialled = site.dial(Flow::FtpPassive, to, site.storm.limits.data_connect).await;
        let (stream, held) = self.agent.ended(Step::Data, began, at, dialled)?;
        asked.connected();
        Ok((Data::over(stream, to, &site.storm.limits).in_chunks_of(CHUNK), held))
    }

    /// EPSV, or PASV where the server does not know that.
    async fn ask(&mut self, asked: &Asked) -> Result<SocketAddr, Failure> {
        let settled = &self.agent.site.settled;
        let failed = |error: FtpError| {
            if let Some(reply) = error.reply().filter(|reply| reply.code / 100 == 4) {
                asked.refused(&format!("{} {}", reply.code, reply.text()));
            }
            Failure::of_ftp(Step::Passive, &error)
        };
        if settled.extended.load(Ordering::Relaxed) {
            match self.control.epsv().await {
                Ok((_, port)) => return Ok(SocketAddr::new(self.control.peer().ip(), port)),
                Err(FtpError::Unexpected { reply, .. })
                    if reply.code / 100 == 5
                        && self.agent.site.storm.passive == Passive::Auto
                        && self.control.peer().is_ipv4() =>
                {
                    settled.extended.store(false, Ordering::Relaxed);
                }
                Err(error) => return Err(failed(error)),
            }
        }
        let (_, address) = self.control.pasv().await.map_err(failed)?;
        Ok(address.into())
    }

    /// How a server takes leave decides nothing.
    async fn quit(self) {
        const PATIENCE: Duration = Duration::from_secs(5);
        let _ = tokio::time::timeout(PATIENCE, self.control.quit()).await;
    }
}
