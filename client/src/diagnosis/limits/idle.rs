//! A control connection is forgotten while nothing is said on it: `control-idle-timeout`.
//!
//! It stands, nothing is said for a few seconds as during a transfer, and then one end is not heard any more, while a new
//! connection is greeted at once. Which end is not heard tells on which side it was forgotten: packets from behind a
//! firewall that has forgotten a connection make it known again, those from outside do not.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Outcome;

use super::super::facts::Facts;
use super::super::{Diagnosis, passive_range};
use crate::observation::endurance::{Idle, IdleTrial, Speaker};
use FindingId::{ControlIdleTimeout, PacketLoss, ServerHung};

pub(in super::super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let Some(idle) = &facts.seen.endurance.idle else {
        return Vec::new();
    };
    if facts.expected(Flow::FtpControl) != Expected::Open || !idle.trials.iter().any(is_lost) {
        return Vec::new();
    }
    // Nothing is known of idleness where nobody is greeted any more.
    if idle.still_open == Some(false) {
        return Vec::new();
    }
    vec![Diagnosis {
        finding: finding(facts, idle),
        explains: Vec::new(),
    }]
}

/// Not heard after the silence, or ended during it. A check that could not be made says nothing.
fn is_lost(trial: &IdleTrial) -> bool {
    !matches!(trial.outcome, Outcome::Open | Outcome::CheckFailed)
}

fn finding(facts: &Facts, idle: &Idle) -> Finding {
    let seconds = idle.trials.iter().map(|trial| trial.idle_ms).max().unwrap_or(0) / 1000;
    let port = facts.estate.ftp.port;
    let lost = |speaker| idle.trials.iter().find(|trial| trial.first == speaker).map(is_lost);
    let said_421 = |trial: &IdleTrial| trial.interrupted.as_ref().is_some_and(|reply| reply.code == 421);
    let by_server = idle.trials.iter().any(said_421);
    let ended = idle.trials.iter().any(|trial| trial.ended_meanwhile);
    let shaken = facts.seen.endurance.crowd.as_ref().is_some_and(|crowd| crowd.shaken());
    let place = match (lost(Speaker::Server), lost(Speaker::Client)) {
        _ if by_server => Place::Server,
        _ if ended => Place::Unknown,
        // Who speaks from the inside is heard, and makes the connection known again.
        (Some(true), Some(false)) => Place::ClientFirewall,
        (Some(false), Some(true)) => Place::ServerFirewall,
        _ => Place::Path,
    };
    let (confidence, alternatives) = if by_server || idle.still_open == Some(true) && !shaken {
        (Confidence::Certain, Vec::new())
    } else if shaken {
        (Confidence::Likely, vec![PacketLoss])
    } else {
        (Confidence::Likely, vec![PacketLoss, ServerHung])
    };
    let mut evidence: Vec<String> = idle.trials.iter().map(words).collect();
    if idle.still_open == Some(true) {
        evidence.push(format!("a new connection to TCP {port} is greeted at once"));
    }
    Finding {
        id: ControlIdleTimeout,
        severity: Severity::Error,
        confidence,
        flow: Flow::FtpControl,
        summary: if by_server {
            format!("the FTP server ends control connections on which nothing is said for less than {seconds} s")
        } else {
            format!(
                "control connections are forgotten when nothing is said for {seconds} s: transfers that take longer never end"
            )
        },
        place,
        evidence,
        remedy: remedy(facts, place, seconds),
        alternatives,
    }
}

fn words(trial: &IdleTrial) -> String {
    let seconds = trial.idle_ms / 1000;
    let how = trial.text.clone().unwrap_or_else(|| trial.outcome.name().to_owned());
    if let Some(reply) = &trial.interrupted {
        return format!(
            "during a silence of {seconds} s the server says \"{} {}\"",
            reply.code,
            reply.text()
        );
    }
    if trial.ended_meanwhile {
        return format!("the control connection ends during a silence of {seconds} s: {how}");
    }
    match (trial.first, is_lost(trial)) {
        (_, false) if trial.outcome == Outcome::CheckFailed => {
            format!("a silence of {seconds} s could not be tried: {how}")
        }
        (Speaker::Server, false) => format!("after {seconds} s of silence the server's reply to a transfer arrives"),
        (Speaker::Client, false) => format!("after {seconds} s of silence a command of the client is answered"),
        (Speaker::Client, true) => {
            format!("after {seconds} s of silence a command of the client is not answered: {how}")
        }
        (Speaker::Server, true) => {
            let data = match trial.data {
                Some((bytes, true)) => format!(", though the transfer itself brings all of its {bytes} bytes"),
                _ => String::new(),
            };
            let then = match trial.then {
                Some(Outcome::Open) => "; it comes when the client speaks",
                Some(Outcome::Reset) => "; and the connection is reset when the client speaks",
                Some(_) => "; nor is the client heard that speaks then",
                None => "",
            };
            format!("after {seconds} s of silence the server's reply to a transfer does not arrive{data}: {how}{then}")
        }
    }
}

