//! What comes faster than a rate is dropped: `throughput-policed`.
//!
//! The same file, over two ports of the same server: if one of them is many times slower, no line is. Where both are slow,
//! only a path that loses nothing as long as little is sent, and much when much is, has a limit of that kind.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};

use super::super::Diagnosis;
use super::super::facts::Facts;
use crate::observation::endurance::Speed;
use FindingId::{PacketLoss, ThroughputPoliced};

/// How many times slower one of two ports has to be.
const SLOWER: u64 = 4;

/// Below this, bytes a second, one wants to know why.
const SLOW: u64 = 1_000_000;

/// A rate is seen in no less than this, milliseconds.
const LONG_ENOUGH: u64 = 1000;

/// What a segment carries, about.
const SEGMENT: u64 = 1400;

pub(in super::super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let explains = Vec::new();
    limited(facts)
        .map(|finding| Diagnosis { finding, explains })
        .into_iter()
        .collect()
}

/// Whether a finding says no more than that a sweep of the range, which is a lot at once, lost some.
pub(in super::super) fn explains(facts: &Facts, finding: &Finding) -> bool {
    let of_sweep = matches!(finding.id, PacketLoss | FindingId::ConnectionRateLimit);
    of_sweep && finding.flow == Flow::FtpPassive && limited(facts).is_some_and(|limit| limit.flow == Flow::FtpPassive)
}

fn limited(facts: &Facts) -> Option<Finding> {
    let of = |flow| {
        facts
            .seen
            .endurance
            .speed
            .iter()
            .find(|speed| speed.flow == flow && speed.in_order)
    };
    let (Some(ftp), Some(http)) = (of(Flow::FtpPassive), of(Flow::Http)) else {
        return None;
    };
    let (slow, fast) = if rate(ftp) <= rate(http) {
        (ftp, http)
    } else {
        (http, ftp)
    };
    if facts.expected(slow.flow) != Expected::Open || slow.elapsed_ms < LONG_ENOUGH || rate(slow) > SLOW {
        return None;
    }
    if rate(slow) * SLOWER <= rate(fast) {
        Some(one_of_two(facts, slow, fast))
    } else if sends_again(slow) && sends_again(fast) && loses_nothing_else(facts) {
        Some(both(facts, slow, fast))
    } else {
        None
    }
}

/// Bytes a second.
fn rate(speed: &Speed) -> u64 {
    speed.bytes * 1000 / speed.elapsed_ms.max(1)
}

/// Whether more than a segment in fifty was lost; `None` where nobody counted.
fn drops(speed: &Speed) -> Option<bool> {
    let lost = speed.sent_again.or(speed.out_of_order)?;
    Some(lost * 50 > speed.bytes / SEGMENT)
}

fn sends_again(speed: &Speed) -> bool {
    drops(speed) == Some(true)
}

/// Whether many small conversations at once lost nothing.
fn loses_nothing_else(facts: &Facts) -> bool {
    let crowd = facts.seen.endurance.crowd.as_ref();
    crowd.is_some_and(|crowd| {
        crowd.late() == 0 && !crowd.shaken() && crowd.together.iter().all(|member| member.served())
    })
}

