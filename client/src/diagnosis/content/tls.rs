//! Another certificate than the server's: `tls-intercepted`.
//!
//! The server says which certificate it has; where it does not, the estate may. A certificate that the estate does not know
//! and the server does is no interception: the server has a new one.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::update_set::Sha256;

use super::{Diagnosis, Facts, severity};
use FindingId::{ForwardWrongHost, TlsIntercepted};

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    [Flow::FtpControl, Flow::Http]
        .into_iter()
        .filter_map(|flow| {
            Some(Diagnosis {
                finding: finding(facts, flow)?,
                explains: if flow == Flow::Http {
                    vec![flow]
                } else {
                    vec![flow, Flow::FtpPassive]
                },
            })
        })
        .collect()
}

/// Whether TLS over a flow is known to end before the server.
pub(super) fn is_intercepted(facts: &Facts, flow: Flow) -> bool {
    finding(facts, flow).is_some()
}

/// The certificate that was shown.
fn shown(facts: &Facts, flow: Flow) -> Option<Sha256> {
    match flow {
        Flow::Http => facts.seen.http.as_ref()?.certificate,
        Flow::FtpControl => {
            let talks = facts.seen.ftp.iter().chain(&facts.seen.beside.under_tls);
            talks.filter_map(|talk| talk.tls.as_ref()?.certificate).next()
        }
        _ => None,
    }
}

/// Whether FTP leads to another update server than the one that was asked: that one has a certificate of its own, too.
fn is_another_servers(facts: &Facts) -> bool {
    let in_force = facts.seen.evidence.joined().and_then(|evidence| evidence.set.as_ref());
    in_force.is_some_and(|in_force| {
        super::sets(facts)
            .into_iter()
            .any(|(flow, _, set)| flow == Flow::FtpPassive && set.serial != in_force.serial)
    })
}

fn finding(facts: &Facts, flow: Flow) -> Option<Finding> {
    let found = shown(facts, flow)?;
    if flow == Flow::FtpControl && is_another_servers(facts) {
        return None;
    }
    let severity = severity(facts, flow)?;
    let own = facts.server().and_then(|server| server.certificate);
    let pinned = facts.estate.tls.fingerprint;
    let port = facts.estate.port(flow)?;
    let protocol = if flow == Flow::Http { "HTTPS" } else { "FTPS" };
    let mut evidence = vec![format!("TCP {port} shows the certificate with SHA-256 {found}")];
    evidence.extend(own.map(|own| format!("the server says that it shows {own}")));
    evidence.extend(pinned.map(|pinned| format!("the estate knows {pinned} (tls.fingerprint)")));
    let (confidence, place, alternatives) = match (own, pinned) {
        (Some(own), _) if own == found => return None,
        (Some(_), _) => (Confidence::Certain, Place::Path, Vec::new()),
        (None, Some(pinned)) if pinned != found => (Confidence::Likely, Place::Unknown, vec![ForwardWrongHost]),
        (None, _) => return None,
    };
    let target = &facts.seen.target;
    let unknown = if own.is_none() {
        format!("; if the server has a new certificate, set tls.fingerprint = \"{found}\"")
    } else {
        String::new()
    };
    Some(Finding {
        id: TlsIntercepted,
        severity,
        confidence,
        flow,
        summary: format!(
            "{protocol} on TCP {port} ends before the server: somebody on the way shows a certificate of their own"
        ),
        place,
        evidence,
        remedy: format!(
            "exempt {target} TCP {port} from TLS inspection (SSL interception) on the proxy or firewall in between{unknown}"
        ),
        alternatives,
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::healthy;
    use super::*;
    use crate::observation::{EvidenceFetch, Observations};
    use fwdrill_protocol::estate::Estate;

    const SERVERS: Sha256 = Sha256::from_bytes([1; 32]);
    const OTHERS: Sha256 = Sha256::from_bytes([2; 32]);

    fn seen(shown: Sha256, own: Option<Sha256>) -> Observations {
        let mut seen = healthy();
        seen.http.as_mut().unwrap().certificate = Some(shown);
        if let EvidenceFetch::Joined(evidence) = &mut seen.evidence {
            evidence.server.certificate = own;
        }
        seen
    }

    fn found(seen: &Observations, pinned: Option<Sha256>) -> Vec<(FindingId, Confidence)> {
        let mut estate = Estate::default();
        estate.tls.fingerprint = pinned;
        let findings = super::super::super::diagnose(&estate, seen).findings;
        findings
            .iter()
            .map(|finding| (finding.id, finding.confidence))
            .collect()
    }

    #[test]
    fn a_certificate_that_the_server_does_not_have_is_somebody_elses() {
        let seen = seen(OTHERS, Some(SERVERS));
        assert_eq!(found(&seen, None), [(TlsIntercepted, Confidence::Certain)]);
    }

    #[test]
    fn the_control_connection_is_looked_at_too() {
        use crate::observation::privacy::TlsTalk;
        let mut seen = seen(SERVERS, Some(SERVERS));
        let shown = |certificate| {
            Some(TlsTalk {
                auth: None,
                certificate: Some(certificate),
            })
        };
        seen.ftp.as_mut().unwrap().tls = shown(SERVERS);
        assert_eq!(found(&seen, None), []);
        seen.ftp.as_mut().unwrap().tls = shown(OTHERS);
        assert_eq!(found(&seen, None), [(TlsIntercepted, Confidence::Certain)]);
    }

    #[test]
    fn with_the_estates_word_alone_it_may_be_a_new_one() {
        let seen = seen(OTHERS, None);
        assert_eq!(found(&seen, Some(SERVERS)), [(TlsIntercepted, Confidence::Likely)]);
        assert_eq!(found(&seen, Some(OTHERS)), []);
        assert_eq!(found(&seen, None), [], "nobody says which it should be");
    }

    #[test]
    fn the_servers_new_certificate_is_no_interception_though_the_estate_knows_the_old_one() {
        assert_eq!(found(&seen(OTHERS, Some(OTHERS)), Some(SERVERS)), []);
    }
}
