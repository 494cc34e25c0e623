//! The name has addresses of both families, and one of them does not work: `ipv6-blocked`, `ipv4-blocked`,
//! `ipv6-not-listening`.

use std::net::IpAddr;

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Outcome;

use super::facts::Facts;
use super::{Diagnosis, list};
use crate::observation::Attempt;

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let Some(other) = &facts.seen.path.other_family else {
        return Vec::new();
    };
    let pairs: Vec<(Flow, &Attempt, &Attempt)> = other
        .attempts
        .iter()
        .filter(|(flow, _)| facts.expected(**flow) == Expected::Open)
        .filter_map(|(flow, there)| Some((*flow, facts.attempt(*flow)?, there)))
        .collect();
    let lost: Vec<&(Flow, &Attempt, &Attempt)> = pairs
        .iter()
        .filter(|(_, here, there)| here.stood() && !there.stood() && there.outcome != Outcome::CheckFailed)
        .collect();
    let Some((first, _, _)) = lost.first() else {
        return Vec::new();
    };
    let refused = lost.iter().all(|(_, _, there)| there.outcome == Outcome::Refused);
    let arrives = pairs
        .iter()
        .any(|(_, _, there)| there.stood() || there.outcome == Outcome::Refused);
    let (id, place) = match other.address {
        IpAddr::V6(_) if refused => (FindingId::Ipv6NotListening, Place::Server),
        IpAddr::V6(_) => (FindingId::Ipv6Blocked, Place::ServerFirewall),
        IpAddr::V4(_) => (FindingId::Ipv4Blocked, Place::ServerFirewall),
    };
    let (family, works) = match other.address {
        IpAddr::V6(_) => ("IPv6", "IPv4"),
        IpAddr::V4(_) => ("IPv4", "IPv6"),
    };
    let ports = list(lost.iter().map(|(_, _, there)| there.to.port()));
    let set = lost
        .iter()
        .map(|(_, _, there)| there.to.port())
        .collect::<fwdrill_protocol::estate::port_set::PortSet>();
    let (target, address) = (&facts.seen.target, other.address);
    let what = if refused { "refused" } else { "blocked" };
    let mut alternatives = match id {
        FindingId::Ipv6NotListening => vec![FindingId::Ipv6Blocked],
        FindingId::Ipv6Blocked => vec![FindingId::NoRoute, FindingId::ServerHostBlocked],
        _ => vec![FindingId::SourceBlocked, FindingId::ServerHostBlocked],
    };
    // The server says at which addresses it listens: "::" is both families.
    let says_not = lost.iter().all(|(flow, _, _)| {
        facts
            .server()
            .and_then(|server| server.listening.get(flow))
            .is_some_and(|at| at.is_ipv4())
    });
    let sure = id == FindingId::Ipv6NotListening && says_not;
    if sure {
        alternatives.clear();
    }
    let evidence = vec![
        format!(
            "{target} has the addresses {} and {address}",
            facts.address().map_or_else(String::new, |it| it.to_string())
        ),
        format!(
            "over {family}, {}",
            list(
                lost.iter()
                    .map(|(_, _, there)| format!("TCP {} is {}", there.to.port(), there.outcome.name()))
            )
        ),
        format!("over {works}, the same ports are open"),
        if says_not {
            "the server listens on IPv4 addresses only".to_owned()
        } else {
            format!(
                "other ports answer over {family}: {}",
                if arrives { "yes" } else { "no" }
            )
        },
    ];
    let remedy = match id {
        FindingId::Ipv6NotListening => format!(
            "let the service on TCP {ports} listen on IPv6 as well (server.bind = \"::\"), or take {address} (AAAA) out of the DNS"
        ),
        _ => format!(
            "accept tcp dport {{ {set} }} to {address} in the forward chain for {family} as for {works}, or take {address} out of the DNS"
        ),
    };
    vec![Diagnosis {
        finding: Finding {
            id,
            severity: Severity::Error,
            confidence: if sure { Confidence::Certain } else { Confidence::Likely },
            flow: *first,
            summary: format!(
                "TCP {ports} of {target} {} {what} over {family}, while {works} works: clients that prefer {family} are late or fail",
                if lost.len() == 1 { "is" } else { "are" }
            ),
            place,
            evidence,
            remedy,
            alternatives,
        },
        explains: Vec::new(),
    }]
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::observation::path::OtherFamily;
    use crate::observation::{EvidenceFetch, Observations};

    const V6: &str = "2001:db8:20::10";

    /// The other family's address, where all services end so but for these.
    fn beside(address: &str, outcome: Outcome, but: &[(Flow, Outcome)]) -> Observations {
        let mut seen = healthy();
        let address: IpAddr = address.parse().unwrap();
        let wanted = seen.attempts.iter().filter(|(_, attempt)| attempt.stood());
        let attempts = wanted.map(|(flow, here)| {
            let own = but.iter().find(|(other, _)| other == flow);
            let outcome = own.map_or(outcome, |(_, outcome)| *outcome);
            (*flow, attempt((address, here.to.port()).into(), outcome))
        });
        seen.path.other_family = Some(OtherFamily {
            address,
            attempts: attempts.collect(),
        });
        seen
    }

    fn found(seen: &Observations) -> Vec<(FindingId, Confidence)> {
        let findings = report_of(seen).findings;
        findings
            .iter()
            .map(|finding| (finding.id, finding.confidence))
            .collect()
    }

    #[test]
    fn a_family_on_which_nothing_answers_while_the_other_works_is_blocked() {
        let seen = beside(V6, Outcome::Timeout, &[]);
        assert_eq!(found(&seen), [(FindingId::Ipv6Blocked, Confidence::Likely)]);
        let seen = beside("192.0.2.9", Outcome::Timeout, &[]);
        assert_eq!(found(&seen), [(FindingId::Ipv4Blocked, Confidence::Likely)]);
    }

    #[test]
    fn refusals_over_ipv6_are_a_listener_that_is_missing_and_the_servers_word_makes_it_certain() {
        // The default estate's server says that it listens on 0.0.0.0.
        let seen = beside(V6, Outcome::Refused, &[]);
        assert_eq!(found(&seen), [(FindingId::Ipv6NotListening, Confidence::Certain)]);
        let mut alone = seen.clone();
        alone.evidence = EvidenceFetch::NotAsked;
        let report = report_of(&alone);
        assert_eq!(found(&alone), [(FindingId::Ipv6NotListening, Confidence::Likely)]);
        assert_eq!(report.findings[0].alternatives, [FindingId::Ipv6Blocked]);
    }

    #[test]
    fn one_service_that_is_blocked_is_named_and_the_others_are_not() {
        let seen = beside(V6, Outcome::Open, &[(Flow::Events, Outcome::Timeout)]);
        let report = report_of(&seen);
        assert_eq!(found(&seen), [(FindingId::Ipv6Blocked, Confidence::Likely)]);
        assert!(
            report.findings[0].summary.contains("TCP 2225 of"),
            "{}",
            report.findings[0].summary
        );
    }

    #[test]
    fn families_that_both_work_or_both_fail_are_no_matter_of_the_family() {
        assert_eq!(found(&beside(V6, Outcome::Open, &[])), []);
        let mut both = beside(V6, Outcome::Timeout, &[]);
        for attempt in both.attempts.values_mut() {
            attempt.outcome = Outcome::Timeout;
        }
        assert!(found(&both).iter().all(|(id, _)| *id != FindingId::Ipv6Blocked));
    }

    #[test]
    fn a_check_that_failed_or_was_not_made_says_nothing() {
        assert_eq!(found(&beside(V6, Outcome::CheckFailed, &[])), []);
        let mut seen = beside(V6, Outcome::Timeout, &[]);
        seen.path.other_family.as_mut().unwrap().attempts.clear();
        assert_eq!(found(&seen), []);
    }
}
