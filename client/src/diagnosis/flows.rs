//! The table of flows: expected against seen.

use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::{FlowResult, Outcome, Verdict};

use super::facts::Facts;
use super::{passive_range, task_port};
use crate::observation::{Attempt, HttpTalk, PassiveCommand, PassiveTalk};

/// One result per flow of the estate.
pub(super) fn results(facts: &Facts) -> Vec<FlowResult> {
    facts
        .estate
        .flows()
        .map(|flow| result(facts, flow))
        .chain(task_port::result(facts))
        .collect()
}

fn result(facts: &Facts, flow: Flow) -> FlowResult {
    let expected = facts.expected(flow);
    let decisive = if flow == Flow::FtpPassive {
        passive(facts)
    } else {
        single_port(facts, flow)
    };
    FlowResult {
        flow,
        to: decisive.attempt.map(|attempt| attempt.to),
        expected,
        state: decisive.outcome.state(),
        outcome: decisive.outcome,
        seen_by_server: facts.seen_by_server(flow),
        rtt_ms: decisive
            .attempt
            .filter(|attempt| attempt.stood())
            .and_then(|attempt| attempt.rtt_ms),
        verdict: verdict(expected, &decisive),
        detail: decisive.detail,
    }
}

/// What decides about a flow.
struct Decisive<'a> {
    attempt: Option<&'a Attempt>,
    outcome: Outcome,
    /// Whether what came after the handshake was in order; `None` where nothing was tried.
    served: Option<bool>,
    detail: Option<String>,
}

/// A port that must be open has to serve as well; one that must be closed must not even connect.
fn verdict(expected: Expected, decisive: &Decisive) -> Verdict {
    let reached = decisive.outcome.state().against(expected);
    match (expected, decisive.outcome, decisive.served) {
        (Expected::Open, Outcome::CheckFailed, _) => Verdict::Inconclusive,
        (Expected::Open, _, Some(false)) => Verdict::Fail,
        _ => reached,
    }
}

fn single_port<'a>(facts: &Facts<'a>, flow: Flow) -> Decisive<'a> {
    let Some(attempt) = facts.attempt(flow) else {
        return Decisive {
            attempt: None,
            outcome: Outcome::CheckFailed,
            served: None,
            detail: facts.seen.resolution.error.clone(),
        };
    };
    if !attempt.stood() {
        let detail = match (attempt.icmp, &attempt.error) {
            (Some(icmp), _) => Some(format!(
                "ICMP {}/{} from {}",
                icmp.kind,
                icmp.code,
                icmp.offender
                    .map_or_else(|| "this host".to_owned(), |offender| offender.to_string())
            )),
            (None, Some(error)) if attempt.outcome == Outcome::CheckFailed => Some(error.clone()),
            _ => None,
        };
        return Decisive {
            attempt: Some(attempt),
            outcome: attempt.outcome,
            served: None,
            detail,
        };
    }
    if let Some(trouble) = facts.trouble(flow) {
        let detail = Some(format!("{}: {}", trouble.during, trouble.text));
        return Decisive {
            attempt: Some(attempt),
            outcome: trouble.outcome,
            served: Some(false),
            detail,
        };
    }
    let (served, detail) = dialogue(facts, flow);
    Decisive {
        attempt: Some(attempt),
        outcome: Outcome::Open,
        served,
        detail,
    }
}

/// What a dialogue that ran to its end amounted to.
fn dialogue(facts: &Facts, flow: Flow) -> (Option<bool>, Option<String>) {
    match flow {
        Flow::FtpControl => {
            let talk = facts.seen.ftp.as_ref();
            let user = talk.and_then(|talk| talk.logged_in_as.as_ref());
            (
                talk.map(|_| user.is_some()),
                user.map(|user| format!("logged in as {user}")),
            )
        }
        Flow::Version => {
            let talk = facts.seen.version.as_ref();
            let answer = talk.and_then(|talk| talk.version.as_ref());
            let detail = match (answer, talk.and_then(|talk| talk.answers.last())) {
                (Some(answer), _) => Some(format!("version {}, serial {}", answer.version, answer.serial)),
                (None, Some((request, status))) => Some(format!("{request}: {status}")),
                (None, None) => None,
            };
            (talk.map(|_| answer.is_some()), detail)
        }
        Flow::Http => {
            let Some(talk) = facts.seen.http.as_ref() else {
                return (None, None);
            };
            let detail = match (talk.transfers.last(), talk.answers.last()) {
                (Some(transfer), _) => Some(format!(
                    "{}, {} bytes{}{}",
                    transfer.path,
                    transfer.bytes,
                    remark(transfer.altered()),
                    over_tls(talk)
                )),
                (None, Some((request, status))) => Some(format!("{request}: {status}")),
                (None, None) => None,
            };
            (
                Some(!talk.transfers.is_empty() && talk.transfers.iter().all(|transfer| transfer.complete)),
                detail,
            )
        }
        Flow::Agent | Flow::Events | Flow::System | Flow::SelfEvents | Flow::Console => {
            let greeting = facts.seen.greetings.get(&flow);
            (
                None,
                greeting
                    .filter(|greeting| !greeting.ours)
                    .and_then(|greeting| greeting.line.clone()),
            )
        }
        Flow::FtpPassive | Flow::Tasks => (None, None),
    }
}

fn over_tls(talk: &HttpTalk) -> String {
    talk.certificate.map_or_else(String::new, |certificate| {
        format!(" over TLS, certificate {certificate}")
    })
}

fn remark(altered: bool) -> &'static str {
    if altered { ", not the bytes of the manifest" } else { "" }
}

/// PASV decides: it is what the guide's clients send. EPSV decides where PASV cannot be had
/// (IPv6, or a server without it).
fn passive<'a>(facts: &Facts<'a>) -> Decisive<'a> {
    let tried: Vec<&PassiveTalk> = [PassiveCommand::Pasv, PassiveCommand::Epsv]
        .into_iter()
        .filter_map(|command| facts.passive(command))
        .collect();
    let Some(decisive) = tried.iter().find(|talk| talk.told.is_some()).or(tried.first()) else {
        let detail = Some("not tried: no FTP session".to_owned());
        return Decisive {
            attempt: None,
            outcome: Outcome::CheckFailed,
            served: None,
            detail,
        };
    };
    let outcome = match (&decisive.data, &decisive.trouble) {
        (Some(data), _) if !data.stood() => data.outcome,
        (_, Some(trouble)) => trouble.outcome,
        (Some(_), None) => Outcome::Open,
        (None, None) => Outcome::CheckFailed,
    };
    let blocked = passive_range::blocked(facts);
    let modes: Vec<String> = tried
        .iter()
        .rev()
        .map(|talk| {
            format!(
                "{} {}",
                talk.command.name(),
                if talk.worked() { "works" } else { "fails" }
            )
        })
        .collect();
    let mut detail = modes.join(", ");
    if let Some(trouble) = &decisive.trouble {
        detail.push_str(&format!(" ({}: {})", trouble.during, trouble.text));
    }
    if !blocked.is_empty() {
        detail.push_str(&format!(
            "; {} of {} ports tried are blocked",
            blocked.len(),
            passive_range::tried_count(facts)
        ));
    }
    Decisive {
        attempt: decisive.data.as_ref(),
        outcome,
        served: Some(decisive.worked() && blocked.is_empty()),
        detail: Some(detail),
    }
}
