use std::net::{IpAddr, SocketAddr};

use fwdrill_depot::SetHandle;
use fwdrill_protocol::drill::DRILL_HEADER;
use fwdrill_protocol::estate::Mode;
use fwdrill_protocol::update_set::VersionAnswer;

use super::directory::Directory;
use super::download::Downloads;
use super::install::{NotInstalled, install};
use super::offer::{Present, judge};
use super::progress::{Event, Progress};
use super::retry::Patience;
use super::source::{FtpSource, HttpSource, Signed, Source};
use super::uploads::is_blocked;
use super::version::{Answer, ask};
use super::{Outcome, SyncError, Tally, UpdateCycle, Uploads};
use crate::http::Request;

/// How many sets in a row may be replaced while they are being downloaded.
const RESTARTS: usize = 5;

impl UpdateCycle {
    /// Goes through one cycle. Whatever it returns, and if it is dropped half way, `current` in the directory is a whole
    /// set if it was one before.
    pub async fn run(&self, progress: &dyn Progress) -> Result<Outcome, SyncError> {
        let directory = Directory::open(&self.into, self.key.as_ref()).await?;
        let present = directory.on_thread(Present::look).await?;
        let Reached {
            address,
            ftp,
            installed,
        } = self.update(&directory, &present, progress).await?;
        let manifest = match &installed {
            Some((set, _)) => set.manifest(),
            // `update` only ever finds nothing new for a set that is here.
            None => present.known().ok_or(SyncError::Changed)?,
        };
        let outcome = Outcome {
            serial: manifest.serial(),
            version: manifest.version().to_owned(),
            before: present.serial,
            installed: installed.as_ref().map(|(_, tally)| *tally),
            uploads: Uploads::NotWanted,
        };
        tracing::info!(
            host = self.server.host,
            serial = outcome.serial,
            version = outcome.version,
            new = outcome.installed.is_some(),
            "the update set is up to date"
        );
        if !self.uploads {
            return Ok(outcome);
        }
        let fresh = || Some(FtpSource::new(self, SocketAddr::new(address, self.server.ftp?)));
        self.upload(ftp.or_else(fresh), manifest, outcome, progress).await
    }

    /// Makes the directory if it is not there; returns version and serial of the set in it, and asks for nothing.
    pub async fn prepare(&self) -> Result<Option<(String, u64)>, SyncError> {
        let directory = Directory::open(&self.into, self.key.as_ref()).await?;
        let present = directory.on_thread(Present::look).await?;
        let known = present.known();
        Ok(known.map(|manifest| (manifest.version().to_owned(), manifest.serial())))
    }

    /// Uploads system information and log of the set that is here, and asks for nothing.
    pub async fn send_log(&self, progress: &dyn Progress) -> Result<Uploads, SyncError> {
        let directory = Directory::open(&self.into, self.key.as_ref()).await?;
        let present = directory.on_thread(Present::look).await?;
        let manifest = present.known().ok_or_else(|| SyncError::NoSet(self.into.clone()))?;
        let port = self.server.ftp.ok_or(SyncError::NoFtp)?;
        let nothing_new = || Outcome {
            serial: manifest.serial(),
            version: manifest.version().to_owned(),
            before: present.serial,
            installed: None,
            uploads: Uploads::NotWanted,
        };
        let mut ended = Err(SyncError::NoFtp);
        for address in &self.server.addresses {
            let ftp = FtpSource::new(self, SocketAddr::new(*address, port));
            ended = self.upload(Some(ftp), manifest, nothing_new(), progress).await;
            match &ended {
                Err(SyncError::Upload { source, .. }) if is_blocked(source) => {}
                _ => break,
            }
        }
        ended.map(|outcome| outcome.uploads)
    }

    /// A request of this cycle for a path of the server.
    pub(super) fn request(&self, port: u16, path: impl Into<String>) -> Request {
        let request = Request::new(self.server.authority(port), path);
        match self.drill {
            Some(drill) => request.header(DRILL_HEADER, drill.to_string()),
            None => request,
        }
    }

