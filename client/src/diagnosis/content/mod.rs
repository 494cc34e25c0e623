//! The services answer, and what they deliver is not what it should be: a page in its place, another set, other bytes, half of
//! it. One file per family that shares its discriminator.

mod altered;
mod blackhole;
mod cut;
mod page;
mod signature;
mod stale;
mod tls;
mod upload;

use fwdrill_protocol::finding::Severity;
use fwdrill_protocol::flow::{Expected, Flow};

use super::facts::Facts;
use super::{Diagnosis, list};
use crate::observation::content::SetSeen;

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let rules = [
        page::check,
        tls::check,
        blackhole::check,
        cut::check,
        signature::check,
        stale::check,
        altered::check,
        upload::check,
    ];
    rules.iter().flat_map(|rule| rule(facts)).collect()
}

/// Whether what a flow suffers from is known to be the work of somebody who answers in the server's place.
pub(super) fn is_answered_by_another(facts: &Facts, flow: Flow) -> bool {
    page::is_in_the_place_of(facts, flow) || stale::is_cached(facts, flow) || tls::is_intercepted(facts, flow)
}

/// Whether large packets get lost on this path, so that a service that is silent need not be.
pub(super) fn loses_large_packets(facts: &Facts) -> bool {
    blackhole::largest(facts).is_some()
}

/// How bad it is if a flow delivers something wrong; `None` where it must not be open at all. A flow that need not be open
/// is used all the same where it is.
fn severity(facts: &Facts, flow: Flow) -> Option<Severity> {
    match facts.expected(flow) {
        Expected::Open => Some(Severity::Error),
        Expected::Any => Some(Severity::Warning),
        Expected::Closed => None,
    }
}

/// The set that each road offers, with its flow and what to call the road.
fn sets<'a>(facts: &Facts<'a>) -> Vec<(Flow, &'static str, &'a SetSeen)> {
    let ftp = facts.seen.ftp.as_ref().and_then(|talk| talk.set.as_ref());
    let http = facts.seen.http.as_ref().and_then(|talk| talk.set.as_ref());
    let ftp = ftp.map(|set| (Flow::FtpPassive, "FTP", set));
    ftp.into_iter()
        .chain(http.map(|set| (Flow::Http, "HTTP", set)))
        .collect()
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::update_set::Sha256;
    use jiff::{SignedDuration, Timestamp};

    use super::super::testing::healthy;
    use super::*;
    use crate::observation::Observations;
    use crate::observation::content::Signature;

    /// A set that was published in the hour of its serial, and is good for thirty days.
    pub(super) fn set(serial: u64) -> SetSeen {
        let published = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(i64::try_from(serial).unwrap() - 7);
        SetSeen {
            serial,
            version: "22.0.1".to_owned(),
            published,
            expires: published + SignedDuration::from_hours(30 * 24),
            manifest: Sha256::from_bytes([u8::try_from(serial).unwrap(); 32]),
            signature: Signature::Unknown,
        }
    }

    pub(super) fn with_sets(ftp: Option<SetSeen>, http: Option<SetSeen>) -> Observations {
        let mut seen = healthy();
        seen.ftp.as_mut().unwrap().set = ftp;
        seen.http.as_mut().unwrap().set = http;
        seen
    }
}
