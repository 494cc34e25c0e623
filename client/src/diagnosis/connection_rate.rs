//! Connections that come too fast are dropped: `connection-rate-limit`. Holes in a sweep that let a connection through when
//! they are dialled again one by one are none; few of them are lost packets, many are a limit.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Outcome;

use super::facts::Facts;
use super::{Diagnosis, list, passive_range};

/// A path that loses a quarter of its packets leaves one hole in a hundred after two rounds of three SYNs each.
const MANY: f64 = 0.1;

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    if facts.expected(Flow::FtpPassive) != Expected::Open || !passive_range::holes_are_untrue(facts) {
        return Vec::new();
    }
    let passive = &facts.seen.passive;
    let (tried, again) = (passive.ports.len(), &passive.again);
    let silent = passive
        .ports
        .iter()
        .filter(|port| port.attempt.outcome == Outcome::Timeout)
        .count();
    let limited = silent as f64 >= tried as f64 * MANY;
    let evidence = vec![
        format!("{silent} of {tried} ports dialled within a moment stayed silent"),
        format!(
            "TCP {}, dialled again one by one and more than a second apart, let the connection through",
            list(again.iter().map(|port| port.port))
        ),
    ];
    let finding = if limited {
        Finding {
            id: FindingId::ConnectionRateLimit,
            severity: Severity::Error,
            confidence: Confidence::Likely,
            flow: Flow::FtpPassive,
            summary: format!(
                "a firewall limits how fast new connections to the passive range may come: {silent} of {tried} were dropped"
            ),
            place: Place::ServerFirewall,
            evidence,
            remedy: format!(
                "raise the limit on new connections to tcp dport {{ {} }} at {}: {} clients that update at once need several each (nft: limit rate, iptables: -m limit, hashlimit, recent; SYN flood protection)",
                passive.planned,
                passive_range::inside_address(facts),
                facts.estate.clients
            ),
            alternatives: vec![
                FindingId::ConnectionLimit,
                FindingId::StateTableFull,
                FindingId::PacketLoss,
            ],
        }
    } else {
        Finding {
            id: FindingId::PacketLoss,
            severity: Severity::Warning,
            confidence: Confidence::Possible,
            flow: Flow::FtpPassive,
            summary: format!("{silent} of {tried} connection attempts got lost"),
            place: Place::Path,
            evidence,
            remedy: "look for a line or an interface on the way that loses packets (duplex, cable, radio, overload)"
                .to_owned(),
            alternatives: vec![FindingId::ConnectionRateLimit],
        }
    };
    vec![Diagnosis {
        finding,
        explains: vec![Flow::FtpPassive],
    }]
}
