use std::net::IpAddr;

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::finding::{Confidence, Finding, FindingId};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::{Outcome, Report, Verdict};
use fwdrill_protocol::task_port::TaskPortAnswer;

use crate::diagnosis::diagnose;
use crate::diagnosis::testing::healthy;
use crate::observation::Observations;
use crate::observation::task_port::TaskPort;
use FindingId::*;

const CLIENT: [u8; 4] = [198, 51, 100, 10];
const NAT: [u8; 4] = [198, 51, 100, 2];
const FIREWALL: [u8; 4] = [10, 20, 0, 1];
const PROVIDER: [u8; 4] = [203, 0, 113, 1];

fn hops(hops: &[[u8; 4]]) -> Vec<Option<IpAddr>> {
    hops.iter().map(|hop| Some(IpAddr::from(*hop))).collect()
}

/// A client without NAT, two routers away, and nothing answers: what its own firewall does.
fn blocked() -> TaskPort {
    TaskPort {
        own: Some(CLIENT.into()),
        listening: Some(([0, 0, 0, 0], 2222).into()),
        not_listening: None,
        arrivals: Vec::new(),
        undelivered: Some(2),
        answer: Some(TaskPortAnswer {
            from: ([10, 20, 0, 10], 40000).into(),
            to: (CLIENT, 2222).into(),
            outcome: Outcome::Timeout,
            offender: None,
            proved: None,
            routers: Some(2),
            hops: hops(&[FIREWALL, PROVIDER]),
            hops_elsewhere: hops(&[FIREWALL, PROVIDER]),
        }),
        refusal: None,
    }
}

/// A client behind a NAT, three routers away.
fn behind_nat() -> TaskPort {
    with(blocked(), |seen, answer| {
        seen.own = Some([192, 168, 50, 10].into());
        seen.undelivered = Some(0);
        answer.to = (NAT, 2222).into();
        answer.routers = Some(3);
    })
}

/// Somebody answers at the NAT's address.
fn answered_by_another() -> TaskPort {
    with(behind_nat(), |_, answer| {
        answer.outcome = Outcome::Open;
        answer.proved = Some(false);
        answer.hops.clear();
        answer.hops_elsewhere.clear();
    })
}

/// The firewall in front of the server drops what goes to 2222.
fn blocked_at_server() -> TaskPort {
    with(blocked(), |seen, answer| {
        seen.undelivered = Some(0);
        answer.hops = vec![Some(FIREWALL.into()), None];
    })
}

fn with(mut seen: TaskPort, change: impl FnOnce(&mut TaskPort, &mut TaskPortAnswer)) -> TaskPort {
    let mut answer = seen.answer.take().unwrap();
    change(&mut seen, &mut answer);
    seen.answer = Some(answer);
    seen
}

fn expecting(expected: Expected) -> Estate {
    let mut estate = Estate::default();
    let outside = estate.expect.entry("outside".to_owned()).or_default();
    outside.insert(Flow::Tasks, expected);
    estate
}

fn report(port: TaskPort) -> Report {
    let seen = Observations {
        task_port: Some(port),
        ..healthy()
    };
    diagnose(&expecting(Expected::Open), &seen)
}

#[track_caller]
fn only(port: TaskPort) -> Finding {
    let report = report(port);
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    report.findings[0].clone()
}

#[track_caller]
fn found(port: TaskPort, id: FindingId, confidence: Confidence, alternatives: &[FindingId]) {
    let finding = only(port);
    assert_eq!(
        (finding.id, finding.confidence, finding.alternatives.as_slice()),
        (id, confidence, alternatives),
        "{finding:?}"
    );
}

