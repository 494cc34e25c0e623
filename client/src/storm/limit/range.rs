//! The server has no passive port for so many: `passive-range-exhausted`, or `passive-port-busy`.

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::lint::sizing::Sizing;
use fwdrill_protocol::storm::{Cause, Step, Sum};

use super::Limit;
use crate::storm::facts::Facts;

pub(super) fn check(facts: &Facts) -> Option<Limit> {
    let refused = facts.failures(Step::Passive, Cause::NoPassivePort)?;
    let (first, range) = (&refused.first, facts.range());
    // Who cannot connect to its port keeps it until the server's patience is over: then the range is no cause.
    let data = facts.books.ports.get(&Flow::FtpPassive).and_then(|book| book.first);
    if data.is_some_and(|data| data.began < first.began) {
        return None;
    }
    let sum = sum(facts, &range);
    let book = &facts.books.passive;
    let mut evidence = Vec::new();
    if let Some(refusal) = &book.first_refusal {
        evidence.push(format!(
            "the server says \"{}\" to {} requests, the first {:.1} s after the storm began: {} agents had asked for a port and were not connected to it",
            refusal.words,
            refused.count,
            first.began.as_secs_f64(),
            refusal.waiting
        ));
    }
    let (asked, noted) = facts.witness.refused;
    if noted > 0 {
        evidence.push(format!(
            "asked about {asked} of these agents, the server notes for {noted} that no port of {range} was free"
        ));
    } else if asked > 0 {
        evidence.push(format!(
            "asked about {asked} of these agents, the server notes for none that its range was used up: something else kept it from listening (out of files? its log tells)"
        ));
    }
    evidence.push(format!("the sum: {}", sum.text));
    let held: Option<PortSet> =
        (facts.witness.taken.as_ref()).map(|taken| taken.iter().filter(|port| range.contains(*port)).collect());
    let nobody_else = held.as_ref().is_some_and(PortSet::is_empty);
    let busy = held
        .as_ref()
        .filter(|held| !held.is_empty() && held.len() * 2 >= range.len());
    let (id, place, confidence, alternatives, summary, remedy) = match busy {
        Some(held) => (
            FindingId::PassivePortBusy,
            Place::ServerHost,
            Confidence::Likely,
            vec![FindingId::PassiveRangeExhausted],
            format!(
                "another program on the server's host holds the passive port {held}, and the others are not enough"
            ),
            format!("move the program that listens on TCP {held} of the server's host (ss -ltnp), or the range"),
        ),
        None => (
            FindingId::PassiveRangeExhausted,
            Place::Server,
            match (noted > 0, nobody_else) {
                (true, true) => Confidence::Certain,
                (true, false) => Confidence::Likely,
                (false, _) => Confidence::Possible,
            },
            match noted > 0 && nobody_else {
                true => vec![],
                false => vec![FindingId::PassivePortBusy],
            },
            format!(
                "the passive range {range} ({} ports) is too small for {} clients that update at once",
                range.len(),
                facts.storm.clients
            ),
            format!(
                "give the server more ports than {} (NoofPassivePorts, ftp.passive_ports) and open them on the firewalls: {} is safe; or have the clients come over a longer time",
                sum.needed
                    .map_or(0, |needed| needed.ceil() as u64)
                    .max(book.most)
                    .max(range.len() as u64),
                Sizing::of(facts.storm.clients)
            ),
        ),
    };
    Some(Limit {
        began: first.began,
        finding: Finding {
            id,
            severity: Severity::Error,
            confidence,
            flow: Flow::FtpPassive,
            summary,
            place,
            evidence,
            remedy,
            alternatives,
        },
        sum,
    })
}

