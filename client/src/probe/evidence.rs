//! Fetching the server's half of the drill over whichever port still works.

use std::net::SocketAddr;

use fwdrill_protocol::drill::EVIDENCE_PATH;
use fwdrill_protocol::evidence::Evidence;
use fwdrill_protocol::flow::Flow;

use super::Site;
use super::http::short_answer;
use crate::observation::{EvidenceFetch, Observations};

/// A drill's evidence is bounded at the server; this is more than it ever keeps.
const LONGEST: usize = 16 << 20;

/// Asks every service that speaks our HTTP until one answers.
pub(super) async fn fetch(site: &Site<'_>, seen: &Observations) -> EvidenceFetch {
    let mut refusals = Vec::new();
    for to in services(seen) {
        match short_answer(site, to, EVIDENCE_PATH, LONGEST).await {
            Ok(bytes) => match serde_json::from_slice::<Evidence>(&bytes) {
                Ok(evidence) => return EvidenceFetch::Joined(evidence),
                Err(error) => refusals.push(format!("{to}: not evidence: {error}")),
            },
            Err(refusal) => refusals.push(refusal),
        }
    }
    if refusals.is_empty() {
        refusals.push("neither the version nor the HTTP service can be reached".to_owned());
    }
    EvidenceFetch::Unavailable(refusals.join("; "))
}

/// The ports of the version and HTTP services that answered in HTTP.
pub(super) fn services(seen: &Observations) -> Vec<SocketAddr> {
    [(Flow::Version, &seen.version), (Flow::Http, &seen.http)]
        .into_iter()
        .filter(|(_, talk)| talk.as_ref().is_some_and(|talk| !talk.answers.is_empty()))
        .filter_map(|(flow, _)| Some(seen.attempts.get(&flow)?.to))
        .collect()
}
