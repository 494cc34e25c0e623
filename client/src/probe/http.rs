//! HTTP: what the version service answers, and a download that is checked against its manifest.

use std::net::SocketAddr;

use fwdrill_protocol::drill::DRILL_HEADER;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::update_set::{MANIFEST_FILE, VersionAnswer};
use http::StatusCode;
use tokio::net::TcpStream;

use super::Site;
use super::content::{self, Content, file_to_try, page, segments};
use crate::http::{HttpError, Request, Response, get_over};
use crate::observation::content::{SetSeen, Signature};
use crate::observation::{ExpectedContent, HttpTalk, Transfer, Trouble};
use crate::plan::Depth;
use crate::tls::{TlsError, Trust};

/// Answers of the version service and signatures are short.
const SHORT: usize = 64 * 1024;

/// Where the version service answers.
pub(super) const VERSION_PATH: &str = "/version";

/// Asks the version service, over a connection that stands.
pub(super) async fn version(site: &Site<'_>, stream: TcpStream, to: SocketAddr) -> HttpTalk {
    let mut talk = HttpTalk::default();
    let asked = async {
        let mut response = ask(site, stream, to, VERSION_PATH, &mut talk.answers).await?;
        talk.marks = page::marks(response.headers());
        let mut page = page::head(&response, VERSION_PATH);
        let body = beginning(&mut response).await?;
        match VersionAnswer::parse(&body) {
            Ok(answer) if response.status().is_success() => talk.version = Some(answer),
            Ok(_) | Err(_) => {
                page::describe(&mut page, &body);
                talk.page = Some(page);
            }
        }
        Ok(())
    }
    .await;
    talk.trouble = asked.err().map(|error: HttpError| trouble(&error));
    talk
}

/// Downloads the manifest over a connection that stands; its signature and one of its files over others. If that stalls, it
/// is looked at whether large packets get lost.
pub(super) async fn download(site: &Site<'_>, stream: TcpStream, to: SocketAddr) -> HttpTalk {
    let talk = once(site, stream, to).await;
    let Some(path) = segments::stalled(talk.trouble.as_ref()).filter(|_| site.plan.depth >= Depth::Usual) else {
        return talk;
    };
    let tried = segments::over_http(site, to, &path).await;
    let mut talk = match segments::heals(&tried) {
        None => talk,
        // Each connection has to find out anew; nobody has to wait for that.
        Some(segment) => {
            let small = Site {
                segment: Some(segment),
                ..*site
            };
            match small.connect(to).await {
                (_, Some(stream)) => once(&small, stream, to).await,
                (_, None) => talk,
            }
        }
    };
    talk.segments = tried;
    talk
}

async fn once(site: &Site<'_>, stream: TcpStream, to: SocketAddr) -> HttpTalk {
    let mut talk = HttpTalk::default();
    let downloaded = fetch_and_check(site, stream, to, &mut talk).await;
    if let Err(HttpError::Tls { source, .. }) = &downloaded
        && let TlsError::Certificate { found, .. } = **source
    {
        talk.certificate = Some(found);
    }
    talk.trouble = downloaded.err().map(|error| trouble(&error)).or(talk.trouble);
    talk
}

async fn fetch_and_check(
    site: &Site<'_>,
    stream: TcpStream,
    to: SocketAddr,
    talk: &mut HttpTalk,
) -> Result<(), HttpError> {
    let path = format!("/{MANIFEST_FILE}");
    let response = ask(site, stream, to, &path, &mut talk.answers).await?;
    talk.certificate = response.certificate();
    talk.marks = page::marks(response.headers());
    if !response.status().is_success() {
        talk.page = Some(page::read(response, &path).await);
        return Ok(());
    }
    let mut page = page::head(&response, &path);
    let (transfer, content) = receive(response, path, None).await?;
    let Some(manifest) = content.manifest() else {
        page::describe(&mut page, content.beginning());
        talk.page = Some(page);
        return Ok(());
    };
    talk.transfers.push(transfer);
    // With the serial in their paths, so that a set published meanwhile does not look like damage.
    let announced = VersionAnswer::of(&manifest);
    let mut set = SetSeen::of(&manifest, content.sha256());
    let signature_path = announced.signature();
    let (mut signed, mut served) = (Vec::new(), Vec::new());
    let (signature, file) = tokio::join!(signature(site, to, &signature_path, &content, &mut signed), async {
        let (file, expected) = file_to_try(&manifest)?;
        Some(one_file(site, to, announced.file(&file), expected, &mut served).await)
    });
    set.signature = signature;
    talk.set = Some(set);
    talk.answers.extend(signed.into_iter().chain(served));
    match file {
        Some(Ok(transfer)) => talk.transfers.extend(transfer),
        Some(Err(trouble)) => talk.trouble = Some(trouble),
        None => {}
    }
    Ok(())
}

