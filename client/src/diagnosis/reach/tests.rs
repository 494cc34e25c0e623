//! Ports of the default estate seen from outside: 2021 fares ill, 2221 is the one to compare with, three hops away.

use std::net::{IpAddr, SocketAddr};

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::ftp_reply::Reply;
use fwdrill_protocol::host::{Counters, HostState, Listener};
use fwdrill_protocol::report::Outcome;

use super::super::testing::*;
use crate::observation::path::{AnswerTtl, Growth, Knock, Trace, TraceEnd};
use crate::observation::*;

const ISP: [u8; 4] = [198, 51, 100, 1];

fn control() -> SocketAddr {
    at(2021)
}

fn hops(hops: &[Option<[u8; 4]>]) -> Vec<Option<IpAddr>> {
    hops.iter().map(|hop| hop.map(IpAddr::from)).collect()
}

fn answered(hop: u8, outcome: Outcome) -> TraceEnd {
    TraceEnd::Answered { hop, outcome }
}

/// 2021 ends so, and this is how its trace compares with that of 2221: an ISP, the firewall that has the address, the server.
fn ending(outcome: Outcome, trace: Option<(Vec<Option<IpAddr>>, TraceEnd)>) -> Observations {
    let mut seen = healthy();
    seen.attempts.insert(Flow::FtpControl, attempt(control(), outcome));
    seen.ftp = None;
    seen.passive.ports.clear();
    seen.passive.swept = false;
    seen.path.local = Some([198, 51, 100, 10].into());
    seen.path.reference = Some(at(2221));
    seen.path.traces = vec![Trace {
        to: at(2221),
        hops: hops(&[Some(ISP), Some(SERVER)]),
        end: answered(3, Outcome::Open),
    }];
    if let Some((hops, end)) = trace {
        seen.path.traces.push(Trace {
            to: control(),
            hops,
            end,
        });
    }
    seen
}

fn silent_after(hops_seen: &[Option<[u8; 4]>]) -> Observations {
    ending(Outcome::Timeout, Some((hops(hops_seen), TraceEnd::Silence)))
}

fn refused_at(hop: u8, ttl: u8) -> Observations {
    let all = hops(&[Some(ISP), Some(SERVER)]);
    let before = all[..usize::from(hop - 1)].to_vec();
    let mut seen = ending(Outcome::Refused, Some((before, answered(hop, Outcome::Refused))));
    seen.path.answers = vec![
        AnswerTtl {
            to: at(2221),
            outcome: Outcome::Open,
            ttl: 62,
        },
        AnswerTtl {
            to: control(),
            outcome: Outcome::Refused,
            ttl,
        },
    ];
    seen
}

/// What the server's host counted while eight SYNs were sent.
fn knocking(seen: &mut Observations, server: impl FnOnce(&mut Counters)) -> &mut Knock {
    let mut dialled = Counters::default();
    server(&mut dialled);
    seen.path.knocks = vec![Knock {
        to: control(),
        syns: 8,
        stood: 0,
        server: Some(Growth {
            dialled,
            ..Growth::default()
        }),
        client: Some(Growth::default()),
        half_open: Some(0),
        waiting: Some(0),
        accepted: Some(0),
    }];
    &mut seen.path.knocks[0]
}

fn alone(seen: Observations) -> Observations {
    let mut seen = super::super::testing::alone(seen);
    for knock in &mut seen.path.knocks {
        (knock.server, knock.half_open, knock.waiting, knock.accepted) = (None, None, None, None);
    }
    seen
}

/// The one finding.
fn finding(seen: &Observations) -> Finding {
    let mut findings = report_of(seen).findings;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    findings.remove(0)
}

fn is(seen: &Observations, id: FindingId, confidence: Confidence) -> Finding {
    let finding = finding(seen);
    assert_eq!((finding.id, finding.confidence), (id, confidence), "{finding:#?}");
    assert_eq!(
        finding.alternatives.is_empty(),
        confidence == Confidence::Certain,
        "{finding:#?}"
    );
    finding
}

use Confidence::{Certain, Likely, Possible};

