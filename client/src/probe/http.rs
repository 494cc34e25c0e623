//! HTTP: what the version service answers, and a download that is checked against its manifest.

use std::net::SocketAddr;

use fwdrill_protocol::drill::DRILL_HEADER;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::update_set::{MANIFEST_FILE, VersionAnswer};
use tokio::net::TcpStream;

use super::Site;
use super::connect::connect;
use super::content::{Content, small_file};
use crate::http::{HttpError, Request, Response, get_over};
use crate::observation::{ExpectedContent, HttpTalk, Transfer, Trouble};
use crate::tls::{TlsError, Trust};

/// Answers and evidence are short.
const SHORT: usize = 64 * 1024;

/// Asks the version service, over a connection that stands.
pub(super) async fn version(site: &Site<'_>, stream: TcpStream, to: SocketAddr) -> HttpTalk {
    let mut talk = HttpTalk::default();
    let asked = async {
        let response = ask(site, stream, to, "/version", &mut talk.answers).await?;
        if response.status().is_success() {
            talk.version = VersionAnswer::parse(&response.bytes(SHORT).await?).ok();
        }
        Ok(())
    }
    .await;
    talk.trouble = asked.err().map(|error: HttpError| trouble(&error));
    talk
}

/// Downloads the manifest over a connection that stands, and one of its files over another.
pub(super) async fn download(site: &Site<'_>, stream: TcpStream, to: SocketAddr) -> HttpTalk {
    let mut talk = HttpTalk::default();
    let downloaded = fetch_and_check(site, stream, to, &mut talk).await;
    talk.trouble = downloaded.err().map(|error| trouble(&error));
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
    if !response.status().is_success() {
        return Ok(());
    }
    let (transfer, content) = receive(response, path, None).await?;
    talk.transfers.push(transfer);
    let Some(manifest) = content.manifest() else {
        return Ok(());
    };
    let Some((file, expected)) = small_file(&manifest) else {
        return Ok(());
    };
    // With the serial in the path, so that a set published meanwhile does not look like damage.
    let path = VersionAnswer::of(&manifest).file(&file);
    let (attempt, stream) = connect(to, site.limits.connect).await;
    let Some(stream) = stream else {
        let text = attempt
            .error
            .unwrap_or_else(|| format!("no answer within {:.1?}", site.limits.connect));
        talk.trouble = Some(Trouble {
            during: format!("connecting again for {path}"),
            outcome: attempt.outcome,
            text,
            wrong_protocol: false,
        });
        return Ok(());
    };
    let response = ask(site, stream, to, &path, &mut talk.answers).await?;
    if response.status().is_success() {
        talk.transfers.push(receive(response, path, Some(expected)).await?.0);
    }
    Ok(())
}

/// One GET with the drill's header; the status goes into `answers`.
pub(super) async fn ask(
    site: &Site<'_>,
    stream: TcpStream,
    to: SocketAddr,
    path: &str,
    answers: &mut Vec<(String, u16)>,
) -> Result<Response, HttpError> {
    let host = if to.is_ipv6() {
        format!("[{}]:{}", to.ip(), to.port())
    } else {
        format!("{}:{}", site.plan.target, to.port())
    };
    let trust = Trust::of_http(&site.plan.estate).filter(|_| to.port() == site.plan.estate.ports.http);
    let request = Request::new(host, path)
        .header(DRILL_HEADER, site.plan.drill.to_string())
        .secured(trust);
    let response = get_over(stream, to, &request, &site.limits).await?;
    answers.push((format!("GET {path}"), response.status().as_u16()));
    Ok(response)
}

async fn receive(
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
    };
    Ok((transfer, content))
}

fn trouble(error: &HttpError) -> Trouble {
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
    let (attempt, stream) = connect(to, site.limits.connect).await;
    let Some(stream) = stream else {
        return Err(format!("{to}: {}", attempt.outcome.name()));
    };
    let fetched = async {
        let response = ask(site, stream, to, path, &mut Vec::new()).await?;
        if response.status().is_success() {
            response.bytes(longest).await
        } else {
            Err(response.unexpected())
        }
    };
    fetched.await.map_err(|error| format!("{to}: {}", trouble(&error).text))
}