/// What vouches for the manifest.
async fn signature(
    site: &Site<'_>,
    to: SocketAddr,
    path: &str,
    manifest: &Content,
    answers: &mut Vec<(String, u16)>,
) -> Signature {
    let (_, stream) = site.connect(to).await;
    let Some(stream) = stream else {
        return Signature::Unknown;
    };
    let Ok(mut response) = ask(site, stream, to, path, answers).await else {
        return Signature::Unknown;
    };
    match response.status() {
        status if status.is_success() => match beginning(&mut response).await {
            Ok(text) => content::checked(&site.plan.estate, manifest, &text),
            Err(_) => Signature::Unknown,
        },
        status @ (StatusCode::NOT_FOUND | StatusCode::GONE) => Signature::Missing {
            answer: format!("GET {path}: {status}"),
        },
        _ => Signature::Unknown,
    }
}

/// One file over a connection of its own; nothing where it is not served.
async fn one_file(
    site: &Site<'_>,
    to: SocketAddr,
    path: String,
    expected: ExpectedContent,
    answers: &mut Vec<(String, u16)>,
) -> Result<Option<Transfer>, Trouble> {
    let (attempt, stream) = site.connect(to).await;
    let Some(stream) = stream else {
        let text = attempt
            .error
            .unwrap_or_else(|| format!("no answer within {:.1?}", site.limits.connect));
        return Err(Trouble {
            during: format!("connecting again for {path}"),
            outcome: attempt.outcome,
            text,
            wrong_protocol: false,
        });
    };
    let received = async {
        let response = ask(site, stream, to, &path, answers).await?;
        if response.status().is_success() {
            return Ok(Some(receive(response, path, Some(expected)).await?.0));
        }
        Ok(None)
    };
    received.await.map_err(|error: HttpError| trouble(&error))
}

/// The body, or of a long one the beginning.
pub(super) async fn beginning(response: &mut Response) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while body.len() < SHORT
        && let Some(bytes) = response.chunk().await?
    {
        body.extend_from_slice(&bytes[..bytes.len().min(SHORT - body.len())]);
    }
    Ok(body)
}

/// One GET with the drill's header; the status goes into `answers`.
pub(super) async fn ask(
    site: &Site<'_>,
    stream: TcpStream,
    to: SocketAddr,
    path: &str,
    answers: &mut Vec<(String, u16)>,
) -> Result<Response, HttpError> {
    let response = get_over(stream, to, &request(site, to, path), &site.limits).await?;
    answers.push((format!("GET {path}"), response.status().as_u16()));
    Ok(response)
}

/// A GET as the drill makes it.
pub(super) fn request(site: &Site<'_>, to: SocketAddr, path: &str) -> Request {
    let host = if to.is_ipv6() {
        format!("[{}]:{}", to.ip(), to.port())
    } else {
        format!("{}:{}", site.plan.target, to.port())
    };
    let trust = Trust::of_http(&site.plan.estate).filter(|_| to.port() == site.plan.estate.ports.http);
    Request::new(host, path)
        .header(DRILL_HEADER, site.plan.drill.to_string())
        .secured(trust)
}

pub(super) async fn receive(
    mut response: Response,
    path: String,
    expected: Option<ExpectedContent>,
) -> Result<(Transfer, Content), HttpError> {
    let mut content = Content::default();
    while let Some(bytes) = response.chunk().await? {
        content.take(&bytes);
    }
    let transfer = Transfer {
        path,
        bytes: response.received(),
        sha256: content.sha256(),
        expected,
        complete: true,
        paused: false,
    };
    Ok((transfer, content))
}

pub(super) fn trouble(error: &HttpError) -> Trouble {
    let (during, outcome, text) = match error {
        HttpError::Connection { during, source, .. } => (during.clone(), source.outcome(), source.to_string()),
        HttpError::Tls { source, .. } => ("shaking hands for TLS".to_owned(), Outcome::Open, source.to_string()),
        HttpError::NotHttp { first, .. } => (
            "waiting for an HTTP response".to_owned(),
            Outcome::Open,
            format!("it does not speak HTTP, it says {first:?}"),
        ),
        other => ("reading the response".to_owned(), Outcome::Open, other.to_string()),
    };
    Trouble {
        during,
        outcome,
        text,
        wrong_protocol: match error {
            HttpError::NotHttp { .. } => true,
            HttpError::Tls { source, .. } => matches!(**source, TlsError::NotTls),
            _ => false,
        },
    }
}

/// The body of a short JSON answer to `GET path` with status 200, on the port at `to`.
pub(super) async fn short_answer(
    site: &Site<'_>,
    to: SocketAddr,
    path: &str,
    longest: usize,
) -> Result<Vec<u8>, String> {
    let (attempt, stream) = site.connect(to).await;
    let Some(stream) = stream else {
        return Err(format!("{to}: {}", attempt.outcome.name()));
    };
    let fetched = async {
        // Of the server itself, whoever has copies.
        let request = request(site, to, path).header("cache-control", "no-cache");
        let response = get_over(stream, to, &request, &site.limits).await?;
        if response.status().is_success() {
            response.bytes(longest).await
        } else {
            Err(response.unexpected())
        }
    };
    fetched.await.map_err(|error| format!("{to}: {}", trouble(&error).text))
}
