//! A publisher, its scripted servers, and a client's directory.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fwdrill_depot::{Depot, Layout, PublishOptions, SetHandle, publish};
use fwdrill_protocol::estate::Mode;
use fwdrill_protocol::update_set::{FileKind, Manifest, SecretKey, Sha256, VersionAnswer};
use jiff::{SignedDuration, Timestamp};
use sha2::Digest;
use tempfile::TempDir;

use crate::Limits;
use crate::scripted::{FtpFaults, FtpServer, HttpFaults, HttpServer, Tree};
use crate::sync::{Event, How, Progress, Retry, Server, UpdateCycle};

pub(super) const MODES: [Mode; 2] = [Mode::Ftp, Mode::Http];

/// The main database; the other files are smaller.
pub(super) const MAIN: &str = "signatures/main.fwdb";

pub(super) struct World {
    published: TempDir,
    pub(super) home: TempDir,
    pub(super) key: SecretKey,
    pub(super) ftp: FtpServer,
    pub(super) http: HttpServer,
}

/// The two trees of one set, FTP's and HTTP's.
pub(super) type Trees = (Tree, Tree);

impl World {
    /// With one set, serial 1.
    pub(super) async fn new() -> Self {
        let world = World::empty().await;
        world.publish();
        world
    }

    pub(super) async fn empty() -> Self {
        let key = SecretKey::generate().unwrap();
        let published = TempDir::new().unwrap();
        Depot::create(published.path(), key.public()).unwrap();
        World {
            published,
            home: TempDir::new().unwrap(),
            key,
            ftp: FtpServer::start(Tree::default(), FtpFaults::default()).await,
            http: HttpServer::start(Tree::default(), HttpFaults::default()).await,
        }
    }

    /// Publishes and serves the next set.
    pub(super) fn publish(&self) -> SetHandle {
        let set = self.make(|_| {});
        self.serve(self.trees(&set));
        set
    }

    /// Makes the next set without serving it.
    pub(super) fn make(&self, change: impl FnOnce(&mut PublishOptions)) -> SetHandle {
        let an_hour_ago = Timestamp::now() - SignedDuration::from_hours(1);
        let mut options = PublishOptions::at(an_hour_ago);
        options.main_size = Some(200_000);
        options.keep = 20;
        change(&mut options);
        let depot = Depot::open(self.published.path()).unwrap();
        publish(&depot, &self.key, &options).unwrap()
    }

    pub(super) fn trees(&self, set: &SetHandle) -> Trees {
        trees(set)
    }

    pub(super) fn serve(&self, (ftp, http): Trees) {
        self.ftp.set_tree(ftp);
        self.http.set_tree(http);
    }

    /// The faults of whichever server downloads go to.
    pub(super) fn cut(&self, at: &[usize], reset: bool) {
        self.ftp.set_faults(FtpFaults {
            cuts: at.iter().copied().collect(),
            cuts_reset: reset,
            ..FtpFaults::default()
        });
        self.http.set_faults(HttpFaults {
            cuts: at.iter().copied().collect(),
            cuts_reset: reset,
            ..HttpFaults::default()
        });
    }

    pub(super) fn serve_wrong(&self, path: &str, serial: u64) {
        self.ftp.set_faults(FtpFaults {
            wrong: vec![format!("/{path}")],
            ..FtpFaults::default()
        });
        self.http.set_faults(HttpFaults {
            wrong: vec![format!("/sets/{serial}/{path}")],
            ..HttpFaults::default()
        });
    }

    pub(super) fn heal(&self) {
        self.cut(&[], false);
    }

    pub(super) fn updates(&self) -> PathBuf {
        self.home.path().join("updates")
    }

    pub(super) fn layout(&self) -> Layout {
        Layout::new(self.updates())
    }

    pub(super) fn server(&self) -> Server {
        Server {
            host: "127.0.0.1".to_owned(),
            addresses: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            version: self.http.address.port(),
            http: self.http.address.port(),
            https: None,
            ftp: Some(self.ftp.address.port()),
        }
    }

    /// A cycle that is not patient, without uploads.
    pub(super) fn cycle(&self, mode: Mode) -> UpdateCycle {
        UpdateCycle {
            mode,
            key: Some(self.key.public().clone()),
            uploads: false,
            limits: Limits {
                stall: Duration::from_millis(500),
                ..Limits::default()
            },
            retry: Retry {
                failures: 4,
                pause: Duration::from_millis(1),
                longest_pause: Duration::from_millis(5),
            },
            ..UpdateCycle::new(self.server(), self.updates(), "pc-17".parse().unwrap())
        }
    }

    /// The client's set in force: its serial, after every file of it was found to be right.
    pub(super) fn in_force(&self) -> Option<u64> {
        let set = Depot::open(self.updates()).ok()?.current().unwrap()?;
        assert_eq!(set.verify_files().unwrap(), vec![]);
        Some(set.serial())
    }

