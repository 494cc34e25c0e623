//! A transfer stalled. Do small segments get through where large ones do not?
//!
//! The same request with segments of growing size: where a link on the way takes small packets only, and nobody says so, all
//! up to a certain size come whole, and none beyond.

use std::net::SocketAddr;
use std::time::Duration;

use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Outcome;
use tokio::time::{Instant, timeout};

use super::super::Site;
use super::super::connect::connect_as_far_as;
use super::super::ftp::session;
use super::super::http::request;
use super::super::socket::Reach;
use crate::ftp::{Data, FtpError};
use crate::http::{HttpError, get_over};
use crate::limits::Limits;
use crate::observation::content::Segmented;
use crate::observation::{FtpTalk, Observations, Trouble};

/// From what every host has to take (RFC 9293 section 3.7.1) to what Ethernet carries. With the headers of TCP and IPv4, 40
/// bytes more.
const SIZES: [u16; 7] = [536, 1000, 1160, 1240, 1320, 1400, 1440];

/// What gets through at all gets through fast: a dozen round trips, and time for two lost packets.
const SHORT: Duration = Duration::from_millis(1500);
const ROUND_TRIPS: f64 = 12.0;

/// The status line and the header fields of our server's answers are longer.
const SHORTEST_HEAD: u64 = 150;

/// How long a server may need to find out by itself (tcp_mtu_probing).
const PATIENT: Duration = Duration::from_millis(6800);

/// Looks at what stalled over FTP alone; what stalled over HTTP has been looked at. From here on the drill's own errands take
/// segments that get through.
pub(super) async fn explore(site: &mut Site<'_>, seen: &mut Observations) {
    let http = seen.http.as_mut().map(|talk| std::mem::take(&mut talk.segments));
    seen.content.segments = http.unwrap_or_default();
    if seen.content.segments.is_empty()
        && let Some((to, path)) = stalled_over_ftp(seen)
        && let Some(talk) = &seen.ftp
    {
        let mut segments = Vec::new();
        // What went wrong is that a size is missing.
        let _ = over_ftp(site, (to, talk), &path, patience(seen, Flow::FtpControl), &mut segments).await;
        seen.content.segments = segments;
    }
    site.segment = largest(&seen.content.segments);
}

/// The largest size that gets through.
fn largest(tried: &[Segmented]) -> Option<u16> {
    tried.iter().filter(|one| one.complete).filter_map(|one| one.most).max()
}

/// The size to go on with, where waiting helps too.
pub(in crate::probe) fn heals(tried: &[Segmented]) -> Option<u16> {
    let patient = tried.iter().any(|one| one.most.is_none() && one.complete);
    largest(tried).filter(|_| patient)
}

fn patience(seen: &Observations, flow: Flow) -> Duration {
    let rtt = seen
        .attempts
        .get(&flow)
        .and_then(|attempt| attempt.rtt_ms)
        .unwrap_or_default();
    SHORT.max(Duration::from_secs_f64((rtt * ROUND_TRIPS / 1000.0).clamp(0.0, 6.0)))
}

/// The path of the request that was going on.
pub(in crate::probe) fn stalled(trouble: Option<&Trouble>) -> Option<String> {
    let trouble = trouble.filter(|trouble| trouble.outcome == Outcome::Silent)?;
    let path = trouble.during.split(' ').find(|word| word.starts_with('/'))?;
    Some(path.to_owned())
}

fn stalled_over_ftp(seen: &Observations) -> Option<(SocketAddr, String)> {
    let mut passive = seen.ftp.as_ref()?.passive.iter();
    let path = passive.find_map(|talk| {
        let begun = talk.transfer.as_ref().is_some_and(|transfer| !transfer.complete);
        stalled(talk.trouble.as_ref().filter(|_| begun))
    })?;
    let attempt = seen.attempts.get(&Flow::FtpControl).filter(|attempt| attempt.stood())?;
    Some((attempt.to, path))
}

/// The request size by size, until one does not get through; and beside that as before, waited for patiently.
pub(in crate::probe) async fn over_http(site: &Site<'_>, to: SocketAddr, path: &str) -> Vec<Segmented> {
    let sizes = async {
        let mut tried: Vec<Segmented> = Vec::new();
        for size in SIZES {
            let one = once_over_http(site, to, path, Some(size)).await;
            // An answer that is smaller than the segment says nothing of larger ones.
            let last = !one.complete || one.bytes + SHORTEST_HEAD < u64::from(size);
            tried.push(one);
            if last {
                break;
            }
        }
        tried
    };
    let (mut tried, patient) = tokio::join!(sizes, once_over_http(site, to, path, None));
    tried.push(patient);
    tried
}

async fn once_over_http(site: &Site<'_>, to: SocketAddr, path: &str, most: Option<u16>) -> Segmented {
    let mut bytes = 0;
    let reach = Reach {
        segment: most,
        ..Reach::default()
    };
    let begun = Instant::now();
    let (_, stream) = connect_as_far_as(to, site.limits.connect, reach).await;
    let limit = match most {
        Some(_) => SHORT.max(begun.elapsed().mul_f64(ROUND_TRIPS)),
        None => PATIENT,
    };
    let limits = Limits {
        reply: limit,
        stall: limit,
        ..site.limits
    };
    let received = timeout(limit, async {
        let Some(stream) = stream else { return Ok(false) };
        let mut response = get_over(stream, to, &request(site, to, path), &limits).await?;
        while let Some(chunk) = response.chunk().await? {
            bytes += chunk.len() as u64;
        }
        Ok::<bool, HttpError>(true)
    });
    let complete = matches!(received.await, Ok(Ok(true)));
    Segmented {
        to,
        path: path.to_owned(),
        most,
        bytes,
        complete,
    }
}

/// The same over FTP, in one session: it is the data connection that carries large packets.
async fn over_ftp(
    site: &Site<'_>,
    (to, talk): (SocketAddr, &FtpTalk),
    path: &str,
    limit: Duration,
    tried: &mut Vec<Segmented>,
) -> Result<(), FtpError> {
    let mut control = session(site, to, talk).await?;
    for size in SIZES {
        let port = control.epsv().await?.1;
        let told = SocketAddr::new(to.ip(), port);
        let reach = Reach {
            segment: Some(size),
            ..Reach::default()
        };
        let (_, stream) = connect_as_far_as(told, limit, reach).await;
        let Some(stream) = stream else { return Ok(()) };
        let limits = Limits {
            stall: limit,
            ..site.limits
        };
        let begun = Instant::now();
        let mut retrieval = control.retrieve(path, 0, Data::over(stream, told, &limits)).await?;
        let came = loop {
            match retrieval.chunk().await {
                Ok(Some(_)) if begun.elapsed() < limit * 2 => {}
                Ok(None) => break true,
                Ok(Some(_)) | Err(_) => break false,
            }
        };
        let bytes = retrieval.received();
        if came {
            retrieval.finish().await?;
        } else {
            retrieval.abandon().await?;
        }
        tried.push(Segmented {
            to,
            path: path.to_owned(),
            most: Some(size),
            bytes,
            complete: came,
        });
        if !came || bytes < u64::from(size) {
            break;
        }
    }
    let _ = control.quit().await;
    Ok(())
}