#[test]
fn silence_at_the_servers_host_is_told_apart_by_what_it_counted() {
    let base = || silent_after(&[Some(ISP), Some(SERVER)]);
    type Count = fn(&mut Counters);
    let cases: [(Count, FindingId); 4] = [
        (|counted| counted.in_receives = 8, FindingId::ServerHostBlocked),
        (|counted| counted.listen_overflows = 8, FindingId::ServerBacklogFull),
        (|counted| counted.reverse_path = 8, FindingId::ReturnPathBroken),
        (|counted| counted.attempt_fails = 8, FindingId::ReturnPathBroken),
    ];
    for (counted, id) in cases {
        let mut seen = base();
        knocking(&mut seen, counted);
        is(&seen, id, Certain);
        // The same facts from the client alone: what was proven is now one of several.
        let seen = alone(seen);
        let finding = is(&seen, FindingId::PortDropped, Likely);
        assert!(finding.alternatives.contains(&id), "{finding:#?}");
    }
    let mut seen = base();
    knocking(&mut seen, |_| {}).half_open = Some(8);
    is(&seen, FindingId::ReturnPathBroken, Certain);
    // The answers arrive here, and go no further.
    seen.path.knocks[0].client.as_mut().unwrap().dialled.in_receives = 8;
    is(&seen, FindingId::ClientHostBlocked, Certain);
}

#[test]
fn what_a_host_drops_anyway_proves_nothing() {
    let mut seen = silent_after(&[Some(ISP), Some(SERVER)]);
    let knock = knocking(&mut seen, |counted| counted.in_receives = 20);
    knock.server.as_mut().unwrap().quiet.in_receives = 18;
    assert_eq!(finding(&seen).id, FindingId::PortDropped);
}

#[test]
fn a_host_that_saw_nothing_leaves_the_firewall_before_it() {
    let mut seen = silent_after(&[Some(ISP), Some(SERVER)]);
    knocking(&mut seen, |_| {});
    // Behind a NAT the forward may point at another host that is as silent.
    let dropped = is(&seen, FindingId::PortDropped, Likely);
    assert_eq!(dropped.alternatives, [FindingId::ForwardWrongHost]);
    assert_eq!(dropped.place, Place::ServerFirewall);
    assert!(
        dropped.remedy.contains("203.0.113.2 (hop 2)") && dropped.remedy.contains("to 10.20.0.10 in the forward chain")
    );
}

#[test]
fn silence_that_begins_at_the_nat_is_a_missing_forward() {
    let missing = is(&silent_after(&[Some(ISP)]), FindingId::ForwardMissing, Likely);
    assert!(missing.remedy.contains("dnat to 10.20.0.10"), "{}", missing.remedy);
    // Where nobody has the dialled address and the server is dialled by its own, there is no NAT.
    let mut routed = silent_after(&[Some(ISP)]);
    routed.path.traces[0].hops[1] = Some([203, 0, 113, 1].into());
    assert_eq!(finding(&alone(routed)).id, FindingId::ClientEgressBlocked);
}

#[test]
fn silence_after_the_clients_own_router_is_its_egress() {
    let mut seen = silent_after(&[Some([192, 168, 50, 1])]);
    seen.path.traces[0].hops = hops(&[Some([192, 168, 50, 1]), Some(ISP), Some(SERVER)]);
    seen.path.traces[0].end = answered(4, Outcome::Open);
    let egress = is(&seen, FindingId::ClientEgressBlocked, Likely);
    assert_eq!(egress.place, Place::ClientFirewall);
    assert!(egress.remedy.contains("192.168.50.1"), "{}", egress.remedy);
    // One public router further it is somebody else's.
    seen.path.traces[1].hops = hops(&[Some([192, 168, 50, 1]), Some(ISP)]);
    seen.path.traces[0].hops.insert(2, Some([198, 51, 100, 9].into()));
    seen.path.traces[0].end = answered(5, Outcome::Open);
    assert_eq!(
        (finding(&seen).id, finding(&seen).place),
        (FindingId::PortDropped, Place::Path)
    );
}

#[test]
fn packets_that_no_router_sees_do_not_leave_this_host() {
    is(&silent_after(&[]), FindingId::ClientHostBlocked, Likely);
    // Without a trace nobody knows.
    let unknown = finding(&alone(ending(Outcome::Timeout, None)));
    assert_eq!(unknown.id, FindingId::PortDropped);
    assert!(unknown.alternatives.contains(&FindingId::ClientHostBlocked));
}

#[test]
fn a_port_that_answers_another_time_is_not_blocked() {
    let mut seen = silent_after(&[Some(ISP), Some(SERVER)]);
    knocking(&mut seen, |_| {}).stood = 5;
    assert_eq!(finding(&seen).id, FindingId::PacketLoss);
    let mut late = silent_after(&[Some(ISP), Some(SERVER)]);
    late.path.patient = vec![Attempt {
        rtt_ms: Some(4010.0),
        ..attempt(control(), Outcome::Open)
    }];
    assert_eq!(finding(&late).id, FindingId::LatencyAboveTimeout);
}

