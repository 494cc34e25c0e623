//! What FTP under TLS comes to: `alg-blind-to-tls`.
//!
//! A helper that opens the passive port of each session reads nothing under TLS. Where both can be tried in one drill, that
//! shows by itself. Where the server insists on TLS, a helper shows in what it does to the beginning of a command in clear.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Outcome;

use super::facts::{Facts, is_private};
use super::{Diagnosis, passive_range};
use crate::observation::{Attempt, FtpTalk, PassiveCommand, PassiveTalk};
use FindingId::{AdvertisedAddressPrivate, AlgBlindToTls, ClientEgressDataBlocked};

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let finding = insisted(facts).or_else(|| offered(facts));
    finding
        .map(|finding| Diagnosis {
            finding,
            explains: vec![Flow::FtpPassive],
        })
        .into_iter()
        .collect()
}

/// Whether what the client's own data connections suffer from is a helper that reads nothing.
pub(super) fn is_to_blame(facts: &Facts) -> bool {
    insisted(facts).is_some()
}

/// Whether the client's own dialogue was under TLS and no data connection came through: then a helper may be the matter
/// whatever else is.
pub(super) fn may_be_blind(facts: &Facts) -> bool {
    own_under_tls(facts).is_some_and(|talk| all_lost(talk).is_some())
}

fn own_under_tls<'a>(facts: &Facts<'a>) -> Option<&'a FtpTalk> {
    let under_tls = |talk: &&FtpTalk| talk.tls.as_ref().is_some_and(|tls| tls.certificate.is_some());
    facts.seen.ftp.as_ref().filter(under_tls)
}

/// The data connections of a dialogue, if it had any and not one of them stood.
fn all_lost(talk: &FtpTalk) -> Option<Vec<&Attempt>> {
    let dialled = |talk: &PassiveTalk| [talk.data.clone(), talk.at_control_address.clone()];
    let stood = talk
        .passive
        .iter()
        .flat_map(dialled)
        .flatten()
        .any(|attempt| !lost(&attempt));
    let tried: Vec<&Attempt> = talk.passive.iter().filter_map(|talk| talk.data.as_ref()).collect();
    (!stood && !tried.is_empty()).then_some(tried)
}

fn lost(attempt: &Attempt) -> bool {
    matches!(
        attempt.outcome,
        Outcome::Timeout | Outcome::Unreachable | Outcome::Refused
    )
}

/// The server takes nobody in clear, the range is closed, and a helper stands on the way that reads clear text only.
fn insisted(facts: &Facts) -> Option<Finding> {
    let talk = own_under_tls(facts)?;
    let tried = all_lost(talk)?;
    let helper = facts.seen.beside.helper.and_then(|test| test.found());
    let closed = passive_range::open_in_sweep(facts).is_empty();
    if facts.expected(Flow::FtpPassive) != Expected::Open || helper != Some(true) || !closed {
        return None;
    }
    let cause = passive_range::cause(facts, &passive_range::blocked(facts));
    let mut evidence = vec![
        format!("under TLS, which the server insists on: {}", in_words(&tried)),
        helper_in_words(),
    ];
    evidence.extend(cause.evidence);
    let mut alternatives = vec![cause.id];
    alternatives.extend(cause.alternatives);
    let private = |talk: &PassiveTalk| talk.told.is_some_and(|told| is_private(told.ip()));
    if talk.passive.iter().any(private) && facts.address().is_some_and(|address| !is_private(address)) {
        alternatives.push(AdvertisedAddressPrivate);
    }
    let place = place(cause.id);
    Some(finding(
        facts,
        Severity::Error,
        Confidence::Likely,
        place,
        evidence,
        alternatives,
    ))
}

/// Data connections work in clear by a helper's doing, and not under TLS. Nobody is forced to use that: good to know.
fn offered(facts: &Facts) -> Option<Finding> {
    let (clear, secret) = (facts.seen.ftp.as_ref()?, facts.seen.beside.under_tls.as_ref()?);
    secret.logged_in_as.as_ref()?;
    let tried = all_lost(secret)?;
    let in_clear: Vec<PassiveCommand> = clear
        .passive
        .iter()
        .filter(|talk| talk.worked())
        .map(|talk| talk.command)
        .collect();
    // No port is open by itself, so somebody opened those of the dialogue in clear.
    let ports = &facts.seen.passive.ports;
    let closed = !ports.is_empty() && ports.iter().all(|tried| lost(&tried.attempt));
    if facts.expected(Flow::FtpPassive) != Expected::Open || in_clear.is_empty() || !closed {
        return None;
    }
    let names = in_clear.iter().map(|command| command.name());
    let evidence = vec![
        format!("in clear {} works", super::list(names)),
        format!("under TLS, on the same path: {}", in_words(&tried)),
        format!(
            "none of {} other ports of the range lets a connection through",
            ports.len()
        ),
    ];
    let closed = ports.iter().map(|tried| tried.port).collect();
    let place = place(passive_range::cause(facts, &closed).id);
    Some(finding(
        facts,
        Severity::Info,
        Confidence::Certain,
        place,
        evidence,
        Vec::new(),
    ))
}

