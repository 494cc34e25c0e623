use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::finding::{Confidence, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::{Outcome, Seen, State, Verdict};
use fwdrill_protocol::sighting::Event;
use fwdrill_protocol::update_set::Sha256;
use proptest::prelude::*;

use super::testing::*;
use super::{diagnose, list};
use crate::observation::*;

fn ending(seen: &mut Observations, flow: Flow, outcome: Outcome) {
    let to = seen.attempts[&flow].to;
    seen.attempts.insert(flow, attempt(to, outcome));
    match flow {
        Flow::FtpControl => {
            seen.ftp = None;
            seen.passive.ports.clear();
            seen.passive.swept = false;
        }
        Flow::Version => seen.version = None,
        Flow::Http => seen.http = None,
        _ => drop(seen.greetings.remove(&flow)),
    }
}

#[test]
fn a_healthy_path_has_no_finding() {
    for seen in [healthy(), unanswered(healthy())] {
        let report = report_of(&seen);
        assert_eq!((ids(&report), report.verdict), (vec![], Verdict::Pass));
    }
    assert!(report_of(&healthy()).both_ends);
    assert_eq!(report_of(&unanswered(healthy())).flows[0].seen_by_server, Seen::Unknown);
}

#[test]
fn a_name_that_does_not_resolve_is_the_only_finding() {
    let mut seen = healthy();
    seen.resolution = Resolution {
        addresses: vec![],
        error: Some("no such host".to_owned()),
    };
    seen.attempts.clear();
    (seen.ftp, seen.version, seen.http) = (None, None, None);
    seen.passive = PassiveObservation::default();
    seen.evidence = EvidenceFetch::NotAsked;
    let report = report_of(&seen);
    assert_eq!(
        (ids(&report), report.verdict),
        (vec![FindingId::NameNotResolved], Verdict::Fail)
    );
    assert!(report.flows.iter().all(|flow| flow.state == State::Unknown));
}

#[test]
fn a_refused_port_that_the_server_does_not_listen_on_is_the_servers() {
    let mut seen = healthy();
    ending(&mut seen, Flow::Events, Outcome::Refused);
    let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
        unreachable!()
    };
    evidence.server.listening.remove(&Flow::Events);
    let report = report_of(&seen);
    assert_eq!(ids(&report), [FindingId::ServerNotListening]);
    assert_eq!(report.findings[0].confidence, Confidence::Certain);
    assert!(report.findings[0].alternatives.is_empty());
}

#[test]
fn a_refused_port_that_the_server_listens_on_is_not_the_servers() {
    let mut seen = healthy();
    ending(&mut seen, Flow::Events, Outcome::Refused);
    assert_eq!(ids(&report_of(&seen)), [FindingId::PortRejected]);
    let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
        unreachable!()
    };
    evidence
        .server
        .listening
        .insert(Flow::Events, "127.0.0.1:2225".parse().unwrap());
    assert_eq!(ids(&report_of(&seen)), [FindingId::ServerLoopbackOnly]);
}

#[test]
fn a_refused_port_seen_from_the_client_alone_leaves_alternatives() {
    let mut seen = unanswered(healthy());
    ending(&mut seen, Flow::Events, Outcome::Refused);
    let report = report_of(&seen);
    assert_eq!(ids(&report), [FindingId::ServerNotListening]);
    assert_eq!(report.findings[0].confidence, Confidence::Possible);
    assert!(report.findings[0].alternatives.contains(&FindingId::PortRejected));
}

#[test]
fn an_icmp_prohibition_is_a_rejection_and_names_who_sent_it() {
    let mut seen = unanswered(healthy());
    ending(&mut seen, Flow::Version, Outcome::Unreachable);
    let rejected = seen.attempts.get_mut(&Flow::Version).unwrap();
    rejected.icmp = Some(Icmp {
        kind: 3,
        code: 13,
        offender: Some([203, 0, 113, 1].into()),
    });
    let report = report_of(&seen);
    assert_eq!(ids(&report), [FindingId::PortRejected]);
    assert_eq!(report.findings[0].confidence, Confidence::Certain);
    assert!(report.findings[0].remedy.contains("203.0.113.1") && report.findings[0].remedy.contains("3333"));
}