    /// Brings in the newest set if it is not here.
    async fn update(
        &self,
        directory: &Directory,
        present: &Present,
        progress: &dyn Progress,
    ) -> Result<Reached<'_>, SyncError> {
        let mut before: Option<(Signed, SyncError)> = None;
        for _ in 0..=RESTARTS {
            let (address, answer) = ask(self, present.known(), progress).await?;
            let answer = match answer {
                Answer::Newest(answer) => answer,
                Answer::NothingNew => {
                    self.still_good(present)?;
                    return Ok(Reached::nothing_new(address, None));
                }
            };
            let mut source = self.source(address, answer.clone())?;
            let signed = self.signed_manifest(&mut source, progress).await?;
            let key = directory.depot().public_key();
            let Some(manifest) = judge(&self.server.host, key, present, &answer, &signed)? else {
                return Ok(Reached::nothing_new(address, Some(source)));
            };
            match before.take() {
                // The same set as before, so there is no newer one to blame.
                Some((seen, error)) if seen == signed => return Err(error),
                Some(_) => progress.event(Event::Restarted),
                None => {}
            }
            progress.event(Event::Offered {
                version: manifest.version(),
                serial: manifest.serial(),
            });
            let mut downloads = Downloads {
                directory,
                source: &mut source,
                retry: self.retry,
                progress,
                received: 0,
            };
            match install(signed.clone(), &mut downloads).await {
                Ok(installed) => {
                    return Ok(Reached {
                        installed: Some(installed),
                        ..Reached::nothing_new(address, Some(source))
                    });
                }
                Err(NotInstalled::Surely(error)) => return Err(error),
                Err(NotInstalled::Perhaps(error)) => {
                    tracing::info!(%error, "looking whether a newer set is the reason");
                    before = Some((signed, error));
                }
            }
        }
        Err(SyncError::Changed)
    }

    /// Who keeps saying "nothing new" until a set expires may be holding newer ones back.
    fn still_good(&self, present: &Present) -> Result<(), SyncError> {
        match present.known() {
            Some(manifest) => Ok(manifest.check(jiff::Timestamp::now(), None)?),
            None => Ok(()),
        }
    }

    fn source(&self, address: IpAddr, answer: VersionAnswer) -> Result<Source<'_>, SyncError> {
        Ok(match self.mode {
            Mode::Ftp => {
                let port = self.server.ftp.ok_or(SyncError::NoFtp)?;
                Source::Ftp(FtpSource::new(self, SocketAddr::new(address, port)))
            }
            Mode::Http => {
                let socket = SocketAddr::new(address, self.server.http);
                Source::Http(HttpSource::new(self, socket, answer))
            }
        })
    }

    /// The first transfer: a path that does not let it through at all is reported at once, a cut is tried again.
    async fn signed_manifest(&self, source: &mut Source<'_>, progress: &dyn Progress) -> Result<Signed, SyncError> {
        let mut patience = Patience::new(self.retry, progress);
        loop {
            let (path, error) = match source.signed_manifest().await {
                Ok(signed) => return Ok(signed),
                Err(failure) => failure,
            };
            let worth_it = error.is_transient() && !error.never_connected();
            patience
                .after(&path, error, worth_it)
                .await
                .map_err(|error| error.of(&path))?;
        }
    }
}

/// What an update came to, and how the server was reached.
struct Reached<'a> {
    /// Which of the server's addresses answers.
    address: IpAddr,
    /// The FTP session that was used, if one was.
    ftp: Option<FtpSource<'a>>,
    /// The new set; `None` when there was nothing new.
    installed: Option<(SetHandle, Tally)>,
}

impl<'a> Reached<'a> {
    fn nothing_new(address: IpAddr, source: Option<Source<'a>>) -> Self {
        Reached {
            address,
            ftp: source.and_then(Source::into_ftp),
            installed: None,
        }
    }
}