    /// The paths of files that were asked for of the server that downloads go to, manifests aside.
    pub(super) fn asked_for(&self, mode: Mode) -> Vec<String> {
        let paths: Vec<String> = match mode {
            Mode::Ftp => {
                let commands = self.ftp.commands();
                let paths = commands.iter().filter_map(|line| line.strip_prefix("RETR /"));
                paths.map(str::to_owned).collect()
            }
            Mode::Http => {
                let requests = self.http.requests();
                let paths = requests
                    .iter()
                    .filter_map(|request| request.path.strip_prefix("/sets/"));
                paths.map(|path| path.split_once('/').unwrap().1.to_owned()).collect()
            }
        };
        paths
            .into_iter()
            .filter(|path| !path.starts_with("manifest.json"))
            .collect()
    }

    pub(super) fn forget(&self) {
        self.ftp.forget_commands();
        self.http.forget_requests();
    }

    /// The offsets at which files were asked for, other than 0.
    pub(super) fn resumed_at(&self, mode: Mode) -> Vec<u64> {
        let offsets: Vec<String> = match mode {
            Mode::Ftp => {
                let commands = self.ftp.commands();
                commands
                    .iter()
                    .filter_map(|line| Some(line.strip_prefix("REST ")?.to_owned()))
                    .collect()
            }
            Mode::Http => {
                let requests = self.http.requests();
                let ranges = requests.iter().filter_map(|request| request.header("range"));
                ranges
                    .map(|range| range.trim_matches(|c: char| !c.is_ascii_digit()).to_owned())
                    .collect()
            }
        };
        offsets.iter().map(|offset| offset.parse().unwrap()).collect()
    }
}

pub(super) fn trees(set: &SetHandle) -> Trees {
    let mut files = BTreeMap::from([
        ("manifest.json".to_owned(), set.manifest_bytes().to_owned()),
        (
            "manifest.json.minisig".to_owned(),
            set.signature().as_bytes().to_owned(),
        ),
    ]);
    for entry in set.manifest().files() {
        files.insert(entry.path.to_string(), std::fs::read(set.file(entry)).unwrap());
    }
    below_roots(set.serial(), VersionAnswer::of(set.manifest()), files)
}

/// The trees that have these files as a set.
pub(super) fn below_roots(serial: u64, answer: VersionAnswer, files: BTreeMap<String, Vec<u8>>) -> Trees {
    let below = |root: &str| -> BTreeMap<String, Vec<u8>> {
        let prefixed = files
            .iter()
            .map(|(path, bytes)| (format!("{root}{path}"), bytes.clone()));
        prefixed.collect()
    };
    let mut http = below(&format!("/sets/{serial}/"));
    http.insert("/version".to_owned(), answer.render().into_bytes());
    (Arc::new(below("/")), Arc::new(http))
}

/// The trees of a set whose publisher made a mistake: well signed, but the incremental update of the main database leads
/// elsewhere.
pub(super) fn with_wrong_increment(set: &SetHandle, key: &SecretKey) -> Trees {
    let (ftp, _) = trees(set);
    let mut files: BTreeMap<_, _> = ftp
        .iter()
        .map(|(path, bytes)| (path[1..].to_owned(), bytes.clone()))
        .collect();
    let mut entries = set.manifest().files().to_vec();
    for entry in &mut entries {
        if matches!(&entry.kind, FileKind::Incremental { of, .. } if of.as_str() == MAIN) {
            let bytes = files.get_mut(entry.path.as_str()).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            entry.sha256 = Sha256::from_bytes(sha2::Sha256::digest(&*bytes).into());
        }
    }
    let old = set.manifest();
    let manifest = Manifest::new(
        old.version().to_owned(),
        old.serial(),
        old.published(),
        old.expires(),
        entries,
    )
    .unwrap();
    let text = manifest.render();
    let signature = key.sign(text.as_bytes(), "a mistake").unwrap();
    files.insert("manifest.json".to_owned(), text.into_bytes());
    files.insert("manifest.json.minisig".to_owned(), signature.into_bytes());
    below_roots(set.serial(), VersionAnswer::of(&manifest), files)
}

/// Remembers what happened.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) events: Mutex<Vec<String>>,
    pub(super) moved: Mutex<u64>,
}

impl Progress for Seen {
    fn event(&self, event: Event<'_>) {
        let line = match event {
            Event::Moved { bytes } => {
                *self.moved.lock().unwrap() += bytes;
                return;
            }
            Event::Offered { serial, .. } => format!("offered {serial}"),
            Event::Planned { files, .. } => format!("planned {files}"),
            Event::Started { path, offset, .. } => format!("started {path} at {offset}"),
            Event::Retrying { path, .. } => format!("retrying {path}"),
            Event::Verified { path, how } => match how {
                How::Reused => format!("reused {path}"),
                How::Built => format!("built {path}"),
                How::Downloaded => format!("downloaded {path}"),
            },
            Event::Switched { serial } => format!("switched {serial}"),
            Event::Restarted => "restarted".to_owned(),
            Event::Uploaded { path, .. } => format!("uploaded {path}"),
        };
        self.events.lock().unwrap().push(line);
    }
}

impl Seen {
    pub(super) fn lines(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }

    pub(super) fn count(&self, start: &str) -> usize {
        self.lines().iter().filter(|line| line.starts_with(start)).count()
    }
}
