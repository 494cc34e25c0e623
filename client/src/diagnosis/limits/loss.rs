//! Packets are lost at random: `packet-loss`. New connections and those that stand suffer alike, so handshakes are late by a
//! second and greetings by a fifth of one. No limit on connections does that.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Outcome;

use super::super::facts::Facts;
use super::super::{Diagnosis, list};
use crate::observation::Attempt;
use crate::observation::endurance::Crowd;

pub(in super::super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let Some((crowd, handshakes)) = lossy(facts) else {
        return Vec::new();
    };
    let dialled = || crowd.together.iter().chain(&crowd.again);
    let dropped = dialled().filter(|member| !member.attempt.stood()).count();
    let mut evidence = vec![format!(
        "of {} connections to TCP {} dialled at once {} needed another SYN, and {dropped} got no answer at all",
        dialled().count(),
        crowd.to.port(),
        crowd.late_in_all()
    )];
    evidence.push(
        "greetings on connections that stood were late as well, by the time after which a lost segment is sent again"
            .to_owned(),
    );
    let sent_again = crowd.counted.map(|counted| counted.sent_again);
    if let Some(count) = sent_again {
        evidence.push(format!("the server's host sent {count} segments again meanwhile"));
    }
    let silent = facts.seen.attempts.iter().filter(|(flow, attempt)| {
        facts.expected(**flow) == Expected::Open && attempt.outcome == Outcome::Timeout && fell_silent(facts, **flow)
    });
    let silent: Vec<u16> = silent.map(|(_, attempt)| attempt.to.port()).collect();
    if !silent.is_empty() {
        evidence.push(format!(
            "TCP {} had no answer in time, which lost packets explain",
            list(silent)
        ));
    }
    // A handshake is late if one of two packets is lost.
    let share = 100.0 * (1.0 - (1.0 - handshakes / 100.0).sqrt());
    let finding = Finding {
        id: FindingId::PacketLoss,
        severity: Severity::Warning,
        confidence: if sent_again.is_some() {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        flow: Flow::FtpControl,
        summary: format!(
            "the path loses packets, about {share:.0} of a hundred: everything is slow, and some of it fails"
        ),
        place: Place::Path,
        evidence,
        remedy: format!(
            "look for a line or an interface on the way to {} that loses packets (duplex, cable, radio, overload): errors and drops in `ip -s link`, loss by hop in mtr",
            facts.seen.target
        ),
        // Who is slow to greet, and has a limit on new connections, looks the same to a client that cannot ask the server.
        alternatives: match sent_again {
            Some(_) => Vec::new(),
            None => vec![FindingId::ConnectionRateLimit],
        },
    };
    vec![Diagnosis {
        finding,
        explains: Flow::ALL
            .into_iter()
            .filter(|flow| *flow != Flow::FtpControl && fell_silent(facts, *flow))
            .collect(),
    }]
}

/// The crowd that shows it, and how many handshakes of a hundred were late.
fn lossy<'a>(facts: &Facts<'a>) -> Option<(&'a Crowd, f64)> {
    let crowd = facts.seen.endurance.crowd.as_ref()?;
    Some((crowd, crowd.lossy()?))
}

/// Whether a finding says no more than that something was silent now and then, on a path that loses packets.
pub(in super::super) fn explains(facts: &Facts, finding: &Finding) -> bool {
    use FindingId::{ConnectionRateLimit, PacketLoss, TransparentProxy};
    // A SYN that was to show how far a port is may be dropped as any other.
    let hindered = facts.seen.endurance.crowd.as_ref().is_some_and(Crowd::hindered);
    if finding.id == TransparentProxy && hindered && facts.server().is_none() {
        return true;
    }
    if lossy(facts).is_none() || finding.severity == Severity::Info {
        return false;
    }
    match finding.id {
        // Said once, with all that speaks for it.
        PacketLoss | ConnectionRateLimit => true,
        _ => fell_silent(facts, finding.flow),
    }
}

