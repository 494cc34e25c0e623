//! Sets that do not agree: the services asked once more, as before and past caches; the manifest over FTP checked by itself.

use std::net::SocketAddr;

use futures_util::future::join_all;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::update_set::{MANIFEST_FILE, Manifest, SIGNATURE_FILE, VersionAnswer};
use jiff::Timestamp;

use super::super::Site;
use super::super::connect::connect;
use super::super::ftp::session;
use super::super::http::{VERSION_PATH, beginning, receive, request};
use super::{Content, checked};
use crate::ftp::{Control, FtpError, Passive};
use crate::http::{HttpError, get_over};
use crate::observation::content::{AskedAgain, Marks, Signature};
use crate::observation::{FtpTalk, Observations, PassiveCommand};

pub(super) async fn explore(site: &Site<'_>, seen: &mut Observations) {
    if is_doubtful(seen) {
        let services = [
            (Flow::Version, seen.version.is_some()),
            (Flow::Http, seen.http.is_some()),
        ];
        let asked = services.into_iter().filter(|(_, spoke)| *spoke).flat_map(|(flow, _)| {
            let to = seen
                .attempts
                .get(&flow)
                .filter(|attempt| attempt.stood())
                .map(|attempt| attempt.to);
            [false, true].map(|past_caches| async move { Some(ask(site, flow, to?, past_caches).await) })
        });
        seen.content.again = join_all(asked).await.into_iter().flatten().collect();
    }
    let over_http = seen.http.as_ref().and_then(|talk| talk.set.clone());
    let control = seen.attempts.get(&Flow::FtpControl).map(|attempt| attempt.to);
    let Some((talk, to)) = seen.ftp.as_mut().zip(control) else {
        return;
    };
    let Some(set) = talk.set.as_ref() else { return };
    // The same bytes: one signature says enough.
    let same = over_http
        .filter(|other| other.manifest == set.manifest && other.signature != Signature::Unknown)
        .map(|other| other.signature);
    let signature = match (same, mode(talk)) {
        (Some(signature), _) => signature,
        (None, Some(mode)) if site.plan.estate.update.public_key.is_some() => {
            over_ftp(site, to, talk, mode).await.unwrap_or_default()
        }
        (None, _) => Signature::Unknown,
    };
    if let Some(set) = talk.set.as_mut() {
        set.signature = signature;
    }
}

/// Whether the roads offer different sets, or a cache shows.
fn is_doubtful(seen: &Observations) -> bool {
    let version = seen
        .version
        .iter()
        .filter_map(|talk| Some(talk.version.as_ref()?.serial));
    let http = seen.http.iter().filter_map(|talk| Some(talk.set.as_ref()?.serial));
    let ftp = seen.ftp.iter().filter_map(|talk| Some(talk.set.as_ref()?.serial));
    let mut serials: Vec<u64> = version.chain(http).chain(ftp).collect();
    serials.dedup();
    let cached = |marks: &Marks| {
        ["age", "x-cache", "x-cache-lookup", "x-varnish"]
            .iter()
            .any(|mark| marks.contains_key(*mark))
    };
    let talks = seen.version.iter().chain(&seen.http);
    serials.len() > 1 || talks.into_iter().any(|talk| cached(&talk.marks))
}

async fn ask(site: &Site<'_>, flow: Flow, to: SocketAddr, past_caches: bool) -> AskedAgain {
    let path = if flow == Flow::Version {
        VERSION_PATH.to_owned()
    } else {
        format!("/{MANIFEST_FILE}")
    };
    let said = async {
        let (_, stream) = connect(to, site.limits.connect).await;
        let stream = stream?;
        let request = if past_caches {
            // Either one is enough for most caches; some heed only the other one.
            request(site, to, &format!("{path}?drill={}", site.plan.drill))
                .header("cache-control", "no-cache")
                .header("pragma", "no-cache")
        } else {
            request(site, to, &path)
        };
        let answered = async {
            let mut response = get_over(stream, to, &request, &site.limits).await?;
            match flow {
                Flow::Version => {
                    let answer = VersionAnswer::parse(&beginning(&mut response).await?).ok();
                    Ok(answer.map(|answer| (answer.serial, answer.published)))
                }
                _ => {
                    let manifest = receive(response, path, None).await?.1.manifest();
                    Ok(manifest.map(|manifest| (manifest.serial(), manifest.published())))
                }
            }
        };
        let answered: Result<Option<(u64, Timestamp)>, HttpError> = answered.await;
        answered.ok()?
    };
    let said = said.await;
    AskedAgain {
        flow,
        past_caches,
        serial: said.map(|(serial, _)| serial),
        published: said.map(|(_, published)| published),
    }
}

/// The passive mode over which a whole transfer went.
pub(super) fn mode(talk: &FtpTalk) -> Option<Passive> {
    let worked = talk.passive.iter().find(|passive| passive.worked())?;
    Some(match worked.command {
        PassiveCommand::Epsv => Passive::Epsv,
        PassiveCommand::Pasv => Passive::Pasv,
    })
}

/// Manifest and signature in a session of their own.
async fn over_ftp(site: &Site<'_>, to: SocketAddr, talk: &FtpTalk, mode: Passive) -> Result<Signature, FtpError> {
    let mut control = session(site, to, talk).await?;
    let manifest = file(&mut control, mode, &format!("/{MANIFEST_FILE}")).await?;
    let path = format!("/{SIGNATURE_FILE}");
    let signature = match file(&mut control, mode, &path).await {
        Ok(text) => checked(&site.plan.estate, &manifest, text.beginning()),
        Err(FtpError::Unexpected { reply, .. }) if reply.code == 550 => Signature::Missing {
            answer: format!("RETR {path}: {} {}", reply.code, reply.text()),
        },
        Err(error) => return Err(error),
    };
    // How a server takes leave decides nothing.
    let _ = control.quit().await;
    Ok(signature)
}

pub(super) async fn file(control: &mut Control, mode: Passive, path: &str) -> Result<Content, FtpError> {
    let (data, _) = control.passive(mode).await?;
    let mut retrieval = control.retrieve(path, 0, data).await?;
    let mut content = Content::default();
    while let Some(bytes) = retrieval.chunk().await?
        && retrieval.received() <= Manifest::MAX_BYTES as u64
    {
        content.take(&bytes);
    }
    retrieval.finish().await?;
    Ok(content)
}