#[test]
fn host_unreachable_is_no_rejection() {
    let mut seen = unanswered(healthy());
    ending(&mut seen, Flow::Version, Outcome::Unreachable);
    seen.attempts.get_mut(&Flow::Version).unwrap().icmp = Some(Icmp {
        kind: 3,
        code: 1,
        offender: Some([203, 0, 113, 1].into()),
    });
    let report = report_of(&seen);
    assert_eq!(ids(&report), [FindingId::ForwardDeadHost]);
    assert_ne!(report.findings[0].confidence, Confidence::Certain);
}

#[test]
fn silent_ports_are_one_finding_that_names_them_all() {
    let mut seen = unanswered(healthy());
    ending(&mut seen, Flow::Version, Outcome::Timeout);
    ending(&mut seen, Flow::Events, Outcome::Timeout);
    let report = report_of(&seen);
    assert_eq!(ids(&report), [FindingId::PortDropped]);
    let finding = &report.findings[0];
    assert!(
        finding
            .summary
            .contains("2225 (client events) and 3333 (version service) are dropped"),
        "{}",
        finding.summary
    );
    assert_eq!(finding.confidence, Confidence::Likely);
    assert!(finding.alternatives.contains(&FindingId::ReturnPathBroken));
}

#[test]
fn a_dropped_control_port_explains_the_missing_data_connections() {
    let mut seen = healthy();
    ending(&mut seen, Flow::FtpControl, Outcome::Timeout);
    let report = report_of(&seen);
    assert_eq!(ids(&report), [FindingId::PortDropped]);
    let passive = report.flows.iter().find(|flow| flow.flow == Flow::FtpPassive).unwrap();
    assert_eq!(
        (passive.state, passive.verdict),
        (State::Unknown, Verdict::Inconclusive)
    );
}

#[test]
fn a_failed_check_is_neither_open_nor_blocked() {
    let mut seen = healthy();
    ending(&mut seen, Flow::Events, Outcome::CheckFailed);
    let report = report_of(&seen);
    assert_eq!((ids(&report), report.verdict), (vec![], Verdict::Inconclusive));
}

#[test]
fn a_closed_range_behind_an_open_control_port_blames_the_passive_range() {
    for seen in [blocked_range(), unanswered(blocked_range())] {
        let report = report_of(&seen);
        assert_eq!(ids(&report), [FindingId::PassiveRangeBlocked]);
        assert!(report.findings[0].remedy.contains("3023-3332,3334-4022"));
        assert_eq!(report.passive_range.unwrap().open, PortSet::default());
    }
}

#[test]
fn a_range_that_answers_with_rst_is_rejected_not_blocked() {
    let mut seen = healthy();
    for talk in &mut seen.ftp.as_mut().unwrap().passive {
        talk.data = Some(attempt(talk.told.unwrap(), Outcome::Refused));
        talk.transfer = None;
    }
    for tried in &mut seen.passive.ports {
        *tried = passive_port(tried.port, Outcome::Refused);
    }
    assert_eq!(ids(&report_of(&seen)), [FindingId::PassiveRangeRejected]);
}

#[test]
fn half_a_range_is_partial_and_the_ports_are_named() {
    let mut seen = healthy();
    for tried in &mut seen.passive.ports {
        if tried.port > 3500 {
            *tried = passive_port(tried.port, Outcome::Timeout);
        }
    }
    let report = report_of(&seen);
    assert_eq!(ids(&report), [FindingId::PassiveRangePartial]);
    assert_eq!(report.passive_range.unwrap().blocked.to_string(), "4022");
}

#[test]
fn without_a_sweep_a_rst_from_an_idle_port_is_no_fault() {
    let mut seen = unanswered(healthy());
    seen.passive.swept = false;
    for tried in &mut seen.passive.ports {
        *tried = passive_port(tried.port, Outcome::Refused);
    }
    let report = report_of(&seen);
    assert_eq!((ids(&report), report.verdict), (vec![], Verdict::Pass));
    let range = report.passive_range.unwrap();
    assert_eq!(
        (range.open.to_string().as_str(), range.blocked.is_empty()),
        ("3100-3101", true)
    );
}

fn advertising(told: [u8; 4], dialled_outcome: Outcome) -> Observations {
    let mut seen = healthy();
    let pasv = &mut seen.ftp.as_mut().unwrap().passive[1];
    *pasv = passive(PassiveCommand::Pasv, (told, 3101).into());
    if dialled_outcome != Outcome::Open {
        pasv.data = Some(attempt(pasv.told.unwrap(), dialled_outcome));
        pasv.transfer = None;
        pasv.at_control_address = Some(attempt(at(3101), Outcome::Open));
    }
    seen
}

