//! What arrives is not what was published: `content-altered`.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};

use super::facts::Facts;
use super::{Diagnosis, list};
use crate::observation::Transfer;

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let transfers = transfers(facts);
    let altered: Vec<&(Flow, &str, &Transfer)> = transfers
        .iter()
        .filter(|(flow, _, transfer)| transfer.altered() && facts.expected(*flow) == Expected::Open)
        .collect();
    let Some((flow, _, _)) = altered.first() else {
        return Vec::new();
    };
    let intact: Vec<&str> = transfers
        .iter()
        .filter(|(_, _, transfer)| transfer.complete && transfer.expected.is_some() && !transfer.altered())
        .map(|(_, road, _)| *road)
        .collect();
    // The same file, whole over another road: then it is whole at the server.
    let (confidence, place, alternatives) = if intact.is_empty() {
        (
            Confidence::Likely,
            Place::Unknown,
            vec![FindingId::SignatureInvalid, FindingId::CacheStale],
        )
    } else {
        (Confidence::Certain, Place::Path, Vec::new())
    };
    let roads = list(altered.iter().map(|(_, road, _)| road));
    let mut evidence: Vec<String> = altered
        .iter()
        .filter_map(|(_, road, transfer)| {
            let expected = transfer.expected.as_ref()?;
            Some(format!(
                "{} over {road}: {} bytes with SHA-256 {}, but {} says {} bytes with {}",
                transfer.path, transfer.bytes, transfer.sha256, expected.according_to, expected.size, expected.sha256
            ))
        })
        .collect();
    if !intact.is_empty() {
        evidence.push(format!("over {} the content is intact", list(&intact)));
    }
    let finding = Finding {
        id: FindingId::ContentAltered,
        severity: Severity::Error,
        confidence,
        flow: *flow,
        summary: format!("what arrives over {roads} is not what the manifest promises"),
        place,
        evidence,
        remedy: format!(
            "exempt {} from content inspection, scanning and caching on the devices in between",
            facts.seen.target
        ),
        alternatives,
    };
    vec![Diagnosis {
        finding,
        explains: altered.iter().map(|(flow, _, _)| *flow).collect(),
    }]
}

/// Every transfer, with its flow and what to call its road.
fn transfers<'a>(facts: &Facts<'a>) -> Vec<(Flow, &'static str, &'a Transfer)> {
    let over_ftp = facts.seen.ftp.iter().flat_map(|talk| &talk.passive);
    let over_ftp = over_ftp.filter_map(|talk| Some((Flow::FtpPassive, "FTP", talk.transfer.as_ref()?)));
    let over_http = facts
        .seen
        .http
        .iter()
        .flat_map(|talk| &talk.transfers)
        .map(|transfer| (Flow::Http, "HTTP", transfer));
    over_ftp.chain(over_http).collect()
}
