//! `name-not-resolved`: there is no address to try.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::Flow;

use super::Diagnosis;
use super::facts::Facts;

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let resolution = &facts.seen.resolution;
    if !resolution.addresses.is_empty() {
        return Vec::new();
    }
    let error = resolution
        .error
        .clone()
        .unwrap_or_else(|| "the resolver knows no address of it".to_owned());
    let target = &facts.seen.target;
    vec![Diagnosis {
        finding: Finding {
            id: FindingId::NameNotResolved,
            severity: Severity::Error,
            confidence: Confidence::Certain,
            flow: Flow::FtpControl,
            summary: format!("the name {target} does not resolve, so nothing could be tried"),
            place: Place::ClientHost,
            evidence: vec![format!("looking up {target}: {error}")],
            remedy: format!("correct the name, or add {target} to the DNS that this host asks"),
            alternatives: Vec::new(),
        },
        explains: Flow::ALL.to_vec(),
    }]
}