fn one_of_two(facts: &Facts, slow: &Speed, fast: &Speed) -> Finding {
    let dropped = drops(slow);
    let what = match dropped {
        Some(true) => "what comes faster is dropped",
        _ => "what comes faster is held back",
    };
    Finding {
        id: ThroughputPoliced,
        severity: Severity::Warning,
        confidence: if dropped == Some(true) {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        flow: slow.flow,
        summary: format!(
            "downloads from {} are limited to about {}: {what}, while {} is {} times as fast",
            ports(facts, slow),
            in_words(rate(slow)),
            ports(facts, fast),
            rate(fast) / rate(slow).max(1)
        ),
        place: Place::Path,
        evidence: vec![evidence(slow), evidence(fast)],
        remedy: remedy(facts, &[slow]),
        alternatives: if dropped == Some(true) {
            Vec::new()
        } else {
            vec![PacketLoss]
        },
    }
}

fn both(facts: &Facts, slow: &Speed, fast: &Speed) -> Finding {
    Finding {
        id: ThroughputPoliced,
        severity: Severity::Warning,
        confidence: Confidence::Likely,
        flow: slow.flow,
        summary: format!(
            "downloads are limited to about {}: what comes faster is dropped, while many small conversations at once lose nothing",
            in_words(rate(fast))
        ),
        place: Place::Path,
        evidence: vec![evidence(slow), evidence(fast)],
        remedy: remedy(facts, &[slow, fast]),
        alternatives: vec![PacketLoss],
    }
}

fn evidence(speed: &Speed) -> String {
    let mut line = format!(
        "{} from TCP {}: {} bytes in {:.1} s, {}",
        speed.path,
        speed.from.port(),
        speed.bytes,
        speed.elapsed_ms as f64 / 1000.0,
        in_words(rate(speed))
    );
    if let Some(count) = speed.sent_again {
        line.push_str(&format!("; the server's host sent {count} segments again"));
    }
    if let Some(count) = speed.out_of_order {
        line.push_str(&format!("; {count} segments arrived behind one that was missing"));
    }
    line
}

fn ports(facts: &Facts, speed: &Speed) -> String {
    match speed.flow {
        Flow::FtpPassive => format!("the passive range {}", facts.seen.passive.planned),
        _ => format!("TCP {}", speed.from.port()),
    }
}

fn remedy(facts: &Facts, slow: &[&Speed]) -> String {
    let sports: Vec<String> = slow
        .iter()
        .map(|speed| match speed.flow {
            Flow::FtpPassive => facts.seen.passive.planned.to_string(),
            _ => speed.from.port().to_string(),
        })
        .collect();
    format!(
        "look for a policer, a QoS class or a rate limit for tcp sport {{ {} }} (nft: limit rate over, tc: police, routers: rate-limit, CAR), and raise it or take it away: {} clients may download at once",
        sports.join(","),
        facts.estate.clients
    )
}

/// "52 kB/s".
fn in_words(rate: u64) -> String {
    match rate {
        0..10_000 => format!("{rate} B/s"),
        10_000..10_000_000 => format!("{} kB/s", rate / 1000),
        _ => format!("{} MB/s", rate / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::*;
    use super::super::testing::*;
    use super::*;
    use crate::observation::Observations;

    fn speed(flow: Flow, bytes: u64, elapsed_ms: u64, out_of_order: Option<u64>) -> Speed {
        Speed {
            flow,
            from: at(if flow == Flow::Http { 2221 } else { 3100 }),
            path: "/signatures/main.db".to_owned(),
            bytes,
            elapsed_ms,
            steps: Vec::new(),
            in_order: true,
            out_of_order,
            sent_again: None,
        }
    }

    fn with(ftp: Speed, http: Speed) -> Observations {
        let mut seen = healthy();
        seen.endurance.speed = vec![ftp, http];
        seen
    }

    #[test]
    fn one_port_that_is_slow_and_loses_is_policed() {
        let seen = with(
            speed(Flow::FtpPassive, 150_000, 3000, Some(20)),
            speed(Flow::Http, 1_000_000, 20, Some(0)),
        );
        let report = report_of(&seen);
        assert_eq!(ids(&report), [ThroughputPoliced]);
        assert_eq!(
            (report.findings[0].severity, report.findings[0].confidence),
            (Severity::Warning, Confidence::Certain)
        );
        assert!(report.findings[0].remedy.contains("3023-3332,3334-4022"));
    }

    #[test]
    fn a_slow_line_is_slow_on_both() {
        let slow = |flow| speed(flow, 150_000, 3000, Some(0));
        assert_eq!(ids(&report_of(&with(slow(Flow::FtpPassive), slow(Flow::Http)))), []);
    }

    #[test]
    fn what_loses_only_when_much_is_sent_is_policed_as_a_whole() {
        let slow = |flow| speed(flow, 150_000, 3000, Some(20));
        let mut seen = with(slow(Flow::FtpPassive), slow(Flow::Http));
        assert_eq!(ids(&report_of(&seen)), [], "it may lose everywhere");
        seen.endurance.crowd = Some(crowd(24, |_| served_member()));
        assert_eq!(ids(&report_of(&seen)), [ThroughputPoliced]);
        assert_eq!(report_of(&seen).findings[0].alternatives, [PacketLoss]);
    }

    #[test]
    fn a_file_that_came_at_once_or_not_at_all_tells_nothing() {
        let fast = speed(Flow::Http, 1_000_000, 2, Some(0));
        assert_eq!(
            ids(&report_of(&with(
                speed(Flow::FtpPassive, 1_000_000, 900, Some(9)),
                fast.clone()
            ))),
            []
        );
        let stalled = Speed {
            in_order: false,
            ..speed(Flow::FtpPassive, 100, 3000, Some(9))
        };
        assert_eq!(ids(&report_of(&with(stalled, fast))), []);
    }
}