#[test]
fn a_router_that_asked_its_neighbour_in_vain_forwards_to_a_dead_host() {
    let mut seen = silent_after(&[Some(ISP), Some(SERVER)]);
    let told = |rtt| Attempt {
        rtt_ms: Some(rtt),
        icmp: Some(Icmp {
            kind: 3,
            code: 1,
            offender: Some(SERVER.into()),
        }),
        ..attempt(control(), Outcome::Unreachable)
    };
    seen.path.patient = vec![told(3060.0)];
    is(&seen, FindingId::ForwardDeadHost, Certain);
    seen.path.patient = vec![told(0.4)];
    is(&seen, FindingId::ForwardDeadHost, Likely);
}

#[test]
fn a_reset_made_nearer_than_it_was_fetched_from_is_forged() {
    let forged = is(&refused_at(3, 63), FindingId::PortRejected, Certain);
    assert_eq!(forged.place, Place::ServerFirewall);
    // The way back is shorter by a hop for everybody: nothing is forged.
    let mut seen = refused_at(3, 63);
    seen.path.answers[0].ttl = 63;
    assert_ne!(finding(&alone(seen)).id, FindingId::PortRejected);
}

#[test]
fn a_reset_from_the_nat_itself_is_a_missing_forward() {
    is(&refused_at(2, 63), FindingId::ForwardMissing, Likely);
    // Before any router it is this host.
    is(&refused_at(1, 64), FindingId::ClientHostBlocked, Likely);
}

#[test]
fn a_reset_from_as_far_as_the_server_needs_the_servers_word() {
    let mut seen = refused_at(3, 62);
    knocking(&mut seen, |counted| counted.in_receives = 8);
    is(&seen, FindingId::ServerHostBlocked, Certain);
    knocking(&mut seen, |_| {});
    is(&seen, FindingId::ForwardWrongHost, Certain);
    let unknown = is(&alone(seen.clone()), FindingId::ServerNotListening, Likely);
    for id in [
        FindingId::ServerHostBlocked,
        FindingId::ForwardWrongHost,
        FindingId::ServerLoopbackOnly,
    ] {
        assert!(unknown.alternatives.contains(&id), "{id}");
    }
    let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
        unreachable!()
    };
    let mut host = HostState::default();
    evidence.host = Some(Box::new(host.clone()));
    is(&seen, FindingId::ServerNotListening, Certain);
    host.listening = vec![Listener {
        address: "127.0.0.1:2021".parse().unwrap(),
        waiting: 0,
    }];
    let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
        unreachable!()
    };
    evidence.host = Some(Box::new(host));
    is(&seen, FindingId::ServerLoopbackOnly, Certain);
}

#[test]
fn an_error_from_this_host_is_its_own_firewall_and_one_from_the_first_router_the_clients() {
    let mut seen = ending(Outcome::Unreachable, None);
    let mut told = |who: [u8; 4]| {
        seen.attempts.get_mut(&Flow::FtpControl).unwrap().icmp = Some(Icmp {
            kind: 3,
            code: 13,
            offender: Some(who.into()),
        });
        finding(&seen).id
    };
    assert_eq!(told([198, 51, 100, 10]), FindingId::ClientHostBlocked);
    assert_eq!(told(ISP), FindingId::ClientEgressBlocked);
    assert_eq!(told(SERVER), FindingId::PortRejected);
}

#[test]
fn an_error_in_the_servers_name_is_its_own_firewalls_where_no_router_stands_between() {
    let mut seen = ending(Outcome::Unreachable, None);
    seen.attempts.get_mut(&Flow::FtpControl).unwrap().icmp = Some(Icmp {
        kind: 3,
        code: 3,
        offender: Some(SERVER.into()),
    });
    // The server counted, and noticed nothing: it may have been busy.
    knocking(&mut seen, |_| {});
    is(&seen, FindingId::PortRejected, Certain);
    for trace in &mut seen.path.traces {
        (trace.hops, trace.end) = (Vec::new(), answered(1, Outcome::Open));
    }
    // Somebody translates the address all the same.
    is(&seen, FindingId::PortRejected, Certain);
    let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
        unreachable!()
    };
    for sighting in &mut evidence.sightings {
        sighting.local.set_ip(SERVER.into());
    }
    let blocked = is(&seen, FindingId::ServerHostBlocked, Likely);
    assert_eq!(
        (blocked.place, blocked.alternatives),
        (Place::ServerHost, vec![FindingId::PortRejected])
    );
}

