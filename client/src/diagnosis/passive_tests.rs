//! The rules about passive data connections: each fires, has a near miss, and knows what it cannot know.

use std::net::IpAddr;

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::evidence::ServerRole;
use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::ftp_reply::Reply;
use fwdrill_protocol::host::{Counters, HostState};
use fwdrill_protocol::report::{Outcome, Verdict};
use fwdrill_protocol::sighting::Event;

use super::testing::*;
use crate::observation::path::{AnswerTtl, Growth, Knock, Trace, TraceEnd};
use crate::observation::privacy::HelperTest;
use crate::observation::*;

fn only(seen: &Observations) -> Finding {
    let mut report = report_of(seen);
    assert_eq!(report.findings.len(), 1, "{:#?}", report.findings);
    report.findings.remove(0)
}

const ROUTERS: [[u8; 4]; 3] = [[192, 168, 50, 1], [198, 51, 100, 1], SERVER];

/// A trace through the first `hops` routers.
fn trace(port: u16, hops: usize, end: TraceEnd) -> Trace {
    let silence = std::iter::repeat_n(None, if end == TraceEnd::Silence { 4 } else { 0 });
    Trace {
        to: at(port),
        hops: ROUTERS[..hops]
            .iter()
            .map(|who| Some(IpAddr::from(*who)))
            .chain(silence)
            .collect(),
        end,
    }
}

/// Client, branch router, provider, firewall with the target's address, server.
fn traced(mut seen: Observations, hops: usize, end: TraceEnd) -> Observations {
    let open = TraceEnd::Answered {
        hop: 4,
        outcome: Outcome::Open,
    };
    seen.path.reference = Some(at(2021));
    seen.path.traces = vec![trace(2021, 3, open), trace(3023, hops, end)];
    seen
}

fn knocked(mut seen: Observations, server: Counters, half_open: u64) -> Observations {
    let growth = Growth {
        quiet: Counters::default(),
        dialled: server,
    };
    seen.path.knocks = vec![Knock {
        to: at(3023),
        syns: 8,
        stood: 0,
        server: Some(growth),
        client: None,
        half_open: Some(half_open),
        waiting: Some(0),
        accepted: Some(0),
    }];
    seen
}

fn refused_range() -> Observations {
    let mut seen = blocked_range();
    for talk in &mut seen.ftp.as_mut().unwrap().passive {
        talk.data = Some(attempt(talk.told.unwrap(), Outcome::Refused));
    }
    for tried in &mut seen.passive.ports {
        *tried = passive_port(tried.port, Outcome::Refused);
    }
    seen
}

#[test]
fn where_the_trace_to_a_data_port_ends_says_who_drops_it() {
    let cause = |hops| {
        let finding = only(&traced(blocked_range(), hops, TraceEnd::Silence));
        (finding.id, finding.place)
    };
    assert_eq!(cause(0), (FindingId::ClientEgressDataBlocked, Place::ClientHost));
    assert_eq!(cause(1), (FindingId::ClientEgressDataBlocked, Place::ClientFirewall));
    assert_eq!(cause(2), (FindingId::PassiveRangeNotForwarded, Place::ServerFirewall));
    assert_eq!(cause(3), (FindingId::PassiveRangeBlocked, Place::Unknown));
}

#[test]
fn only_a_server_that_counted_nothing_makes_a_blocked_range_certain() {
    let passed = traced(blocked_range(), 3, TraceEnd::Silence);
    let finding = only(&knocked(passed.clone(), Counters::default(), 0));
    assert_eq!(
        (finding.id, finding.confidence, finding.place, finding.alternatives),
        (
            FindingId::PassiveRangeBlocked,
            Confidence::Certain,
            Place::ServerFirewall,
            vec![]
        )
    );
    let finding = only(&unanswered(passed));
    assert_eq!(finding.confidence, Confidence::Likely);
    assert!(finding.alternatives.contains(&FindingId::ServerHostBlocked));
    assert!(finding.alternatives.contains(&FindingId::DataReturnPathBroken));
}

