//! A port that must be closed is open: `forbidden-port-open`, for the console `console-exposed`.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::{Outcome, Seen};

use super::Diagnosis;
use super::facts::Facts;

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    facts
        .ended(Outcome::Open)
        .into_iter()
        .filter(|flow| facts.expected(*flow) == Expected::Closed)
        .map(|flow| Diagnosis {
            finding: finding(facts, flow),
            explains: Vec::new(),
        })
        .collect()
}

fn finding(facts: &Facts, flow: Flow) -> Finding {
    let port = facts.attempt(flow).map(|attempt| attempt.to.port()).unwrap_or_default();
    let reached = facts.seen_by_server(flow) == Seen::Yes;
    let vantage = &facts.seen.vantage;
    let (id, what) = match flow {
        Flow::Console => (FindingId::ConsoleExposed, "the web console"),
        _ => (FindingId::ForbiddenPortOpen, flow.title()),
    };
    Finding {
        id,
        severity: Severity::Error,
        // A proxy that accepts everything would look the same to the client alone.
        confidence: if reached {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        flow,
        summary: format!("TCP {port} ({what}) can be reached from {vantage}, although it must be closed there"),
        place: Place::ServerFirewall,
        evidence: vec![
            format!("a connection to TCP {port} was accepted"),
            if reached {
                "the server saw it arrive".to_owned()
            } else {
                "whether it reached the server is not known".to_owned()
            },
        ],
        remedy: format!(
            "drop tcp dport {port} from {vantage} to {} in the forward chain, or take it out of the forwarded ports",
            facts.seen.target
        ),
        alternatives: if reached {
            Vec::new()
        } else {
            vec![FindingId::TransparentProxy]
        },
    }
}
