//! An update over HTTP: a connection for each file, and an upload over FTP where the path has that.

use std::sync::atomic::Ordering;
use std::time::Instant;

use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::storm::Step;
use fwdrill_protocol::update_set::{MAX_SIGNATURE_BYTES, Manifest, VersionAnswer};
use http::StatusCode;

use super::agent::{Agent, Check, Keep, Sink};
use super::over_ftp;
use super::trouble::Trouble;

/// The whole update.
pub(super) async fn update(agent: &mut Agent<'_>, answer: &VersionAnswer) -> Result<Manifest, Trouble> {
    let bytes = fetch(agent, &answer.manifest, Keep::within(Manifest::MAX_BYTES)).await?;
    let signature = fetch(agent, &answer.signature(), Keep::within(MAX_SIGNATURE_BYTES)).await?;
    let began = agent.site.tally.now();
    let manifest = agent.site.understand(bytes, &signature);
    let manifest = manifest.map_err(|failure| agent.trouble(Step::Download, began, failure))?;
    for entry in manifest.files() {
        fetch(agent, &answer.file(&entry.path), Check::new(entry)).await?;
        agent.received += entry.size;
    }
    if agent.site.settled.uploads.load(Ordering::Relaxed) {
        over_ftp::upload(agent, &manifest).await?;
    }
    Ok(manifest)
}

async fn fetch<S: Sink>(agent: &mut Agent<'_>, path: &str, mut sink: S) -> Result<S::Whole, Trouble> {
    let (began, at) = (agent.site.tally.now(), Instant::now());
    let received = async {
        let (mut response, _held) = agent.get(Flow::Http, agent.site.storm.server.http, path, true).await?;
        if response.status() != StatusCode::OK {
            return Err(response.unexpected().into());
        }
        while let Some(bytes) = response.chunk().await? {
            agent.site.tally.moved(bytes.len() as u64);
            sink.take(&bytes)?;
        }
        sink.finish()
    };
    let received = received.await;
    agent.ended(Step::Download, began, at, received)
}