#[test]
fn a_private_address_in_the_227_is_named_as_such() {
    let report = report_of(&advertising([10, 20, 0, 10], Outcome::Timeout));
    assert_eq!(ids(&report), [FindingId::AdvertisedAddressPrivate]);
    assert_eq!(report.findings[0].confidence, Confidence::Certain);
    assert!(report.findings[0].remedy.contains("Ser_Pasv_IPAddr=203.0.113.2"));
}

#[test]
fn a_foreign_address_in_the_227_is_wrong() {
    assert_eq!(
        ids(&report_of(&advertising([192, 0, 2, 7], Outcome::Timeout))),
        [FindingId::AdvertisedAddressWrong]
    );
}

#[test]
fn another_address_that_works_is_somebodys_intention() {
    assert_eq!(ids(&report_of(&advertising([203, 0, 113, 3], Outcome::Open))), []);
}

#[test]
fn somebody_else_at_the_advertised_address_is_no_intention() {
    let mut seen = advertising([192, 0, 2, 7], Outcome::Open);
    let pasv = &mut seen.ftp.as_mut().unwrap().passive[1];
    pasv.transfer = None;
    pasv.trouble = Some(Trouble {
        during: "RETR /policies/scan.json".to_owned(),
        outcome: Outcome::Open,
        text: "the server replies 425 No data connection".to_owned(),
        wrong_protocol: false,
    });
    assert_eq!(ids(&report_of(&seen)), [FindingId::AdvertisedAddressWrong]);
}

#[test]
fn a_foreign_address_with_no_other_road_is_only_possible() {
    let mut seen = advertising([192, 0, 2, 7], Outcome::Timeout);
    let talks = &mut seen.ftp.as_mut().unwrap().passive;
    talks[1].at_control_address = Some(attempt(at(3101), Outcome::Timeout));
    talks.remove(0);
    seen.passive.ports.clear();
    seen.passive.swept = false;
    let report = report_of(&seen);
    assert_eq!(ids(&report), [FindingId::AdvertisedAddressWrong]);
    assert_eq!(report.findings[0].confidence, Confidence::Possible);
    assert!(
        report.findings[0]
            .alternatives
            .contains(&FindingId::PassiveRangeBlocked)
    );
}

#[test]
fn a_wrong_address_and_a_blocked_range_are_two_faults() {
    let mut seen = blocked_range();
    let pasv = &mut seen.ftp.as_mut().unwrap().passive[1];
    pasv.told = Some(([10, 20, 0, 10], 3101).into());
    pasv.data = Some(attempt(pasv.told.unwrap(), Outcome::Timeout));
    let mut found = ids(&report_of(&seen));
    found.sort();
    assert_eq!(
        found,
        [FindingId::AdvertisedAddressPrivate, FindingId::PassiveRangeBlocked]
    );
}

#[test]
fn a_forbidden_port_that_answers_is_exposed() {
    let mut seen = healthy();
    ending(&mut seen, Flow::System, Outcome::Open);
    let report = report_of(&seen);
    assert_eq!(
        (ids(&report), report.verdict),
        (vec![FindingId::ForbiddenPortOpen], Verdict::Fail)
    );
    let mut estate = Estate::default();
    estate
        .expect
        .entry("outside".to_owned())
        .or_default()
        .insert(Flow::Console, Expected::Closed);
    assert_eq!(ids(&diagnose(&estate, &healthy())), [FindingId::ConsoleExposed]);
    seen.vantage = "server".to_owned();
    assert_eq!(ids(&report_of(&seen)), []);
}

#[test]
fn a_forbidden_port_that_arrives_on_loopback_was_led_there_by_the_servers_own_host() {
    let mut seen = healthy();
    ending(&mut seen, Flow::SelfEvents, Outcome::Open);
    sighted(&mut seen, Flow::SelfEvents, Event::Accepted);
    let place = |seen: &Observations| {
        let report = report_of(seen);
        assert_eq!(ids(&report), [FindingId::ForbiddenPortOpen]);
        let remedy = report.findings[0].remedy.clone();
        (report.findings[0].place, remedy.contains("127.0.0.1:2227"))
    };
    assert_eq!(place(&seen), (Place::ServerFirewall, false));
    let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
        unreachable!()
    };
    let led = evidence.sightings.last_mut().unwrap();
    led.local = ([127, 0, 0, 1], 2227).into();
    // What arrived there says nothing of the server's address, even if it came first.
    let led = evidence.sightings.pop().unwrap();
    evidence.sightings.insert(0, led);
    assert_eq!(place(&seen), (Place::ServerHost, true));
    // A program on the server's host passes it on: it comes from there.
    let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
        unreachable!()
    };
    evidence.sightings[0].peer = ([127, 0, 0, 1], 40_000).into();
    assert_eq!(place(&seen), (Place::ServerHost, true));
    // Without the server's word.
    seen.evidence = EvidenceFetch::NotAsked;
    assert_eq!(place(&seen), (Place::ServerFirewall, false));
}

