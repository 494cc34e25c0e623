//! One agent: a life is one update, from "is there anything new?" to the acknowledged event.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use fwdrill_protocol::client_name::ClientName;
use fwdrill_protocol::drill::{DRILL_HEADER, DrillId};
use fwdrill_protocol::estate::Mode;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::storm::{Cause, Step};
use fwdrill_protocol::update_set::{FileEntry, Manifest, Sha256, VersionAnswer, verify};
use http::StatusCode;
use sha2::Digest;
use tokio::net::TcpStream;

use super::tally::{Held, Tally};
use super::telling::{self, Told};
use super::trouble::{Failure, Trouble};
use super::{Storm, over_ftp, over_http};
use crate::connection::connect;
use crate::ftp::Passive;
use crate::http::{Request, Response, get_over};
use crate::sync::Login;

/// No version answer is longer.
const LONGEST_ANSWER: usize = 16 * 1024;

/// What all agents share.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) storm: Storm,
    /// Which of the server's addresses answers.
    pub(super) address: IpAddr,
    pub(super) tally: Tally,
    pub(super) settled: Settled,
    /// The set as the first agent found it, so that not everybody has to read the manifest.
    set: OnceLock<(Vec<u8>, Manifest)>,
}

/// What works here, as the agent alone has found out.
#[derive(Debug)]
pub(super) struct Settled {
    /// Nobody is let in as a drill.
    pub(super) anonymous: AtomicBool,
    /// The server knows EPSV.
    pub(super) extended: AtomicBool,
    /// There is a way for uploads.
    pub(super) uploads: AtomicBool,
}

/// One agent in the middle of its life.
pub(super) struct Agent<'a> {
    pub(super) site: &'a Site,
    pub(super) name: ClientName,
    pub(super) drill: DrillId,
    pub(super) received: u64,
    steps: Vec<(Step, Duration)>,
}

/// How a life went.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) drill: DrillId,
    /// When it began, since the storm did.
    pub(super) began: Duration,
    pub(super) took: Duration,
    /// How long each step took that was done.
    pub(super) steps: Vec<(Step, Duration)>,
    pub(super) received: u64,
    pub(super) trouble: Option<Trouble>,
    pub(super) told: Told,
}

/// Lives one life of an agent.
pub(super) async fn live(site: &Site, name: ClientName) -> Life {
    let began = site.tally.now();
    site.tally.begins();
    let mut agent = Agent {
        site,
        name,
        drill: DrillId::random(),
        received: 0,
        steps: Vec::new(),
    };
    let updated = agent.update().await;
    site.tally.updated();
    let (told, untold) = telling::tell(&mut agent, &updated, site.tally.now() - began).await;
    let life = Life {
        drill: agent.drill,
        began,
        took: site.tally.now() - began,
        steps: agent.steps,
        received: agent.received,
        trouble: updated.err().or(untold),
        told,
    };
    site.tally.ends(&life);
    life
}

impl Site {
    pub(super) fn new(storm: Storm, address: IpAddr, tally: Tally) -> Self {
        Site {
            settled: Settled {
                anonymous: AtomicBool::new(false),
                extended: AtomicBool::new(storm.passive != Passive::Pasv),
                uploads: AtomicBool::new(storm.uploads && storm.server.ftp.is_some()),
            },
            storm,
            address,
            tally,
            set: OnceLock::new(),
        }
    }

    /// The same for the crowd, with what was settled and empty books.
    pub(super) fn anew(self, tally: Tally) -> Self {
        Site { tally, ..self }
    }

    pub(super) fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    /// Connects, and enters what came of it.
    pub(super) async fn dial(&self, flow: Flow, to: SocketAddr, limit: Duration) -> Result<(TcpStream, Held), Failure> {
        let began = self.tally.now();
        match connect(to, limit).await {
            Ok(stream) => Ok((stream, self.tally.stood(flow, to.port(), began))),
            Err(error) => {
                let failure = Failure::of_dialling(to, &error);
                self.tally.did_not_stand(flow, to.port(), began, failure.cause);
                Err(failure)
            }
        }
    }

    /// Reads a manifest, and checks its signature if there is a key for it; both once for the same bytes.
    pub(super) fn understand(&self, bytes: Vec<u8>, signature: &[u8]) -> Result<Manifest, Failure> {
        if let Some((_, manifest)) = self.set.get().filter(|(known, _)| *known == bytes) {
            return Ok(manifest.clone());
        }
        if let Some(key) = &self.storm.key {
            verify(&bytes, &String::from_utf8_lossy(signature), key)?;
        }
        let manifest = Manifest::parse(&bytes)?;
        manifest
            .check(jiff::Timestamp::now(), None)
            .map_err(|refusal| Failure::new(Cause::WrongContent, refusal.to_string()))?;
        // The first to come; the others, of a newer set, are read each time.
        let _ = self.set.set((bytes, manifest.clone()));
        Ok(manifest)
    }
}

