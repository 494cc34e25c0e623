//! Every file of the set, whole, over both roads: where a transfer is cut, and where two copies differ.

use std::net::SocketAddr;
use std::time::Duration;

use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::update_set::{FileEntry, MANIFEST_FILE, Manifest, VersionAnswer};
use tokio::time::{Instant, timeout_at};

use super::super::connect::connect;
use super::super::{Site, ftp, http};
use super::Content;
use super::again::{file, mode};
use crate::ftp::{Control, FtpError, Passive};
use crate::http::{HttpError, get_over};
use crate::observation::content::{Difference, FileAttempt, WholeFile};
use crate::observation::{FtpTalk, Observations, Trouble};

/// No further file is begun after that time...
const BUDGET: Duration = Duration::from_secs(8);

/// ...and none goes on after this: what is only slow is not cut.
const LONGEST: Duration = Duration::from_secs(11);

/// Larger files are not compared byte by byte.
const MOST_KEPT: usize = 16 << 20;

pub(super) async fn explore(site: &Site<'_>, seen: &mut Observations) {
    let stood = |flow| {
        seen.attempts
            .get(&flow)
            .filter(|attempt| attempt.stood())
            .map(|attempt| attempt.to)
    };
    let over_http = seen.http.as_ref().and_then(|talk| talk.set.as_ref());
    let over_http = over_http.and_then(|_| stood(Flow::Http));
    let talk = seen.ftp.as_ref();
    let over_ftp = talk.and_then(|talk| Some((talk, mode(talk)?, stood(Flow::FtpControl)?)));
    let mut http = over_http.map(|to| Road::Http { site, to });
    let mut ftp = over_ftp.map(|(talk, mode, to)| {
        Road::Ftp(Box::new(Session {
            site,
            to,
            talk,
            mode,
            control: None,
        }))
    });
    let roads = [&mut http, &mut ftp].into_iter().flatten();
    let mut manifest = None;
    for road in roads {
        if manifest.is_none() {
            manifest = road.manifest().await;
        }
    }
    let Some(manifest) = manifest else { return };
    let entries = in_order(&manifest);
    let serial = VersionAnswer::of(&manifest);
    let (over_http, over_ftp) = tokio::join!(
        walk(http.as_mut(), &entries, &serial),
        walk(ftp.as_mut(), &entries, &serial)
    );
    let (mut files, altered_http) = over_http;
    let (more, altered_ftp) = over_ftp;
    files.extend(more);
    let found = differences(http.zip(ftp), &files, altered_http, altered_ftp, &serial).await;
    seen.content.differences = found;
    seen.content.files = files;
}

/// The largest first: that is where limits of size and time show. Then the small ones.
fn in_order(manifest: &Manifest) -> Vec<&FileEntry> {
    let mut entries: Vec<&FileEntry> = manifest.files().iter().collect();
    entries.sort_by_key(|entry| entry.size);
    let last = usize::from(!entries.is_empty());
    entries.rotate_right(last);
    entries
}

/// What came of one attempt, and the bytes.
struct Received {
    attempt: FileAttempt,
    kept: Vec<u8>,
}

/// A file that is not what the manifest says, with its bytes.
type Altered<'e> = Option<(&'e FileEntry, Vec<u8>)>;

/// Gets file after file. One that is cut is tried again from its start, and then from where it was cut.
async fn walk<'e>(
    road: Option<&mut Road<'_>>,
    entries: &[&'e FileEntry],
    serial: &VersionAnswer,
) -> (Vec<WholeFile>, Altered<'e>) {
    let (mut files, mut altered) = (Vec::new(), None);
    let Some(road) = road else {
        return (files, altered);
    };
    let begun = Instant::now();
    let mut explored = false;
    for entry in entries {
        if begun.elapsed() > BUDGET {
            break;
        }
        let until = begun + LONGEST;
        let Ok(received) = timeout_at(until, road.get(entry, serial, 0)).await else {
            break;
        };
        let Some(Received { attempt, kept }) = received else {
            continue;
        };
        let mut attempts = vec![attempt];
        if attempts[0].trouble.is_some() {
            if !std::mem::replace(&mut explored, true) {
                // What is not known in time is not known.
                let _ = timeout_at(until, explore_cut(road, entry, serial, &mut attempts)).await;
            }
        } else if attempts[0].sha256 != entry.sha256 && altered.is_none() {
            altered = Some((*entry, kept));
        }
        files.push(WholeFile {
            road: road.flow(),
            path: entry.path.to_string(),
            size: entry.size,
            sha256: entry.sha256,
            attempts,
        });
    }
    (files, altered)
}