/// Ports needed at once = requests a second x the time a port is held.
fn sum(facts: &Facts, range: &PortSet) -> Sum {
    let book = &facts.books.passive;
    let (per_second, counted) = (book.per_second(), book.most);
    let by_server = facts.witness.held_s();
    let held = by_server.or_else(|| book.held_s());
    let needed = held.map(|held| per_second * held);
    let text = match (held, needed) {
        (Some(held), Some(needed)) => format!(
            "{per_second:.0} ports asked for a second, at the busiest, x {held:.3} s that one is held ({}) = {needed:.0} ports at once; counted: {counted} at the most; the range has {}",
            if by_server.is_some() {
                "by the server's clock"
            } else {
                "from the request to the connection"
            },
            range.len()
        ),
        _ => format!("{counted} ports were asked for at once; the range has {}", range.len()),
    };
    Sum {
        text,
        per_second: Some(per_second),
        held_s: held,
        needed,
        counted,
        available: Some(range.len() as u64),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fwdrill_protocol::report::Verdict;

    use super::super::judge;
    use super::super::testing::*;
    use super::*;

    #[test]
    fn a_refusal_that_the_server_notes_is_its_range_and_the_sum_has_the_measured_numbers() {
        let mut facts = refused_ports(40);
        facts.witness.refused = (8, 8);
        facts.witness.taken = Some(PortSet::default());
        facts.witness.held = vec![Duration::from_millis(200), Duration::from_millis(400)];
        let judgement = judge(&facts);
        let finding = &judgement.findings[0];
        assert_eq!(
            (finding.id, finding.confidence, finding.alternatives.len()),
            (FindingId::PassiveRangeExhausted, Confidence::Certain, 0)
        );
        let sum = judgement.sum.unwrap();
        assert_eq!(
            (sum.per_second, sum.available, sum.counted),
            (Some(400.0), Some(50), 40)
        );
        assert_eq!(sum.held_s, Some(0.3));
        assert_eq!(sum.needed, Some(120.0));
        assert!(
            sum.text.contains("400 ports asked for a second") && sum.text.contains("= 120 ports"),
            "{}",
            sum.text
        );
        assert!(
            finding.remedy.contains("100 clients x (1 port held"),
            "{}",
            finding.remedy
        );
    }

    #[test]
    fn the_client_alone_and_a_server_that_notes_nothing_are_less_sure() {
        let mut facts = refused_ports(40);
        let confidence = |facts: &Facts| judge(facts).findings[0].confidence;
        assert_eq!(confidence(&facts), Confidence::Possible);
        facts.witness.refused = (8, 0);
        assert_eq!(confidence(&facts), Confidence::Possible);
        assert!(
            judge(&facts).findings[0]
                .evidence
                .iter()
                .any(|line| line.contains("for none"))
        );
        facts.witness.refused = (8, 3);
        assert_eq!(confidence(&facts), Confidence::Likely);
        facts.witness.taken = Some("3023-3060".parse().unwrap());
        assert_eq!(judge(&facts).findings[0].id, FindingId::PassivePortBusy);
    }

    #[test]
    fn a_range_that_is_held_by_who_cannot_connect_is_a_consequence() {
        let mut facts = refused_ports(40);
        let book = facts.books.ports.entry(Flow::FtpPassive).or_default();
        book.did_not(3030, Duration::from_millis(10), Cause::Timeout, 0);
        let judgement = judge(&facts);
        assert_eq!(judgement.findings, []);
        assert_eq!(judgement.verdict, Verdict::Fail);
    }

    #[test]
    fn what_comes_after_this_machine_had_no_room_is_not_blamed_on_the_server() {
        let mut facts = refused_ports(40);
        fail(&mut facts, Step::Data, Cause::OwnFiles, 5, Duration::from_millis(10));
        let judgement = judge(&facts);
        assert_eq!(
            (judgement.verdict, judgement.findings.len()),
            (Verdict::Inconclusive, 0)
        );
        let mut facts = refused_ports(40);
        fail(&mut facts, Step::Data, Cause::OwnFiles, 5, Duration::from_secs(10));
        let judgement = judge(&facts);
        assert_eq!((judgement.verdict, judgement.findings.len()), (Verdict::Fail, 1));
    }
}