impl Agent<'_> {
    async fn update(&mut self) -> Result<Manifest, Trouble> {
        let answer = self.ask_version().await?;
        match self.site.storm.estate.mode {
            Mode::Ftp => over_ftp::update(self).await,
            Mode::Http => over_http::update(self, &answer).await,
        }
    }

    /// Asks whether there is anything new. With this the server meets the agent's drill.
    pub(super) async fn ask_version(&mut self) -> Result<VersionAnswer, Trouble> {
        let (began, at) = (self.site.tally.now(), Instant::now());
        let asked = async {
            let (response, _held) = self
                .get(Flow::Version, self.site.storm.server.version, "/version", false)
                .await?;
            if response.status() != StatusCode::OK {
                return Err(response.unexpected().into());
            }
            Ok(VersionAnswer::parse(&response.bytes(LONGEST_ANSWER).await?)?)
        };
        let answer = asked.await;
        self.ended(Step::Version, began, at, answer)
    }

    /// The head of the response to a GET.
    pub(super) async fn get(
        &self,
        flow: Flow,
        port: u16,
        path: &str,
        secured: bool,
    ) -> Result<(Response, Held), Failure> {
        let (site, to) = (self.site, self.site.at(port));
        let limits = &site.storm.limits;
        let (stream, held) = site.dial(flow, to, limits.connect).await?;
        let mut request = Request::new(site.storm.server.authority(port), path);
        request = request.header(DRILL_HEADER, self.drill.to_string());
        if secured {
            request = request.secured(site.storm.server.https);
        }
        Ok((get_over(stream, to, &request, limits).await?, held))
    }

    /// Who to be on FTP.
    pub(super) fn login(&self) -> Login {
        match &self.site.storm.login {
            Some(login) => login.clone(),
            None if self.site.settled.anonymous.load(Ordering::Relaxed) => Login::anonymous(),
            None => Login::drill(self.drill),
        }
    }

    /// Enters how a step ended that began then.
    pub(super) fn ended<T>(
        &mut self,
        step: Step,
        began: Duration,
        at: Instant,
        result: Result<T, Failure>,
    ) -> Result<T, Trouble> {
        match result {
            Ok(value) => {
                self.steps.push((step, at.elapsed()));
                self.site.tally.went_well();
                Ok(value)
            }
            Err(failure) => Err(self.trouble(step, began, failure)),
        }
    }

    /// A step that failed.
    pub(super) fn trouble(&self, step: Step, began: Duration, Failure { cause, words }: Failure) -> Trouble {
        Trouble {
            step,
            cause,
            began,
            agents: self.site.tally.agents(),
            words,
        }
    }
}

/// Where the bytes of a file go.
pub(super) trait Sink {
    /// What comes of them.
    type Whole;
    /// Some more.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure>;
    /// That was all.
    fn finish(self) -> Result<Self::Whole, Failure>;
}

/// A small file, kept within a limit.
pub(super) struct Keep {
    bytes: Vec<u8>,
    limit: usize,
}

impl Keep {
    pub(super) fn within(limit: usize) -> Self {
        Keep {
            bytes: Vec::new(),
            limit,
        }
    }
}

impl Sink for Keep {
    type Whole = Vec<u8>;

    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.bytes.len() + bytes.len() > self.limit {
            let words = format!("what should be small is longer than {} bytes", self.limit);
            return Err(Failure::new(Cause::WrongContent, words));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(self) -> Result<Vec<u8>, Failure> {
        Ok(self.bytes)
    }
}

/// A file as it comes, checked against its entry and not kept.
pub(super) struct Check<'a> {
    entry: &'a FileEntry,
    hasher: sha2::Sha256,
    length: u64,
}

impl<'a> Check<'a> {
    pub(super) fn new(entry: &'a FileEntry) -> Self {
        Check {
            entry,
            hasher: sha2::Sha256::new(),
            length: 0,
        }
    }

    fn wrong(&self, how: &str) -> Failure {
        Failure::new(Cause::WrongContent, format!("{} {how}", self.entry.path))
    }
}

impl Sink for Check<'_> {
    type Whole = ();

    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.length += bytes.len() as u64;
        if self.length > self.entry.size {
            return Err(self.wrong(&format!("is longer than {} bytes", self.entry.size)));
        }
        self.hasher.update(bytes);
        Ok(())
    }

    fn finish(self) -> Result<(), Failure> {
        if self.length != self.entry.size {
            return Err(self.wrong(&format!("has {} of {} bytes", self.length, self.entry.size)));
        }
        let found = Sha256::from_bytes(self.hasher.clone().finalize().into());
        match found == self.entry.sha256 {
            true => Ok(()),
            false => Err(self.wrong(&format!("has the SHA-256 {found}"))),
        }
    }
}