#[test]
fn bytes_that_differ_on_one_road_only_were_altered_on_the_way() {
    let other = Sha256::from_bytes([2; 32]);
    let mut seen = healthy();
    for talk in &mut seen.ftp.as_mut().unwrap().passive {
        talk.transfer.as_mut().unwrap().sha256 = other;
    }
    let report = report_of(&seen);
    assert_eq!(ids(&report), [FindingId::ContentAltered]);
    assert_eq!(report.findings[0].confidence, Confidence::Certain);
    seen.http.as_mut().unwrap().transfers[0].sha256 = other;
    assert_ne!(report_of(&seen).findings[0].confidence, Confidence::Certain);
}

#[test]
fn trouble_on_a_road_that_nobody_needs_is_a_warning() {
    // Clients download over FTP here; the HTTP port may be what it likes.
    let mut seen = healthy();
    seen.http.as_mut().unwrap().transfers[0].sha256 = Sha256::from_bytes([2; 32]);
    let report = report_of(&seen);
    assert_eq!(ids(&report), [FindingId::ContentAltered]);
    assert_eq!(report.findings[0].severity, Severity::Warning);
    let over_http = Estate {
        mode: fwdrill_protocol::estate::Mode::Http,
        ..Estate::default()
    };
    assert_eq!(ids(&diagnose(&over_http, &seen)), [FindingId::ContentAltered]);
    assert_eq!(
        ids(&diagnose(&over_http, &advertising([10, 20, 0, 10], Outcome::Timeout))),
        []
    );
    assert_eq!(ids(&diagnose(&over_http, &blocked_range())), []);
}

#[test]
fn something_else_on_the_control_port_is_named() {
    let mut seen = healthy();
    seen.ftp = Some(FtpTalk {
        trouble: Some(Trouble {
            during: "waiting for an FTP reply".to_owned(),
            outcome: Outcome::Open,
            text: "it does not speak FTP, it says \"SSH-2.0\"".to_owned(),
            wrong_protocol: true,
        }),
        ..Default::default()
    });
    seen.passive.ports.clear();
    let report = report_of(&seen);
    assert_eq!(ids(&report), [FindingId::ForwardWrongHost]);
    assert_eq!(report.flows[0].verdict, Verdict::Fail);
}

#[test]
fn lists_read_like_sentences() {
    assert_eq!(list([1]), "1");
    assert_eq!(list([1, 2, 3]), "1, 2 and 3");
}

fn any_outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Open),
        Just(Outcome::Refused),
        Just(Outcome::Timeout),
        Just(Outcome::Unreachable),
        Just(Outcome::CheckFailed),
    ]
}

proptest! {
    #[test]
    fn any_ending_of_any_flow_is_diagnosed_without_panic_and_failures_are_never_passed(
        endings in proptest::collection::vec(any_outcome(), Flow::ALL.len()),
        ranges in proptest::collection::vec(any_outcome(), 4),
        joined in any::<bool>(),
    ) {
        let mut seen = if joined { healthy() } else { unanswered(healthy()) };
        for (tried, outcome) in seen.passive.ports.iter_mut().zip(ranges) {
            *tried = passive_port(tried.port, outcome);
        }
        for (flow, outcome) in Flow::ALL.into_iter().zip(endings) {
            if seen.attempts.contains_key(&flow) && outcome != Outcome::Open {
                ending(&mut seen, flow, outcome);
            }
        }
        let report = report_of(&seen);
        let failed = report.flows.iter().any(|flow| flow.verdict == Verdict::Fail);
        prop_assert_eq!(failed || !report.findings.is_empty(), report.verdict == Verdict::Fail);
        prop_assert!(!failed || !report.findings.is_empty(), "a failed flow has a finding: {:?}", report.flows);
        // The order of observations says nothing.
        let mut turned = seen.clone();
        turned.passive.ports.reverse();
        prop_assert_eq!(report_of(&turned), report);
    }
}