fn nothing(port: TaskPort) {
    let report = report(port);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[test]
fn a_server_that_reaches_the_client_is_no_finding() {
    let reached = |seen: &mut TaskPort, answer: &mut TaskPortAnswer| {
        seen.arrivals = vec![([203, 0, 113, 2], 40000).into()];
        answer.outcome = Outcome::Open;
        answer.proved = Some(true);
    };
    nothing(with(blocked(), reached));
    // A NAT that forwards to this client.
    let report = report(with(behind_nat(), reached));
    assert!(report.findings.is_empty());
    let row = report.flows.last().unwrap();
    assert_eq!((row.flow, row.verdict), (Flow::Tasks, Verdict::Pass));
}

#[test]
fn packets_that_the_host_does_not_deliver_blame_its_own_firewall() {
    found(blocked(), TaskPortHostBlocked, Confidence::Certain, &[]);
    assert_eq!(report(blocked()).verdict, Verdict::Fail);
}

#[test]
fn a_host_that_does_not_count_is_blamed_less_surely() {
    let uncounted = with(blocked(), |seen, _| seen.undelivered = None);
    found(
        uncounted,
        TaskPortHostBlocked,
        Confidence::Likely,
        &[TaskPortServerEgressBlocked],
    );
    // The only router between is the server's firewall: one of the two drops it.
    let next_door = with(blocked(), |seen, answer| {
        seen.undelivered = None;
        answer.routers = Some(1);
        (answer.hops, answer.hops_elsewhere) = (hops(&[FIREWALL]), hops(&[FIREWALL]));
    });
    found(
        next_door,
        TaskPortServerEgressBlocked,
        Confidence::Possible,
        &[TaskPortHostBlocked],
    );
    // One packet was somebody else's.
    let another = with(blocked(), |seen, _| seen.undelivered = Some(1));
    assert_eq!(only(another).confidence, Confidence::Possible);
}

#[test]
fn an_address_that_the_server_sees_otherwise_is_a_nat() {
    found(behind_nat(), TaskPortBehindNat, Confidence::Likely, &[]);
    // It refuses what comes to itself.
    let refused = with(behind_nat(), |_, answer| answer.outcome = Outcome::Refused);
    found(refused, TaskPortBehindNat, Confidence::Certain, &[]);
    // A host behind it that drops what it is sent looks the same, if nobody counts.
    let uncounted = with(behind_nat(), |seen, _| seen.undelivered = None);
    found(uncounted, TaskPortBehindNat, Confidence::Likely, &[TaskPortHostBlocked]);
}

#[test]
fn a_nat_that_passes_the_packet_on_forwards_it_to_another_host() {
    let forwarded = |seen: &mut TaskPort, answer: &mut TaskPortAnswer| {
        seen.undelivered = Some(0);
        answer.hops = hops(&[FIREWALL, PROVIDER, NAT]);
    };
    found(
        with(behind_nat(), forwarded),
        TaskPortWrongHost,
        Confidence::Likely,
        &[TaskPortHostBlocked],
    );
    // To this host, whose own firewall drops it.
    let here = with(with(behind_nat(), forwarded), |seen, _| seen.undelivered = Some(2));
    assert_eq!(only(here).id, TaskPortHostBlocked);
}

#[test]
fn who_answers_without_the_proof_is_another_host() {
    found(answered_by_another(), TaskPortWrongHost, Confidence::Certain, &[]);
    // Without a NAT it is somebody on the way.
    let without = with(answered_by_another(), |seen, answer| {
        seen.own = Some(answer.to.ip());
    });
    found(without, TaskPortWrongHost, Confidence::Likely, &[]);
    // The client was asked all the same, and only its answer got lost.
    nothing(with(answered_by_another(), |seen, _| {
        seen.arrivals = vec![([203, 0, 113, 2], 40000).into()]
    }));
}

#[test]
fn a_port_that_ends_at_the_servers_first_router_while_others_go_on_is_blocked_there() {
    found(
        blocked_at_server(),
        TaskPortServerEgressBlocked,
        Confidence::Certain,
        &[],
    );
    // All ports end there: a firewall that lets nothing out, and the client's packets come from farther away.
    let all = with(blocked_at_server(), |_, answer| {
        answer.hops_elsewhere = answer.hops.clone()
    });
    found(
        all,
        TaskPortServerEgressBlocked,
        Confidence::Likely,
        &[TaskPortHostBlocked],
    );
    let said = with(blocked_at_server(), |_, answer| {
        answer.outcome = Outcome::Unreachable;
        answer.offender = Some(FIREWALL.into());
    });
    found(said, TaskPortServerEgressBlocked, Confidence::Certain, &[]);
}

#[test]
fn without_facts_nobody_is_blamed() {
    nothing(TaskPort {
        answer: None,
        refusal: Some("429".to_owned()),
        ..blocked()
    });
    nothing(with(blocked(), |seen, _| seen.own = None));
    nothing(with(blocked(), |_, answer| answer.outcome = Outcome::CheckFailed));
    // Another program has the port: whoever answers there may be that one.
    let held = with(blocked(), |seen, _| {
        (seen.listening, seen.not_listening) = (None, Some("in use".to_owned()));
    });
    let report = report(held);
    assert!(report.findings.is_empty());
    assert_eq!(report.flows.last().unwrap().outcome, Outcome::CheckFailed);
    assert_eq!(report.verdict, Verdict::Inconclusive);
}

#[test]
fn nobody_is_told_of_a_port_that_nobody_expects_anything_of() {
    let seen = Observations {
        task_port: Some(behind_nat()),
        ..healthy()
    };
    let report = diagnose(&Estate::default(), &seen);
    assert!(report.findings.is_empty() && report.flows.iter().all(|row| row.flow != Flow::Tasks));
    // One that must be closed and is.
    let closed = diagnose(&expecting(Expected::Closed), &seen);
    assert!(closed.findings.is_empty());
    assert_eq!(closed.flows.last().unwrap().verdict, Verdict::Pass);
}
