//! The port is open, but what answers is not the service: `forward-wrong-host`.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};

use super::Diagnosis;
use super::facts::Facts;

/// One finding per flow that is answered in another protocol than its own.
pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    [Flow::FtpControl, Flow::Version, Flow::Http]
        .into_iter()
        .filter(|flow| facts.expected(*flow) == Expected::Open)
        .filter_map(|flow| {
            let trouble = facts.trouble(flow).filter(|trouble| trouble.wrong_protocol)?;
            let attempt = facts.attempt(flow)?;
            let listed = facts.server().is_some();
            let explains = if flow == Flow::FtpControl { vec![flow, Flow::FtpPassive] } else { vec![flow] };
            let finding = Finding {
                id: FindingId::ForwardWrongHost,
                severity: Severity::Error,
                confidence: Confidence::Possible,
                flow,
                summary: format!("something other than the {} answers on TCP {}", flow.title(), attempt.to.port()),
                place: Place::Unknown,
                evidence: vec![format!("{}: {}", trouble.during, trouble.text)],
                remedy: format!(
                    "look what listens on TCP {} of {}; if that is the right server, look where the firewall forwards the port to",
                    attempt.to.port(),
                    facts.seen.target
                ),
                alternatives: if listed {
                    vec![FindingId::TransparentProxy]
                } else {
                    vec![FindingId::ServerNotListening, FindingId::TransparentProxy]
                },
            };
            Some(Diagnosis { finding, explains })
        })
        .collect()
}