async fn explore_cut(road: &mut Road<'_>, entry: &FileEntry, serial: &VersionAnswer, attempts: &mut Vec<FileAttempt>) {
    let Some(second) = road.get(entry, serial, 0).await else {
        return;
    };
    attempts.push(second.attempt);
    if attempts.iter().any(|attempt| attempt.trouble.is_none()) {
        return;
    }
    let came = attempts.iter().map(|attempt| attempt.bytes).max().unwrap_or_default();
    // Of a file that was stopped as a whole, the second half: half a pattern is none.
    let from = if came == 0 { entry.size / 2 } else { came };
    if from > 0
        && from < entry.size
        && let Some(third) = road.get(entry, serial, from).await
    {
        attempts.push(third.attempt);
    }
}

/// One way to get files.
enum Road<'a> {
    Http { site: &'a Site<'a>, to: SocketAddr },
    Ftp(Box<Session<'a>>),
}

impl Road<'_> {
    fn flow(&self) -> Flow {
        match self {
            Road::Http { .. } => Flow::Http,
            Road::Ftp(_) => Flow::FtpPassive,
        }
    }

    async fn manifest(&mut self) -> Option<Manifest> {
        match self {
            Road::Http { site, to } => {
                let path = format!("/{MANIFEST_FILE}");
                let (_, stream) = connect(*to, site.limits.connect).await;
                let response = get_over(stream?, *to, &http::request(site, *to, &path), &site.limits)
                    .await
                    .ok()?;
                http::receive(response, path, None).await.ok()?.1.manifest()
            }
            Road::Ftp(session) => {
                let mode = session.mode;
                let control = session.open().await.ok()?;
                file(control, mode, &format!("/{MANIFEST_FILE}")).await.ok()?.manifest()
            }
        }
    }

    /// The file from a byte on; `None` where it is not served.
    async fn get(&mut self, entry: &FileEntry, serial: &VersionAnswer, from: u64) -> Option<Received> {
        let mut content = Kept::default();
        let mut trouble = match self {
            Road::Http { site, to } => {
                match over_http(site, *to, &serial.file(&entry.path), from, &mut content).await {
                    Ok(served) => {
                        served.then_some(())?;
                        None
                    }
                    Err(trouble) => Some(trouble),
                }
            }
            Road::Ftp(session) => match session.get(&format!("/{}", entry.path), from, &mut content).await {
                Ok(()) => None,
                // It is not served, or nobody let us in: nothing was cut.
                Err(FtpError::Unexpected { command, reply })
                    if content.bytes == 0 && (reply.code / 100 == 5 || !command.starts_with("RETR ")) =>
                {
                    return None;
                }
                Err(error) => Some(ftp::trouble(&error)),
            },
        };
        let wanted = entry.size - from.min(entry.size);
        if trouble.is_none() && content.bytes < wanted {
            trouble = Some(Trouble {
                during: format!("receiving {} after {} bytes", entry.path, content.bytes),
                outcome: Outcome::Reset,
                text: format!("the transfer ended in order after {} of {wanted} bytes", content.bytes),
                wrong_protocol: false,
            });
        }
        Some(Received {
            attempt: FileAttempt {
                from,
                bytes: content.bytes,
                sha256: content.digest.sha256(),
                trouble,
            },
            kept: content.kept,
        })
    }
}

/// What came, counted, digested and, if it is not too long, kept.
#[derive(Default)]
struct Kept {
    digest: Content,
    bytes: u64,
    kept: Vec<u8>,
}