/// Whether a flow had silence for an answer, and yet its port stood at another time.
fn fell_silent(facts: &Facts, flow: Flow) -> bool {
    if flow == Flow::FtpPassive {
        return holes(facts);
    }
    let Some(attempt) = facts.attempt(flow) else {
        return false;
    };
    let silent = |outcome| matches!(outcome, Outcome::Timeout | Outcome::Silent);
    let path = &facts.seen.path;
    let to = attempt.to;
    let stood = attempt.stood()
        || path.knock(to).is_some_and(|knock| knock.stood > 0)
        || path.trace(to).is_some_and(|trace| trace.answered().is_some())
        || path.patient.iter().any(|patient| patient.to == to && patient.stood())
        || lossy(facts).is_some_and(|(crowd, _)| crowd.to == to)
        // Nobody has tried again: three lost packets explain it.
        || path.knock(to).is_none();
    let fared = facts.trouble(flow).map_or(attempt.outcome, |trouble| trouble.outcome);
    let mute = attempt.stood() && facts.trouble(flow).is_none() && !facts.seen.spoke(flow);
    stood && (silent(fared) || mute)
}

/// Whether the range has a few silent ports among those that stood.
fn holes(facts: &Facts) -> bool {
    let range = facts.seen.passive.ports.iter().map(|tried| &tried.attempt);
    let talks = facts.seen.ftp.iter().flat_map(|talk| &talk.passive);
    let data = talks.filter_map(|talk| talk.data.as_ref());
    let tried: Vec<&Attempt> = range.chain(data).collect();
    let silent = tried
        .iter()
        .filter(|attempt| attempt.outcome == Outcome::Timeout)
        .count();
    let answered = tried
        .iter()
        .filter(|attempt| matches!(attempt.outcome, Outcome::Open | Outcome::Refused))
        .count();
    answered > silent * 2
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::*;
    use super::super::testing::*;
    use super::*;

    /// Every fourth handshake and every third greeting were late.
    fn once() -> Crowd {
        crowd(24, |at| match at % 4 {
            0 => late_member(),
            1 => slow_member(),
            _ => served_member(),
        })
    }

    fn twice() -> Crowd {
        let mut crowd = once();
        crowd.again = crowd.together.clone();
        crowd
    }

    #[test]
    fn late_handshakes_and_late_greetings_are_lost_packets() {
        let mut seen = healthy();
        seen.endurance.crowd = Some(twice());
        let report = report_of(&seen);
        assert_eq!(ids(&report), [FindingId::PacketLoss]);
        assert_eq!(report.findings[0].severity, Severity::Warning);
    }

    #[test]
    fn what_one_crowd_leaves_to_chance_is_not_reported_before_another_says_the_same() {
        assert!(once().doubtful());
        let mut seen = healthy();
        seen.endurance.crowd = Some(once());
        assert!(!ids(&report_of(&seen)).contains(&FindingId::PacketLoss));
        let mut other = once();
        other.again = crowd(24, |_| served_member()).together;
        assert!(!other.doubtful());
        seen.endurance.crowd = Some(other);
        assert!(!ids(&report_of(&seen)).contains(&FindingId::PacketLoss));
    }

    #[test]
    fn a_crowd_of_which_half_suffered_needs_no_other() {
        let half = crowd(24, |at| if at % 2 == 0 { late_member() } else { slow_member() });
        assert!(!half.doubtful());
        let mut seen = healthy();
        seen.endurance.crowd = Some(half);
        assert_eq!(ids(&report_of(&seen)), [FindingId::PacketLoss]);
    }

    #[test]
    fn a_few_late_ones_are_nothing_to_report() {
        let mut seen = healthy();
        seen.endurance.crowd = Some(crowd(24, |at| match at {
            0 | 1 => late_member(),
            2 | 3 => slow_member(),
            _ => served_member(),
        }));
        assert_eq!(ids(&report_of(&seen)), []);
    }

    #[test]
    fn a_greeting_that_got_lost_on_such_a_path_is_no_inspection() {
        let mut seen = alone(healthy());
        seen.version.as_mut().unwrap().trouble = Some(crate::observation::Trouble {
            during: "waiting for the response".to_owned(),
            outcome: Outcome::Silent,
            text: "nothing came within 3.0s".to_owned(),
            wrong_protocol: false,
        });
        seen.version.as_mut().unwrap().answers.clear();
        assert_ne!(ids(&report_of(&seen)), []);
        seen.endurance.crowd = Some(twice());
        assert_eq!(ids(&report_of(&seen)), [FindingId::PacketLoss]);
    }

    #[test]
    fn a_server_that_sent_nothing_again_lost_nothing() {
        let mut seen = healthy();
        let mut gathered = twice();
        gathered.counted = Some(Default::default());
        seen.endurance.crowd = Some(gathered);
        assert!(!ids(&report_of(&seen)).contains(&FindingId::PacketLoss));
    }
}