#[test]
fn what_the_servers_host_counts_names_the_return_path_or_its_own_firewall() {
    let passed = || traced(blocked_range(), 3, TraceEnd::Silence);
    assert_eq!(
        only(&knocked(passed(), Counters::default(), 5)).id,
        FindingId::DataReturnPathBroken
    );
    let dropped = Counters {
        in_receives: 20,
        in_delivers: 12,
        ..Counters::default()
    };
    assert_eq!(only(&knocked(passed(), dropped, 0)).id, FindingId::ServerHostBlocked);
    let fewer = Counters {
        in_delivers: 15,
        ..dropped
    };
    assert_eq!(only(&knocked(passed(), fewer, 0)).id, FindingId::PassiveRangeBlocked);
}

#[test]
fn the_distance_of_a_rst_tells_a_firewall_from_another_host() {
    let answered = TraceEnd::Answered {
        hop: 4,
        outcome: Outcome::Refused,
    };
    let cause = |ttl| {
        let mut seen = knocked(traced(refused_range(), 3, answered), Counters::default(), 0);
        seen.path.answers = vec![AnswerTtl {
            to: at(3023),
            outcome: Outcome::Refused,
            ttl,
        }];
        only(&seen).id
    };
    assert_eq!(cause(62), FindingId::PassiveRangeRejected);
    assert_eq!(cause(61), FindingId::PassiveRangeWrongHost);
    let resets = Counters {
        out_resets: 8,
        ..Counters::default()
    };
    let finding = only(&knocked(traced(refused_range(), 3, answered), resets, 0));
    assert_eq!(
        (finding.id, finding.confidence),
        (FindingId::PassiveRangeShifted, Confidence::Certain)
    );
    // A router that refuses in its own name forwards nothing.
    let own = TraceEnd::Answered {
        hop: 3,
        outcome: Outcome::Refused,
    };
    assert_eq!(
        only(&traced(refused_range(), 2, own)).id,
        FindingId::PassiveRangeNotForwarded
    );
}

#[test]
fn ports_that_answer_as_others_are_shifted_and_the_offset_is_named() {
    let mut seen = healthy();
    for tried in &mut seen.passive.ports {
        tried.answered_as = Some(tried.port + 100);
    }
    let finding = only(&seen);
    assert_eq!(finding.id, FindingId::PassiveRangeShifted);
    assert!(finding.summary.contains("+100"), "{}", finding.summary);
}

#[test]
fn the_remedy_for_a_range_that_the_server_counts_on_being_renumbered_names_where_it_listens() {
    let mut seen = healthy();
    for tried in &mut seen.passive.ports {
        tried.answered_as = Some(tried.port + 100);
    }
    let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
        unreachable!("healthy() is joined");
    };
    let told = evidence.server.passive_ports.clone();
    evidence.server.passive_listen = told.iter().map(|port| port + 20_000).collect();
    let remedy = only(&seen).remedy;
    assert!(remedy.contains("as { 23023-23332,23334-24022 }"), "{remedy}");
}

#[test]
fn a_port_that_somebody_else_answers_is_stolen_and_a_range_of_them_is_forwarded_wrongly() {
    let mut seen = healthy();
    seen.passive.ports[1].answered_as = None;
    seen.passive.ports[1].said = Some("HTTP/1.1 400 Bad Request".to_owned());
    let finding = only(&seen);
    assert_eq!(
        (finding.id, finding.confidence),
        (FindingId::PassivePortStolen, Confidence::Certain)
    );
    assert!(finding.summary.contains("3332"), "{}", finding.summary);
    for tried in &mut seen.passive.ports {
        tried.answered_as = None;
    }
    assert_eq!(only(&seen).id, FindingId::PassiveRangeWrongHost);
}

#[test]
fn without_a_sweep_ports_that_answer_beside_silent_ones_are_part_of_a_range() {
    let mut seen = unanswered(blocked_range());
    seen.passive.swept = false;
    seen.passive.ports[0] = passive_port(3023, Outcome::Refused);
    let finding = only(&seen);
    assert_eq!(
        (finding.id, finding.confidence),
        (FindingId::PassiveRangePartial, Confidence::Likely)
    );
}