/// 2021 stands and nothing comes.
fn mute(outcome: Outcome, hop: u8) -> Observations {
    let all = hops(&[Some(ISP), Some(SERVER)]);
    let trace = (all[..usize::from(hop - 1)].to_vec(), answered(hop, Outcome::Open));
    let mut seen = ending(Outcome::Open, Some(trace));
    seen.ftp = Some(FtpTalk {
        trouble: Some(Trouble {
            during: "waiting for the greeting".to_owned(),
            outcome,
            text: "nothing came within 3.0s".to_owned(),
            wrong_protocol: false,
        }),
        ..FtpTalk::default()
    });
    seen
}

#[test]
fn a_control_port_that_stands_and_says_nothing_has_a_cause() {
    let mut seen = mute(Outcome::Silent, 3);
    let hung = finding(&alone(seen.clone()));
    assert_eq!((hung.id, hung.confidence), (FindingId::ServerHung, Possible));
    assert!(hung.alternatives.contains(&FindingId::InspectionBlocksFtp));
    knocking(&mut seen, |_| {}).waiting = Some(3);
    is(&seen, FindingId::ServerHung, Certain);
    knocking(&mut seen, |_| {}).accepted = Some(1);
    is(&seen, FindingId::InspectionBlocksFtp, Certain);
    knocking(&mut seen, |_| {});
    assert_eq!(finding(&seen).id, FindingId::ProxyBackendDown);
}

#[test]
fn who_accepts_nearer_than_the_server_has_no_server_behind_it() {
    let proxy = is(&alone(mute(Outcome::Reset, 2)), FindingId::ProxyBackendDown, Likely);
    assert!(
        proxy.evidence.iter().any(|line| line.contains("hop 2 accepts")),
        "{proxy:#?}"
    );
    // From as far as the server it is only possible.
    assert_eq!(finding(&alone(mute(Outcome::Reset, 3))).confidence, Possible);
}

#[test]
fn a_421_is_the_servers_limit() {
    let mut seen = mute(Outcome::Open, 3);
    seen.ftp.as_mut().unwrap().greeting = Some(Reply::new(421, "Too many sessions, try again later"));
    let limit = finding(&seen);
    assert_eq!(limit.id, FindingId::ServerConnectionLimit);
    assert!(limit.evidence[0].contains("Too many sessions"), "{limit:#?}");
}

/// Everything that must be open is silent.
fn nothing_answers() -> Observations {
    let mut seen = alone(healthy());
    for (flow, known) in &mut seen.attempts {
        if !matches!(flow, Flow::Http) {
            *known = attempt(known.to, Outcome::Timeout);
        }
    }
    (seen.ftp, seen.version, seen.http) = (None, None, None);
    seen.attempts.remove(&Flow::Http);
    seen.passive.ports.clear();
    seen.path.traces = vec![Trace {
        to: control(),
        hops: hops(&[Some(ISP)]),
        end: TraceEnd::Silence,
    }];
    seen
}

#[test]
fn when_nothing_answers_the_source_is_suspected_and_everything_else_possible() {
    let blocked = is(&nothing_answers(), FindingId::SourceBlocked, Possible);
    for id in [
        FindingId::PortDropped,
        FindingId::ReturnPathBroken,
        FindingId::NoRoute,
        FindingId::LatencyAboveTimeout,
        FindingId::HairpinMissing,
    ] {
        assert!(blocked.alternatives.contains(&id), "{id}");
    }
    // A client with a public address is not inside.
    let mut outside = nothing_answers();
    outside.path.local = Some([198, 51, 100, 10].into());
    let blocked = is(&outside, FindingId::SourceBlocked, Possible);
    assert!(!blocked.alternatives.contains(&FindingId::HairpinMissing));
    let mut inside = nothing_answers();
    inside.path.traces[0].hops = hops(&[Some([192, 168, 50, 1])]);
    assert_eq!(finding(&inside).id, FindingId::ClientEgressBlocked);
    inside.path.traces[0].hops.clear();
    assert_eq!(finding(&inside).id, FindingId::ClientHostBlocked);
}

