//! Observations for tests: a healthy path, and what goes wrong with it.

use std::net::SocketAddr;

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::evidence::{Evidence, ServerState};
use fwdrill_protocol::finding::FindingId;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::ftp_reply::Reply;
use fwdrill_protocol::report::{Outcome, Report};
use fwdrill_protocol::sighting::{Event, Sighting};
use fwdrill_protocol::update_set::{Sha256, VersionAnswer};
use jiff::Timestamp;

use crate::observation::*;

/// The address that clients dial.
pub(crate) const SERVER: [u8; 4] = [203, 0, 113, 2];

pub(crate) fn report_of(seen: &Observations) -> Report {
    super::diagnose(&Estate::default(), seen)
}

pub(crate) fn ids(report: &Report) -> Vec<FindingId> {
    report.findings.iter().map(|finding| finding.id).collect()
}

/// What a client would have that asks for no evidence.
pub(crate) fn alone(mut seen: Observations) -> Observations {
    seen.evidence = EvidenceFetch::NotAsked;
    seen
}

/// What a client has that asked for evidence and got none.
pub(crate) fn unanswered(mut seen: Observations) -> Observations {
    seen.evidence = EvidenceFetch::Unavailable("nothing answers".to_owned());
    seen
}

/// The server says that it gave this answer to the request for the manifest over HTTP.
pub(crate) fn answered(evidence: &mut Evidence, status: u16) {
    let mut answered = evidence.sightings[0].clone();
    answered.flow = Flow::Http;
    answered.event = Event::Answered {
        request: "GET /manifest.json".to_owned(),
        status,
    };
    evidence.sightings.push(answered);
}

pub(crate) fn at(port: u16) -> SocketAddr {
    (SERVER, port).into()
}

pub(crate) fn attempt(to: SocketAddr, outcome: Outcome) -> Attempt {
    Attempt {
        to,
        outcome,
        rtt_ms: (outcome != Outcome::Timeout).then_some(0.4),
        icmp: None,
        error: None,
    }
}

/// From outside, through a firewall that is right: everything works, 2226 and 2227 are silent.
pub(crate) fn healthy() -> Observations {
    let estate = Estate::default();
    let drill = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
    let closed = |flow| matches!(flow, Flow::System | Flow::SelfEvents);
    let attempts = estate
        .flows()
        .filter_map(|flow| {
            let outcome = if closed(flow) { Outcome::Timeout } else { Outcome::Open };
            Some((flow, attempt(at(estate.port(flow)?), outcome)))
        })
        .collect();
    let sighting = |flow: Flow| Sighting {
        schema: Sighting::SCHEMA.to_owned(),
        at: Timestamp::UNIX_EPOCH,
        drill: Some(drill),
        flow,
        local: "10.20.0.10:1".parse().unwrap(),
        peer: "198.51.100.10:40000".parse().unwrap(),
        syn: None,
        event: Event::Accepted,
    };
    Observations {
        drill,
        target: "update.example.net".to_owned(),
        vantage: "outside".to_owned(),
        started: Timestamp::UNIX_EPOCH,
        elapsed_ms: 1234,
        resolution: Resolution {
            addresses: vec![SERVER.into()],
            error: None,
        },
        attempts,
        ftp: Some(FtpTalk {
            greeting: Some(Reply::new(220, "ready")),
            logged_in_as: Some("drill".to_owned()),
            passive: vec![
                passive(PassiveCommand::Epsv, at(3100)),
                passive(PassiveCommand::Pasv, at(3101)),
            ],
            ..Default::default()
        }),
        version: Some(HttpTalk {
            answers: vec![("GET /version".to_owned(), 200)],
            version: Some(VersionAnswer {
                version: "22.0.1".to_owned(),
                published: Timestamp::UNIX_EPOCH,
                serial: 7,
                manifest: "/sets/7/manifest.json".to_owned(),
            }),
            ..Default::default()
        }),
        http: Some(HttpTalk {
            answers: vec![("GET /manifest.json".to_owned(), 200)],
            transfers: vec![transfer("/policies/scan.json")],
            ..Default::default()
        }),
        greetings: Default::default(),
        passive: PassiveObservation {
            planned: estate.handed_out_ports(),
            swept: true,
            no_sweep: None,
            busy: PortSet::default(),
            again: Vec::new(),
            ports: [3023, 3332, 3334, 4022]
                .map(|port| passive_port(port, Outcome::Open))
                .to_vec(),
        },
        path: Default::default(),
        content: Default::default(),
        beside: Default::default(),
        endurance: Default::default(),
        task_port: None,
        evidence: EvidenceFetch::Joined(Evidence {
            schema: Evidence::SCHEMA.to_owned(),
            server: Box::new(ServerState {
                listening: estate
                    .flows()
                    .filter_map(|flow| Some((flow, ([0, 0, 0, 0], estate.port(flow)?).into())))
                    .collect(),
                passive_ports: estate.handed_out_ports(),
                passive_listen: PortSet::default(),
                estate_ports: PortSet::default(),
                role: None,
                certificate: None,
            }),
            host: None,
            unnamed: Default::default(),
            set: None,
            forgotten: 0,
            sightings: estate.flows().filter(|flow| !closed(*flow)).map(sighting).collect(),
        }),
    }
}

/// One more thing that the server saw, at the addresses of the others.
pub(crate) fn sighted(seen: &mut Observations, flow: Flow, event: Event) {
    if let EvidenceFetch::Joined(evidence) = &mut seen.evidence {
        let mut sighting = evidence.sightings[0].clone();
        (sighting.flow, sighting.event) = (flow, event);
        evidence.sightings.push(sighting);
    }
}

/// The control port forwarded, the range not: what most firewalls get wrong.
pub(crate) fn blocked_range() -> Observations {
    let mut seen = healthy();
    for talk in &mut seen.ftp.as_mut().unwrap().passive {
        talk.data = Some(attempt(talk.told.unwrap(), Outcome::Timeout));
        talk.transfer = None;
    }
    for tried in &mut seen.passive.ports {
        *tried = passive_port(tried.port, Outcome::Timeout);
    }
    seen
}

pub(crate) fn passive_port(port: u16, outcome: Outcome) -> PassivePort {
    PassivePort {
        port,
        attempt: attempt(at(port), outcome),
        answered_as: (outcome == Outcome::Open).then_some(port),
        said: None,
    }
}

pub(crate) fn passive(command: PassiveCommand, told: SocketAddr) -> PassiveTalk {
    PassiveTalk {
        command,
        reply: Some(match (command, told) {
            (PassiveCommand::Pasv, SocketAddr::V4(told)) => Reply::passive(told),
            _ => Reply::extended_passive(told.port()),
        }),
        in_front: None,
        told: Some(told),
        data: Some(attempt(told, Outcome::Open)),
        at_control_address: None,
        segment: None,
        transfer: Some(transfer("/policies/scan.json")),
        trouble: None,
    }
}

pub(crate) fn transfer(path: &str) -> Transfer {
    let sha256 = Sha256::from_bytes([1; 32]);
    let expected = ExpectedContent {
        size: 300,
        sha256,
        according_to: "the manifest of serial 7".to_owned(),
    };
    Transfer {
        path: path.to_owned(),
        bytes: 300,
        sha256,
        expected: Some(expected),
        complete: true,
        paused: false,
    }
}