impl Kept {
    fn take(&mut self, bytes: &[u8]) {
        self.digest.take(bytes);
        self.bytes += bytes.len() as u64;
        if self.kept.len() + bytes.len() <= MOST_KEPT {
            self.kept.extend_from_slice(bytes);
        }
    }
}

async fn over_http(
    site: &Site<'_>,
    to: SocketAddr,
    path: &str,
    from: u64,
    content: &mut Kept,
) -> Result<bool, Trouble> {
    let (attempt, stream) = connect(to, site.limits.connect).await;
    let Some(stream) = stream else {
        return Err(Trouble {
            during: format!("connecting for {path}"),
            outcome: attempt.outcome,
            text: attempt.error.unwrap_or_else(|| attempt.outcome.name().to_owned()),
            wrong_protocol: false,
        });
    };
    let mut request = http::request(site, to, path);
    if from > 0 {
        request = request.header("range", format!("bytes={from}-"));
    }
    let received = async {
        let mut response = get_over(stream, to, &request, &site.limits).await?;
        if response.status().as_u16() != if from > 0 { 206 } else { 200 } {
            return Ok(false);
        }
        while let Some(bytes) = response.chunk().await? {
            content.take(&bytes);
        }
        Ok(true)
    };
    received.await.map_err(|error: HttpError| http::trouble(&error))
}

/// One FTP session, begun anew after it was lost.
struct Session<'a> {
    site: &'a Site<'a>,
    to: SocketAddr,
    talk: &'a FtpTalk,
    mode: Passive,
    control: Option<Control>,
}

impl Session<'_> {
    async fn open(&mut self) -> Result<&mut Control, FtpError> {
        let control = match self.control.take() {
            Some(control) => control,
            None => ftp::session(self.site, self.to, self.talk).await?,
        };
        Ok(self.control.insert(control))
    }

    async fn get(&mut self, path: &str, from: u64, content: &mut Kept) -> Result<(), FtpError> {
        let mode = self.mode;
        let got = get(self.open().await?, mode, path, from, content).await;
        if let Err(error) = &got
            && !matches!(error, FtpError::Unexpected { .. })
        {
            // Whether it is in order again is not worth finding out.
            self.control = None;
        }
        got
    }
}

async fn get(control: &mut Control, mode: Passive, path: &str, from: u64, content: &mut Kept) -> Result<(), FtpError> {
    let (data, _) = control.passive(mode).await?;
    let mut retrieval = control.retrieve(path, from, data).await?;
    loop {
        match retrieval.chunk().await {
            Ok(Some(bytes)) => content.take(&bytes),
            Ok(None) => return retrieval.finish().await.map(drop),
            Err(error) => {
                // So that the server need not find out by itself.
                let _ = retrieval.abandon().await;
                return Err(error);
            }
        }
    }
}

/// The first byte that differs, of a file that is altered over one road and whole over the other.
async fn differences(
    roads: Option<(Road<'_>, Road<'_>)>,
    files: &[WholeFile],
    altered_http: Altered<'_>,
    altered_ftp: Altered<'_>,
    serial: &VersionAnswer,
) -> Vec<Difference> {
    let Some((mut http, mut ftp)) = roads else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (altered, flow) in [(altered_http, Flow::Http), (altered_ftp, Flow::FtpPassive)] {
        let Some((entry, bytes)) = altered else { continue };
        let name = entry.path.to_string();
        let whole = files
            .iter()
            .any(|file| file.road != flow && file.path == name && file.came() && !file.altered());
        let other = if flow == Flow::Http { &mut ftp } else { &mut http };
        if !whole {
            continue;
        }
        let Some(good) = other.get(entry, serial, 0).await else {
            continue;
        };
        let Some(at) = bytes.iter().zip(&good.kept).position(|(bad, good)| bad != good) else {
            continue;
        };
        let (over_http, over_ftp) = match flow {
            Flow::Http => (bytes[at], good.kept[at]),
            _ => (good.kept[at], bytes[at]),
        };
        found.push(Difference {
            path: name,
            at: at as u64,
            ftp: over_ftp,
            http: over_http,
        });
    }
    found
}