#[test]
fn a_helper_that_opens_every_sessions_port_is_no_fault() {
    let mut seen = healthy();
    seen.passive.ports = (3200..3216).map(|port| passive_port(port, Outcome::Timeout)).collect();
    let report = report_of(&seen);
    assert_eq!(
        (ids(&report), report.verdict),
        (vec![FindingId::AlgRewritesReply], Verdict::Pass)
    );
    assert_eq!(report.findings[0].severity, Severity::Info);
    // One more port that is open by itself, and the others are holes.
    seen.passive.ports.push(passive_port(3300, Outcome::Open));
    assert_eq!(ids(&report_of(&seen)), [FindingId::PassiveRangePartial]);
}

#[test]
fn a_helper_that_opens_ports_for_one_mode_only_is_named() {
    let mut seen = blocked_range();
    seen.ftp.as_mut().unwrap().passive[0] = passive(PassiveCommand::Epsv, at(3100));
    let finding = only(&seen);
    assert_eq!(
        (finding.id, finding.confidence),
        (FindingId::AlgIgnoresReply, Confidence::Certain)
    );
    let mut seen = unanswered(seen);
    seen.passive.swept = false;
    assert_eq!(only(&seen).confidence, Confidence::Likely);
    // Nothing else tried: one port that works and one that does not may be half a range.
    seen.passive.ports.clear();
    assert_eq!(ids(&report_of(&seen)), [FindingId::PassiveRangePartial]);
}

#[test]
fn a_reply_that_the_helper_would_take_with_another_address_is_one_finding_and_not_two() {
    let mut seen = blocked_range();
    let told = "10.20.0.10:3101".parse().unwrap();
    let talks = &mut seen.ftp.as_mut().unwrap().passive;
    talks[0] = passive(PassiveCommand::Epsv, at(3100));
    talks[1] = passive(PassiveCommand::Pasv, told);
    (talks[1].data, talks[1].transfer) = (Some(attempt(told, Outcome::Timeout)), None);
    talks[1].at_control_address = Some(attempt(at(3101), Outcome::Timeout));
    let finding = only(&seen);
    assert_eq!(
        (finding.id, finding.confidence, finding.alternatives),
        (
            FindingId::AlgIgnoresReply,
            Confidence::Likely,
            vec![FindingId::AdvertisedAddressPrivate]
        )
    );
    assert!(finding.remedy.contains("advertise 203.0.113.2"), "{}", finding.remedy);
    // The port is open at the address that was dialled: then it is the address alone.
    seen.ftp.as_mut().unwrap().passive[1].at_control_address = Some(attempt(at(3101), Outcome::Open));
    assert!(ids(&report_of(&seen)).contains(&FindingId::AdvertisedAddressPrivate));
}

/// Both replies come behind another one, and neither port lets anything through.
fn coalesced() -> Observations {
    let mut seen = blocked_range();
    for talk in &mut seen.ftp.as_mut().unwrap().passive {
        talk.in_front = Some(Reply::new(200, "One"));
    }
    seen
}

#[test]
fn a_reply_behind_another_one_is_not_seen_by_a_helper_that_opens_ports_for_the_other_mode() {
    let mut seen = coalesced();
    seen.ftp.as_mut().unwrap().passive[0] = passive(PassiveCommand::Epsv, at(3100));
    for seen in [seen.clone(), unanswered(seen.clone())] {
        let finding = only(&seen);
        assert_eq!(
            (finding.id, &finding.alternatives[..]),
            (FindingId::AlgDropsReply, &[FindingId::AlgIgnoresReply][..])
        );
        assert!(finding.evidence[0].contains("200 One"), "{finding:#?}");
    }
    // Alone in its segment: the helper sees it, and does nothing.
    seen.ftp.as_mut().unwrap().passive[1].in_front = None;
    assert_eq!(only(&seen).id, FindingId::AlgIgnoresReply);
}