#[test]
fn packets_that_the_dialled_address_itself_passes_on_are_dropped_there_or_behind() {
    let mut seen = nothing_answers();
    seen.path.traces[0].hops = hops(&[Some(ISP), Some(SERVER)]);
    let blocked = is(&seen, FindingId::SourceBlocked, Likely);
    assert_eq!(blocked.place, Place::ServerFirewall);
    for id in [
        FindingId::PortDropped,
        FindingId::ReturnPathBroken,
        FindingId::ServerHostBlocked,
    ] {
        assert!(blocked.alternatives.contains(&id), "{id}");
    }
    for id in [
        FindingId::ForwardMissing,
        FindingId::NoRoute,
        FindingId::ClientEgressBlocked,
    ] {
        assert!(!blocked.alternatives.contains(&id), "{id}");
    }
    // Waited for long enough, and this host's own counters were read.
    assert!(blocked.alternatives.contains(&FindingId::LatencyAboveTimeout));
    assert!(blocked.alternatives.contains(&FindingId::ClientHostBlocked));
    seen.path.patient = vec![attempt(control(), Outcome::Timeout)];
    knocking(&mut seen, |_| {}).server = None;
    let blocked = is(&seen, FindingId::SourceBlocked, Likely);
    assert!(!blocked.alternatives.contains(&FindingId::LatencyAboveTimeout));
    assert!(!blocked.alternatives.contains(&FindingId::ClientHostBlocked));
}

#[test]
fn without_a_router_on_the_way_no_device_on_it_is_blamed() {
    let silent_at = |hop| {
        let mut seen = ending(Outcome::Open, Some((hops(&[]), answered(hop, Outcome::Open))));
        let silent = Trouble {
            during: "waiting for the greeting".to_owned(),
            outcome: Outcome::Silent,
            text: "nothing came".to_owned(),
            wrong_protocol: false,
        };
        seen.ftp = Some(FtpTalk {
            trouble: Some(silent),
            ..FtpTalk::default()
        });
        seen.path.traces[0].end = answered(hop, Outcome::Open);
        seen.path.traces[0].hops.truncate(usize::from(hop - 1));
        seen
    };
    let hung = is(&alone(silent_at(1)), FindingId::ServerHung, Possible);
    assert!(!hung.alternatives.contains(&FindingId::ForwardWrongHost));
    let hung = is(&alone(silent_at(3)), FindingId::ServerHung, Possible);
    assert!(hung.alternatives.contains(&FindingId::ForwardWrongHost));
    // Accepted, and nothing listens.
    let nobody = |hop| {
        let mut seen = silent_at(hop);
        let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
            panic!("healthy paths have evidence");
        };
        evidence.server.listening.remove(&Flow::FtpControl);
        is(&seen, FindingId::ProxyBackendDown, Certain)
    };
    let (here, there) = (nobody(1), nobody(3));
    assert_eq!((here.place, there.place), (Place::ServerHost, Place::Path));
    assert!(
        !here.summary.contains("on the way") && !here.remedy.contains("on the way"),
        "{here:#?}"
    );
    assert!(there.summary.contains("a device on the way"), "{there:#?}");
}

#[test]
fn answers_from_another_address_make_this_host_send_resets() {
    let mut seen = nothing_answers();
    let knock = knocking(&mut seen, |_| {});
    knock.server = None;
    knock.client.as_mut().unwrap().dialled.out_resets = 8;
    is(&seen, FindingId::ReturnPathBroken, Likely);
    // Late answers of earlier attempts do, too.
    seen.path.knocks[0].client.as_mut().unwrap().quiet.out_resets = 3;
    assert_eq!(finding(&seen).id, FindingId::SourceBlocked);
}

#[test]
fn an_icmp_error_for_some_of_many_silent_ports_stands_for_all() {
    let mut seen = nothing_answers();
    let told = seen.attempts.get_mut(&Flow::Events).unwrap();
    told.outcome = Outcome::Unreachable;
    told.icmp = Some(Icmp {
        kind: 3,
        code: 0,
        offender: Some(ISP.into()),
    });
    let route = is(&seen, FindingId::NoRoute, Likely);
    assert!(
        route
            .evidence
            .iter()
            .any(|line| line.contains("only so many ICMP errors")),
        "{route:#?}"
    );
}

