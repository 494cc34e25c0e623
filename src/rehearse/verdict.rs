//! Found against expected.

use fwdrill_protocol::finding::{Finding, FindingId, Severity};
use fwdrill_protocol::report::{Report, Verdict};

use super::lab::Ends;
use super::scenario::Scenario;

/// How a scenario ended, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Judgement {
    /// As expected.
    Right,
    /// Not as expected, and the scenario says why.
    Gap,
    /// Could not be carried out: neither right nor wrong.
    Undone,
    /// As expected, although the scenario still names a gap: that line has to go.
    GapClosed,
    /// Not as expected.
    Wrong,
}

impl Judgement {
    /// One word for a table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Judgement::Right => "right",
            Judgement::Wrong => "wrong",
            Judgement::Gap => "gap",
            Judgement::GapClosed => "gap closed",
            Judgement::Undone => "not done",
        }
    }
}

/// What does not hold of one report; empty when all does.
pub(crate) fn mismatches(scenario: &Scenario, report: &Report, ends: Ends) -> Vec<String> {
    let findings = serious(report);
    let found: Vec<FindingId> = findings.iter().map(|finding| finding.id).collect();
    let mut mismatches = Vec::new();
    let exact = match ends {
        Ends::Both => Some(&scenario.expect),
        Ends::ClientAlone => scenario
            .expect_alone
            .as_ref()
            .or(scenario.expect.is_empty().then_some(&scenario.expect)),
    };
    match exact {
        Some(expected) => mismatches.extend(differences(expected, &scenario.also_allowed, &found)),
        None => mismatches.extend(cause_missing(scenario.expect.first().copied(), &findings)),
    }
    if scenario.expect.is_empty() && found.is_empty() && report.verdict != Verdict::Pass {
        mismatches.push(format!("a healthy path, but the verdict is {}", report.verdict.name()));
    }
    if ends == Ends::Both {
        mismatches.extend(details(scenario, findings.first().copied()));
    }
    mismatches
}

/// Found in the order of the report, each once: what counts as an alarm.
pub(crate) fn serious(report: &Report) -> Vec<&Finding> {
    let mut findings: Vec<&Finding> = Vec::new();
    for finding in report
        .findings
        .iter()
        .filter(|finding| finding.severity != Severity::Info)
    {
        if findings.iter().all(|known| known.id != finding.id) {
            findings.push(finding);
        }
    }
    findings
}

/// Ids in a row, for people.
pub(crate) fn list(ids: impl IntoIterator<Item = FindingId>) -> String {
    let names: Vec<&str> = ids.into_iter().map(FindingId::name).collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

/// Nothing is missing, nothing comes that is not allowed, and what is expected comes first. Of two faults that have
/// nothing to do with each other either one may.
fn differences(expected: &[FindingId], allowed: &[FindingId], found: &[FindingId]) -> Option<String> {
    let missing = expected.iter().any(|id| !found.contains(id));
    let unexpected = found.iter().any(|id| !expected.contains(id) && !allowed.contains(id));
    let late = !expected.is_empty() && found.first().is_some_and(|first| !expected.contains(first));
    (missing || unexpected || late).then(|| {
        let (expected, found) = (list(expected.iter().copied()), list(found.iter().copied()));
        format!("expected {expected}; found {found}")
    })
}

/// With one end only the cause may be one of several explanations, but it must be among them.
fn cause_missing(cause: Option<FindingId>, findings: &[&Finding]) -> Option<String> {
    let cause = cause?;
    let first = findings.first();
    let named = first.is_some_and(|first| first.id == cause || first.alternatives.contains(&cause));
    (!named).then(|| {
        let found = list(findings.iter().map(|finding| finding.id));
        format!(
            "expected {}, or a finding that has it as an alternative; found {found}",
            cause.name()
        )
    })
}

fn details(scenario: &Scenario, first: Option<&Finding>) -> Vec<String> {
    let Some(first) = first else { return Vec::new() };
    let mut mismatches = Vec::new();
    if let Some(place) = scenario.expect_where.filter(|place| *place != first.place) {
        mismatches.push(format!(
            "expected it at {}; found it at {}",
            place.title(),
            first.place.title()
        ));
    }
    for word in &scenario.remedy_mentions {
        if !first.remedy.contains(word.as_str()) {
            mismatches.push(format!("the remedy does not mention \"{word}\": {}", first.remedy));
        }
    }
    mismatches
}

#[cfg(test)]
mod tests {
    use super::FindingId::{ControlIdleTimeout, PacketLoss, PortDropped, PortRejected, ReturnPathBroken};
    use super::*;

    #[test]
    fn what_is_expected_comes_first_and_nothing_comes_besides_what_is_allowed() {
        let right = |expected: &[FindingId], allowed: &[FindingId], found: &[FindingId]| {
            differences(expected, allowed, found).is_none()
        };
        assert!(right(&[], &[], &[]));
        assert!(right(&[PortDropped], &[], &[PortDropped]));
        assert!(
            right(&[PortDropped, PacketLoss], &[], &[PacketLoss, PortDropped]),
            "two faults"
        );
        assert!(right(&[PortDropped], &[PacketLoss], &[PortDropped, PacketLoss]));
        assert!(right(&[], &[PacketLoss], &[PacketLoss]));
        assert!(
            !right(&[PortDropped], &[PacketLoss], &[PacketLoss, PortDropped]),
            "not first"
        );
        assert!(!right(&[PortDropped], &[], &[]), "missing");
        assert!(!right(&[], &[], &[PacketLoss]), "false alarm");
        assert!(
            !right(&[PortDropped], &[], &[PortDropped, ControlIdleTimeout]),
            "besides"
        );
    }

    #[test]
    fn a_client_alone_may_leave_the_cause_among_the_alternatives_of_the_first_finding() {
        let finding = |id, alternatives| Finding {
            id,
            severity: Severity::Error,
            confidence: fwdrill_protocol::finding::Confidence::Likely,
            flow: fwdrill_protocol::flow::Flow::FtpControl,
            summary: String::new(),
            place: fwdrill_protocol::finding::Place::Unknown,
            evidence: Vec::new(),
            remedy: String::new(),
            alternatives,
        };
        let (sure, open) = (
            finding(PortDropped, Vec::new()),
            finding(PortDropped, vec![ReturnPathBroken]),
        );
        assert!(cause_missing(Some(PortDropped), &[&sure]).is_none());
        assert!(cause_missing(Some(ReturnPathBroken), &[&open]).is_none());
        assert!(cause_missing(Some(ReturnPathBroken), &[&sure]).is_some());
        assert!(cause_missing(Some(PortRejected), &[]).is_some());
    }
}