/// The helper stands where the range is closed.
fn place(closed_by: FindingId) -> Place {
    match closed_by {
        ClientEgressDataBlocked => Place::ClientFirewall,
        _ => Place::ServerFirewall,
    }
}

fn in_words(tried: &[&Attempt]) -> String {
    super::list(
        tried
            .iter()
            .map(|attempt| format!("dialling {}: {}", attempt.to, attempt.outcome.name())),
    )
}

/// What a helper did to the beginning of a command.
pub(super) fn helper_in_words() -> String {
    "an FTP helper reads the control connection along: the beginning of EPRT, alone in a segment, does not arrive, that of NOOP does"
        .to_owned()
}

fn finding(
    facts: &Facts,
    severity: Severity,
    confidence: Confidence,
    place: Place,
    evidence: Vec<String>,
    alternatives: Vec<FindingId>,
) -> Finding {
    let insists = severity == Severity::Error;
    let target = match place {
        Place::ClientFirewall => facts.seen.target.clone(),
        _ => passive_range::inside_address(facts),
    };
    Finding {
        id: AlgBlindToTls,
        severity,
        confidence,
        flow: Flow::FtpPassive,
        summary: if insists {
            "the passive range is closed, and the FTP helper that would open ports of it reads nothing under TLS"
                .to_owned()
        } else {
            "data connections work by the help of a firewall that reads FTP along; under TLS it reads nothing, and they do not"
                .to_owned()
        },
        place,
        evidence,
        remedy: format!(
            "accept new connections to tcp dport {{ {} }} at {target} in the forward chain (and forward them to the server, where the firewall is a NAT), and advertise the address that clients dial: {}",
            facts.seen.passive.planned,
            facts
                .address()
                .map_or_else(|| facts.seen.target.clone(), |address| address.to_string())
        ),
        alternatives,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::observation::privacy::{HelperTest, TlsTalk};
    use crate::observation::{EvidenceFetch, Observations};

    use fwdrill_protocol::update_set::Sha256;

    fn tls() -> Option<TlsTalk> {
        Some(TlsTalk {
            auth: None,
            certificate: Some(Sha256::from_bytes([7; 32])),
        })
    }

    /// A dialogue under TLS, over which no data comes.
    fn insists(helper: Option<HelperTest>) -> Observations {
        let mut seen = blocked_range();
        seen.ftp.as_mut().unwrap().tls = tls();
        seen.beside.helper = helper;
        seen
    }

    const HELPER: HelperTest = HelperTest {
        ordinary: true,
        watched: false,
    };

    #[test]
    fn a_helper_that_reads_nothing_under_the_tls_that_the_server_insists_on_is_blind() {
        for evidence in [true, false] {
            let mut seen = insists(Some(HELPER));
            if !evidence {
                seen.evidence = EvidenceFetch::NotAsked;
            }
            let report = report_of(&seen);
            assert_eq!(ids(&report), [AlgBlindToTls]);
            let finding = &report.findings[0];
            assert_eq!(
                (finding.severity, finding.confidence),
                (Severity::Error, Confidence::Likely)
            );
            assert!(finding.alternatives.contains(&FindingId::PassiveRangeBlocked));
        }
    }

    #[test]
    fn without_a_helper_the_range_is_blocked_and_a_helper_stays_possible() {
        let nobody = HelperTest {
            watched: true,
            ..HELPER
        };
        let lossy = HelperTest {
            ordinary: false,
            watched: false,
        };
        for helper in [None, Some(nobody), Some(lossy)] {
            let report = report_of(&insists(helper));
            assert_eq!(ids(&report), [FindingId::PassiveRangeBlocked]);
            assert!(report.findings[0].alternatives.contains(&AlgBlindToTls));
        }
        // In clear it would have opened the port, blind or not.
        let mut seen = insists(Some(HELPER));
        seen.ftp.as_mut().unwrap().tls = None;
        let report = report_of(&seen);
        assert_eq!(ids(&report), [FindingId::PassiveRangeBlocked]);
        assert!(!report.findings[0].alternatives.contains(&AlgBlindToTls));
    }

    /// In clear everything works by a helper's doing.
    fn helped() -> Observations {
        let mut seen = healthy();
        seen.passive.ports = (3200..3216).map(|port| passive_port(port, Outcome::Timeout)).collect();
        seen
    }

    #[test]
    fn what_works_in_clear_only_is_good_to_know() {
        let mut seen = helped();
        let mut secret = blocked_range().ftp.unwrap();
        secret.tls = tls();
        seen.beside.under_tls = Some(secret);
        let report = report_of(&seen);
        assert!(ids(&report).contains(&AlgBlindToTls));
        assert!(report.findings.iter().all(|finding| finding.severity == Severity::Info));
        // It works under TLS as well, or was not even begun: nothing to know.
        seen.beside.under_tls = helped().ftp;
        assert!(!ids(&report_of(&seen)).contains(&AlgBlindToTls));
        seen.beside.under_tls = Some(FtpTalk::default());
        assert!(!ids(&report_of(&seen)).contains(&AlgBlindToTls));
    }
}