#[test]
fn ports_that_nobody_planned_reach_the_server() {
    use fwdrill_protocol::finding::Severity;
    let open_to = |ports: &[u16], hop| {
        let mut seen = healthy();
        seen.path.reference = Some(at(2221));
        let trace = |to, hop| Trace {
            to,
            hops: hops(&[Some(ISP), Some(SERVER)])[..usize::from(hop) - 1].to_vec(),
            end: answered(hop, Outcome::Refused),
        };
        seen.path.traces = vec![trace(at(2221), 3), trace(at(ports[0]), hop)];
        let outcome = |port| {
            if ports.contains(&port) {
                Outcome::Refused
            } else {
                Outcome::Timeout
            }
        };
        seen.path.unplanned = [3022, 4023, 2299, 5000]
            .map(|port| attempt(at(port), outcome(port)))
            .to_vec();
        seen.attempts.insert(Flow::System, attempt(at(2226), Outcome::Open));
        seen
    };
    let ids = |seen: &Observations| -> Vec<_> {
        report_of(seen)
            .findings
            .iter()
            .map(|finding| (finding.id, finding.severity))
            .collect()
    };
    // The open 2226 is a consequence.
    let all = open_to(&[3022, 4023, 2299, 5000], 3);
    assert_eq!(ids(&all), [(FindingId::ExposedBeyondPlan, Severity::Error)]);
    // A range that is a port too wide is no reason for it, and no fault.
    let forbidden = (FindingId::ForbiddenPortOpen, Severity::Error);
    let wide = open_to(&[4023], 3);
    assert_eq!(ids(&wide), [forbidden, (FindingId::ExposedBeyondPlan, Severity::Info)]);
    // A firewall that answers for itself lets nothing through, and inside nobody minds.
    assert_eq!(ids(&open_to(&[3022, 4023, 2299, 5000], 2)), [forbidden]);
    let mut inside = all;
    inside.vantage = "inside".to_owned();
    assert_eq!(ids(&inside), [forbidden]);
}

/// Inside, and every port of the public address is refused, the traced one at hop `hop`.
fn refused_inside(hop: u8) -> Observations {
    let mut seen = healthy();
    let refused: Vec<Flow> = seen.attempts.keys().copied().collect();
    for flow in refused {
        let port = seen.attempts[&flow].to.port();
        seen.attempts.insert(flow, attempt(at(port), Outcome::Refused));
    }
    (seen.ftp, seen.version, seen.http) = (None, None, None);
    seen.greetings.clear();
    seen.passive.ports.clear();
    seen.passive.swept = false;
    seen.evidence = EvidenceFetch::Unavailable("nothing answers".to_owned());
    seen.vantage = "inside".to_owned();
    seen.path.local = Some([172, 17, 0, 50].into());
    seen.path.reference = None;
    let before = vec![None; usize::from(hop) - 1];
    let trace = |port| Trace {
        to: at(port),
        hops: before.clone(),
        end: answered(hop, Outcome::Refused),
    };
    seen.path.traces = vec![trace(2021), trace(3333)];
    seen
}

#[test]
fn a_client_inside_whom_the_first_device_refuses_every_port_of_the_public_address_misses_the_hairpin() {
    let findings = report_of(&refused_inside(1)).findings;
    let [found] = findings.as_slice() else {
        panic!("{findings:#?}")
    };
    assert_eq!(
        (found.id, found.confidence),
        (FindingId::HairpinMissing, Confidence::Likely)
    );
    for other in [
        FindingId::ForwardMissing,
        FindingId::ClientEgressBlocked,
        FindingId::ServerNotListening,
    ] {
        assert!(found.alternatives.contains(&other), "{other}");
    }
}

#[test]
fn a_refusal_from_farther_off_or_outside_or_of_one_port_is_no_missing_hairpin() {
    let mut outside = refused_inside(1);
    outside.vantage = "outside".to_owned();
    let mut one_works = refused_inside(1);
    one_works
        .attempts
        .insert(Flow::Events, attempt(at(2225), Outcome::Open));
    let mut public_client = refused_inside(1);
    public_client.path.local = Some([203, 0, 113, 77].into());
    for seen in [refused_inside(2), outside, one_works, public_client] {
        let ids: Vec<FindingId> = report_of(&seen).findings.iter().map(|finding| finding.id).collect();
        assert!(!ids.is_empty() && !ids.contains(&FindingId::HairpinMissing), "{ids:?}");
    }
}

#[test]
fn without_a_trace_nobody_knows_who_refuses_the_ports() {
    let mut seen = refused_inside(1);
    seen.path.traces.clear();
    let findings = report_of(&seen).findings;
    assert!(
        findings
            .iter()
            .all(|finding| finding.id != FindingId::HairpinMissing && finding.confidence == Confidence::Possible),
        "{findings:#?}"
    );
}