#[test]
fn replies_behind_others_are_a_helpers_matter_only_if_there_is_one() {
    let mut seen = coalesced();
    assert_eq!(only(&seen).id, FindingId::PassiveRangeBlocked);
    let mut test = HelperTest {
        ordinary: true,
        watched: true,
    };
    seen.beside.helper = Some(test);
    assert_eq!(only(&seen).id, FindingId::PassiveRangeBlocked);
    test.watched = false;
    seen.beside.helper = Some(test);
    let finding = only(&seen);
    assert_eq!(finding.id, FindingId::AlgDropsReply);
    assert!(finding.alternatives.contains(&FindingId::PassiveRangeBlocked));
}

fn sent(seen: &mut Observations, reply: &Reply) {
    let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
        return;
    };
    let mut sighting = evidence.sightings[0].clone();
    sighting.event = Event::PassiveReply {
        reply: format!("{} {}", reply.code, reply.text()),
    };
    evidence.sightings.push(sighting);
}

#[test]
fn a_translated_reply_without_its_data_connection_misses_related() {
    let private = Reply::passive("10.20.0.10:3101".parse().unwrap());
    let mut seen = blocked_range();
    sent(&mut seen, &private);
    let finding = only(&seen);
    assert_eq!(
        (finding.id, finding.confidence),
        (FindingId::AlgRelatedMissing, Confidence::Certain)
    );
    let mut works = healthy();
    sent(&mut works, &private);
    assert_eq!(ids(&report_of(&works)), [FindingId::AlgRewritesReply]);
    // As it was sent, so it came: no helper.
    let mut seen = blocked_range();
    sent(&mut seen, &Reply::passive("203.0.113.2:3101".parse().unwrap()));
    assert_eq!(only(&seen).id, FindingId::PassiveRangeBlocked);
}

fn without_reply() -> Observations {
    let mut seen = blocked_range();
    let talk = seen.ftp.as_mut().unwrap();
    let lost = Trouble {
        during: "waiting for the reply to PASV".to_owned(),
        outcome: Outcome::Silent,
        text: "nothing came within 3.0s".to_owned(),
        wrong_protocol: false,
    };
    talk.trouble = Some(lost.clone());
    let pasv = &mut talk.passive[1];
    (pasv.reply, pasv.told, pasv.data, pasv.trouble) = (None, None, None, Some(lost));
    seen
}

#[test]
fn a_passive_reply_that_was_sent_and_never_came_was_dropped_by_a_helper() {
    let mut seen = without_reply();
    sent(&mut seen, &Reply::passive("10.20.0.10:3101".parse().unwrap()));
    let finding = only(&seen);
    assert_eq!(
        (finding.id, finding.confidence),
        (FindingId::AlgDropsReply, Confidence::Certain)
    );
    let finding = only(&unanswered(without_reply()));
    assert_eq!(
        (finding.id, finding.confidence),
        (FindingId::AlgDropsReply, Confidence::Likely)
    );
    assert!(finding.alternatives.contains(&FindingId::ServerHung));
}

fn unserved() -> Observations {
    let mut seen = healthy();
    for talk in &mut seen.ftp.as_mut().unwrap().passive {
        talk.transfer = None;
        talk.trouble = Some(Trouble {
            during: "RETR /manifest.json".to_owned(),
            outcome: Outcome::Open,
            text: "the server replies 425 No data connection".to_owned(),
            wrong_protocol: false,
        });
    }
    seen
}

#[test]
fn a_data_connection_that_the_server_refuses_for_its_address_is_a_mismatch() {
    let mut seen = unserved();
    let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
        panic!("healthy paths have evidence");
    };
    let mut refused = evidence.sightings[0].clone();
    (refused.flow, refused.event) = (Flow::FtpPassive, Event::DataSourceMismatch);
    refused.peer = "198.51.100.3:40001".parse().unwrap();
    evidence.sightings.push(refused);
    let finding = only(&seen);
    assert_eq!(
        (finding.id, finding.confidence),
        (FindingId::DataSourceMismatch, Confidence::Certain)
    );
    assert!(finding.evidence.iter().any(|line| line.contains("198.51.100.3")));
    let finding = only(&unanswered(unserved()));
    assert_eq!(finding.confidence, Confidence::Possible);
    assert!(finding.alternatives.contains(&FindingId::PassivePortStolen));
}