fn remedy(facts: &Facts, place: Place, seconds: u64) -> String {
    let port = facts.estate.ftp.port;
    let server = passive_range::inside_address(facts);
    let keepalive = "or keep the connections alive from an end: TCP keepalive after less than that time (ftp.limits.keepalive_seconds; net.ipv4.tcp_keepalive_time where the server takes the system's)";
    let raise = |device: &str| {
        format!(
            "{device}, raise the timeout of idle TCP connections for tcp dport {port} at {server} to an hour or more (Linux: net.netfilter.nf_conntrack_tcp_timeout_established; elsewhere: TCP or NAT idle timeout), {keepalive}"
        )
    };
    match place {
        Place::Server => format!(
            "raise the server's idle timeout (ftp.limits.idle_seconds; vsftpd: idle_session_timeout): it has to be five minutes at least (RFC 1123 section 4.1.3.2), and ends sessions after less than {seconds} s"
        ),
        Place::ClientFirewall => raise("on the firewall or NAT in front of the client"),
        Place::ServerFirewall => raise("on the firewall in front of the server"),
        _ => raise("on the firewalls between client and server"),
    }
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::ftp_reply::Reply;

    use super::super::super::testing::*;
    use super::super::testing::*;
    use super::*;
    use crate::observation::Observations;

    fn trial(first: Speaker, outcome: Outcome) -> IdleTrial {
        IdleTrial {
            first,
            idle_ms: 8000,
            outcome,
            interrupted: None,
            ended_meanwhile: false,
            text: None,
            data: (first == Speaker::Server).then_some((300, true)),
            then: None,
        }
    }

    fn held(server: Outcome, client: Outcome) -> Observations {
        let mut seen = healthy();
        seen.endurance.idle = Some(Idle {
            trials: vec![trial(Speaker::Server, server), trial(Speaker::Client, client)],
            still_open: Some(true),
        });
        seen
    }

    #[test]
    fn a_server_that_is_not_heard_any_more_was_forgotten() {
        use Outcome::{Open, Reset, Silent};
        for (server, client, place) in [
            (Silent, Silent, Place::Path),
            (Silent, Open, Place::ClientFirewall),
            (Open, Silent, Place::ServerFirewall),
            (Silent, Reset, Place::Path),
        ] {
            for seen in [held(server, client), alone(held(server, client))] {
                let report = report_of(&seen);
                assert_eq!(ids(&report), [ControlIdleTimeout]);
                assert_eq!(
                    (report.findings[0].place, report.findings[0].confidence),
                    (place, Confidence::Certain)
                );
                assert!(report.findings[0].remedy.contains("keepalive"));
            }
        }
    }

    #[test]
    fn who_is_heard_after_the_silence_was_not_forgotten() {
        assert_eq!(ids(&report_of(&held(Outcome::Open, Outcome::Open))), []);
        let mut void = held(Outcome::CheckFailed, Outcome::Open);
        let idle = void.endurance.idle.as_mut().unwrap();
        idle.trials[0].interrupted = Some(Reply::new(425, "No data connection"));
        assert_eq!(
            ids(&report_of(&void)),
            [],
            "a server that does not wait for a data connection"
        );
        void.endurance.idle.as_mut().unwrap().trials[1].outcome = Outcome::Silent;
        assert_ne!(report_of(&void).findings[0].place, Place::Server);
        let mut seen = held(Outcome::Open, Outcome::Open);
        seen.endurance.idle = Some(Idle::default());
        assert_eq!(ids(&report_of(&seen)), [], "nothing was tried");
    }

    #[test]
    fn a_port_that_greets_nobody_any_more_has_another_trouble() {
        let mut seen = held(Outcome::Silent, Outcome::Silent);
        seen.endurance.idle.as_mut().unwrap().still_open = Some(false);
        assert_eq!(ids(&report_of(&seen)), []);
    }

    #[test]
    fn a_server_that_says_421_is_the_one_that_is_impatient() {
        let mut seen = held(Outcome::Reset, Outcome::Open);
        let idle = seen.endurance.idle.as_mut().unwrap();
        idle.trials[0].interrupted = Some(Reply::new(421, "Timeout"));
        let report = report_of(&seen);
        assert_eq!(
            (report.findings[0].id, report.findings[0].place),
            (ControlIdleTimeout, Place::Server)
        );
        assert!(report.findings[0].remedy.contains("idle_seconds"));
    }

    #[test]
    fn on_a_path_that_loses_packets_it_may_be_that() {
        let mut seen = held(Outcome::Silent, Outcome::Open);
        seen.endurance.crowd = Some(crowd(24, |at| if at == 0 { slow_member() } else { served_member() }));
        assert_eq!(report_of(&seen).findings[0].alternatives, [PacketLoss]);
    }
}
