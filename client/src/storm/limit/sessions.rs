//! The server takes no more sessions: `server-connection-limit`; or somebody on the way closes them.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::storm::{Cause, Step, Sum};

use super::Limit;
use crate::storm::facts::Facts;
use crate::storm::tally::Failures;
use FindingId::{ConnectionLimit, ServerConnectionLimit, ServerHung};

/// Fewer than this many are an accident.
const SOME: u64 = 3;
/// Of a hundred that were never greeted.
const MANY: u64 = 10;

pub(super) fn check(facts: &Facts) -> Option<Limit> {
    turned_away(facts)
        .or_else(|| closed(facts))
        .or_else(|| never_greeted(facts))
}

/// It says so itself.
fn turned_away(facts: &Facts) -> Option<Limit> {
    let greeting = facts.failures(Step::Control, Cause::TurnedAway);
    let turned = greeting.or_else(|| facts.failures(Step::Login, Cause::TurnedAway))?;
    Some(limit(
        facts,
        turned,
        Verdict {
            id: ServerConnectionLimit,
            place: Place::Server,
            confidence: Confidence::Certain,
            alternatives: vec![],
            because: format!("to {} sessions the server says: {}", turned.count, turned.first.words),
        },
    ))
}

/// Connections stand and are closed without a word. Whoever has accepted them is the one.
fn closed(facts: &Facts) -> Option<Limit> {
    let closed = facts.failures(Step::Control, Cause::Reset)?;
    if closed.count < SOME || facts.server_was_away() {
        return None;
    }
    let because = format!(
        "{} control connections stood and were closed without a word",
        closed.count
    );
    let verdict = match facts.witness.unnamed {
        Some(accepted) if accepted >= closed.count => Verdict {
            id: ServerConnectionLimit,
            place: Place::Server,
            confidence: Confidence::Likely,
            alternatives: vec![ConnectionLimit],
            because: format!("{because}; the server had accepted them"),
        },
        Some(accepted) => Verdict {
            id: ConnectionLimit,
            place: Place::Path,
            confidence: Confidence::Likely,
            alternatives: vec![ServerConnectionLimit],
            because: format!("{because}; the server had accepted {accepted} of them only"),
        },
        None => Verdict {
            id: ServerConnectionLimit,
            place: Place::Unknown,
            confidence: Confidence::Possible,
            alternatives: vec![ConnectionLimit],
            because,
        },
    };
    Some(limit(facts, closed, verdict))
}

/// Connections stand, and nobody accepts them: the program has no room (files), or it hangs.
fn never_greeted(facts: &Facts) -> Option<Limit> {
    let mute = facts.failures(Step::Control, Cause::Silent)?;
    let stood = facts.books.ports.get(&Flow::FtpControl).map_or(0, |book| book.stood);
    if mute.count < SOME || mute.count * 100 < stood * MANY {
        return None;
    }
    let verdict = Verdict {
        id: ServerConnectionLimit,
        place: Place::Server,
        confidence: Confidence::Possible,
        alternatives: vec![ServerHung, ConnectionLimit],
        because: format!(
            "{} control connections stood and were never greeted: a server that is out of files accepts nobody (its log, ulimit -n)",
            mute.count
        ),
    };
    Some(limit(facts, mute, verdict))
}

struct Verdict {
    id: FindingId,
    place: Place,
    confidence: Confidence,
    alternatives: Vec<FindingId>,
    because: String,
}

fn limit(facts: &Facts, failures: &Failures, verdict: Verdict) -> Limit {
    let (served, first) = (facts.books.sessions.most, &failures.first);
    let text = format!(
        "{served} sessions at once were served, at the most; {} agents were at work when the first was not",
        first.agents
    );
    let whose = match verdict.id {
        ServerConnectionLimit => "the FTP server",
        _ => "a firewall",
    };
    Limit {
        began: first.began,
        finding: Finding {
            id: verdict.id,
            severity: Severity::Error,
            confidence: verdict.confidence,
            flow: Flow::FtpControl,
            summary: format!("{whose} has room for {served} sessions from here at once"),
            place: verdict.place,
            evidence: vec![verdict.because, format!("the sum: {text}")],
            remedy: format!(
                "raise the limit of sessions (at the server ftp.limits.sessions_per_address and ftp.limits.sessions; vsftpd: max_per_ip, max_clients): {} clients update at once, and a storm comes from one address, as clients behind NAT do",
                facts.storm.clients
            ),
            alternatives: verdict.alternatives,
        },
        sum: Sum {
            text,
            per_second: None,
            held_s: None,
            needed: Some(first.agents as f64),
            counted: served,
            available: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::judge;
    use super::super::testing::*;
    use super::*;

    fn controls(cause: Cause, count: u64) -> Facts {
        let mut facts = storm_of(100);
        fail(&mut facts, Step::Control, cause, count, Duration::from_secs(1));
        facts.books.ports.entry(Flow::FtpControl).or_default().stood = 100;
        facts.books.sessions.most = 20;
        facts
    }

    #[test]
    fn a_421_is_the_servers_own_limit_and_not_the_range() {
        let mut facts = controls(Cause::TurnedAway, 80);
        fail(
            &mut facts,
            Step::Passive,
            Cause::NoPassivePort,
            3,
            Duration::from_secs(2),
        );
        let judgement = judge(&facts);
        let ids: Vec<FindingId> = judgement.findings.iter().map(|finding| finding.id).collect();
        assert_eq!(
            ids,
            [ServerConnectionLimit, FindingId::PassiveRangeExhausted],
            "in the order of time"
        );
        assert_eq!(judgement.findings[0].confidence, Confidence::Certain);
        assert_eq!((judgement.sum.unwrap().counted), 20);
    }

    #[test]
    fn who_has_accepted_what_is_closed_decides_whose_limit_it_is() {
        let mut facts = controls(Cause::Reset, 80);
        assert_eq!(judge(&facts).findings[0].confidence, Confidence::Possible);
        facts.witness.unnamed = Some(80);
        assert_eq!(judge(&facts).findings[0].id, ServerConnectionLimit);
        facts.witness.unnamed = Some(0);
        assert_eq!(judge(&facts).findings[0].id, ConnectionLimit);
    }

    #[test]
    fn a_server_that_dies_or_loses_a_few_connections_has_no_limit() {
        let mut facts = controls(Cause::Reset, 80);
        for flow in [Flow::Version, Flow::FtpControl] {
            let book = facts.books.ports.entry(flow).or_default();
            book.did_not(1, Duration::from_secs(1), Cause::Refused, 0);
        }
        assert_eq!(judge(&facts).findings, []);
        assert_eq!(judge(&controls(Cause::Reset, 2)).findings, []);
    }

    #[test]
    fn who_is_never_greeted_waits_for_a_server_without_files() {
        let finding = &judge(&controls(Cause::Silent, 60)).findings[0];
        assert_eq!(
            (finding.id, finding.confidence),
            (ServerConnectionLimit, Confidence::Possible)
        );
        assert_eq!(judge(&controls(Cause::Silent, 9)).findings, []);
    }
}