fn no_port() -> Observations {
    let mut seen = healthy();
    for talk in &mut seen.ftp.as_mut().unwrap().passive {
        talk.reply = Some(Reply::new(425, "No passive port is free"));
        (talk.told, talk.data, talk.transfer) = (None, None, None);
    }
    seen.passive.swept = false;
    seen.passive.ports.clear();
    seen
}

#[test]
fn a_server_without_a_free_port_is_exhausted_unless_somebody_else_holds_it() {
    assert_eq!(only(&unanswered(no_port())).id, FindingId::PassiveRangeExhausted);
    let mut seen = no_port();
    let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
        panic!("healthy paths have evidence");
    };
    evidence.host = Some(Box::new(HostState::default()));
    assert_eq!(only(&seen).id, FindingId::PassiveRangeExhausted);
    let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
        panic!("healthy paths have evidence");
    };
    let host = evidence.host.as_mut().unwrap();
    host.taken = Some("3500".parse().unwrap());
    assert_eq!(
        only(&seen).id,
        FindingId::PassiveRangeExhausted,
        "one of a thousand is not the reason"
    );
    seen.passive.planned = "3500".parse().unwrap();
    let finding = only(&seen);
    assert_eq!(
        (finding.id, finding.confidence),
        (FindingId::PassivePortBusy, Confidence::Certain)
    );
    // The server may sweep or not: what is its own is not taken.
    seen.passive.swept = true;
    assert_eq!(only(&seen).id, FindingId::PassivePortBusy);
}

#[test]
fn clients_that_all_have_one_address_of_the_servers_network_are_hidden() {
    let as_seen_from = |own: [u8; 4], peer: &str| {
        let mut seen = healthy();
        seen.path.local = Some(own.into());
        let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
            panic!("healthy paths have evidence");
        };
        for sighting in &mut evidence.sightings {
            sighting.peer = peer.parse().unwrap();
        }
        ids(&report_of(&seen))
    };
    assert_eq!(
        as_seen_from([198, 51, 100, 10], "10.20.0.1:4000"),
        [FindingId::ClientsHiddenByNat]
    );
    // A branch NAT in front of the client, and a hairpin for a client inside.
    assert_eq!(as_seen_from([192, 168, 50, 10], "198.51.100.2:4000"), []);
    assert_eq!(as_seen_from([10, 20, 0, 50], "10.20.0.1:4000"), []);
}

#[test]
fn clients_of_an_update_agent_are_hidden_though_its_address_is_a_private_one() {
    let mut seen = healthy();
    seen.path.local = Some([192, 168, 51, 10].into());
    seen.resolution.addresses = vec![[10, 20, 0, 10].into()];
    let mut as_seen_from = |role, peer: &str| {
        let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
            panic!("healthy paths have evidence");
        };
        evidence.server.role = role;
        for sighting in &mut evidence.sightings {
            sighting.peer = peer.parse().unwrap();
        }
        let found = ids(&report_of(&seen));
        found.contains(&FindingId::ClientsHiddenByNat)
    };
    assert!(as_seen_from(Some(ServerRole::UpdateAgent), "10.20.0.1:4000"));
    assert!(!as_seen_from(Some(ServerRole::UpdateAgent), "192.168.51.10:4000"));
    assert!(!as_seen_from(Some(ServerRole::Server), "10.20.0.1:4000"));
    assert!(!as_seen_from(None, "10.20.0.1:4000"));
}

#[test]
fn holes_that_close_when_dialled_slowly_are_a_limit_not_a_hole() {
    let mut seen = healthy();
    for tried in &mut seen.passive.ports[2..] {
        *tried = passive_port(tried.port, Outcome::Timeout);
    }
    seen.passive.again = vec![passive_port(3334, Outcome::Open), passive_port(4022, Outcome::Open)];
    let report = report_of(&seen);
    assert_eq!(ids(&report), [FindingId::ConnectionRateLimit]);
    assert_eq!(report.passive_range.unwrap().blocked, PortSet::default());
    seen.passive.again[1] = passive_port(4022, Outcome::Timeout);
    assert_eq!(ids(&report_of(&seen)), [FindingId::PassiveRangePartial]);
}
