//! Some ports of the range let connections through and some do not: `passive-range-partial`.

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Severity};
use fwdrill_protocol::flow::Flow;

use super::super::facts::Facts;
use super::ports;

pub(super) fn finding(facts: &Facts, open: &PortSet, blocked: &PortSet) -> Finding {
    let planned = &facts.seen.passive.planned;
    let gap = planned.without(open);
    let all_tried = planned.without(&open.iter().chain(blocked.iter()).collect()).is_empty();
    let exact = if all_tried {
        format!("{blocked}")
    } else {
        format!("at least {blocked}")
    };
    let cause = super::cause(facts, blocked);
    let mut evidence = ports::evidence(facts, blocked);
    let swept = facts.seen.passive.swept;
    let answered = ports::open(facts).is_empty();
    evidence.push(if answered {
        format!("TCP {open} answers with a RST: nothing listens there, but nobody stops the SYN either")
    } else {
        format!("a connection came through on {open}")
    });
    let again = &facts.seen.passive.again;
    if !again.is_empty() {
        let tried: PortSet = again.iter().map(|tried| tried.port).collect();
        evidence.push(format!(
            "dialled again, one per second: {tried} let nothing through either"
        ));
    }
    evidence.extend(cause.evidence);
    Finding {
        id: FindingId::PassiveRangePartial,
        severity: Severity::Error,
        confidence: if swept { Confidence::Certain } else { Confidence::Likely },
        flow: Flow::FtpPassive,
        summary: format!("part of the passive range is blocked ({exact}): downloads work or fail by chance"),
        place: cause.place,
        evidence,
        remedy: format!(
            "accept tcp dport {{ {} }} to {} as a whole in the forward chain{}",
            facts.renumbering().all_listened(planned),
            super::inside_address(facts),
            if all_tried {
                String::new()
            } else {
                format!("; not known yet: {} (probe with --full-range)", gap.without(blocked))
            }
        ),
        alternatives: if swept {
            Vec::new()
        } else {
            vec![
                FindingId::PassiveRangeShifted,
                FindingId::PacketLoss,
                FindingId::ConnectionLimit,
                FindingId::ConnectionRateLimit,
            ]
        },
    }
}
