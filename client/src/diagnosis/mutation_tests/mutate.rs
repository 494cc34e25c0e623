//! Odd facts, one at a time.

use std::net::{IpAddr, SocketAddr};

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::evidence::Evidence;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::ftp_reply::Reply;
use fwdrill_protocol::host::{Counters, HalfOpen, HostState, Listener};
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::sighting::{Event, Syn};
use fwdrill_protocol::task_port::TaskPortAnswer;
use fwdrill_protocol::update_set::Sha256;
use rand::RngExt;
use rand_chacha::ChaCha8Rng as Rng;

use super::super::testing::*;
use crate::observation::active::ActiveTalk;
use crate::observation::path::{AnswerTtl, Growth, Knock, OtherFamily, Trace, TraceEnd};
use crate::observation::privacy::{HelperTest, TlsTalk};
use crate::observation::task_port::TaskPort;
use crate::observation::*;

const OUTCOMES: [Outcome; 7] = [
    Outcome::Open,
    Outcome::Refused,
    Outcome::Timeout,
    Outcome::Unreachable,
    Outcome::Reset,
    Outcome::Silent,
    Outcome::CheckFailed,
];

/// Addresses of every kind that some rule asks for.
const ADDRESSES: [&str; 9] = [
    "203.0.113.2",
    "10.20.0.10",
    "198.51.100.10",
    "198.51.100.1",
    "192.168.50.1",
    "10.20.0.1",
    "127.0.0.1",
    "192.0.2.77",
    "2001:db8:20::10",
];

/// Ports of every kind.
const PORTS: [u16; 9] = [2021, 2221, 2225, 3333, 3023, 3100, 3101, 4022, 5000];

pub(super) fn estate(estate: &mut Estate, rng: &mut Rng) {
    use fwdrill_protocol::estate::{Mode, Tls};
    if rng.random_bool(0.1) {
        estate.mode = Mode::Http;
    }
    estate.ftp.active = rng.random_bool(0.3);
    estate.ftp.tls = *pick(rng, &[Tls::Optional, Tls::Off, Tls::Required]);
    if rng.random_bool(0.7) {
        let expected = estate.expect.entry("outside".to_owned()).or_default();
        expected.insert(Flow::Tasks, fwdrill_protocol::flow::Expected::Open);
    }
    if rng.random_bool(0.1) {
        let expected = estate.expect.entry("outside".to_owned()).or_default();
        expected.insert(Flow::Console, fwdrill_protocol::flow::Expected::Closed);
    }
}

/// Changes, adds or takes away one fact.
pub(super) fn one(seen: &mut Observations, rng: &mut Rng) {
    let kinds: [fn(&mut Observations, &mut Rng); 27] = [
        attempt_of_a_flow,
        attempt_of_a_flow,
        nothing_answers,
        talk_of_ftp,
        passive_talk,
        passive_talk,
        lost_passive_talks,
        active,
        talk_of_http,
        range,
        range,
        again,
        sweep,
        resolution,
        traces,
        traces,
        answers,
        knock,
        knock,
        unplanned_and_family,
        beside,
        evidence,
        host,
        sightings,
        sightings,
        task_port,
        task_port,
    ];
    let kind = kinds[rng.random_range(0..kinds.len())];
    kind(seen, rng);
}

fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.random_range(0..of.len())]
}

fn outcome(rng: &mut Rng) -> Outcome {
    *pick(rng, &OUTCOMES)
}

fn address(rng: &mut Rng) -> IpAddr {
    pick(rng, &ADDRESSES).parse().unwrap()
}

fn v4(rng: &mut Rng) -> IpAddr {
    pick(rng, &ADDRESSES[..8]).parse().unwrap()
}

fn end(rng: &mut Rng) -> SocketAddr {
    (address(rng), *pick(rng, &PORTS)).into()
}

fn some<T>(rng: &mut Rng, make: impl FnOnce(&mut Rng) -> T) -> Option<T> {
    rng.random_bool(0.6).then(|| make(rng))
}

fn icmp(rng: &mut Rng) -> Icmp {
    Icmp {
        kind: *pick(rng, &[3, 1, 11]),
        code: rng.random_range(0..14),
        offender: some(rng, address),
    }
}

fn tried(rng: &mut Rng, to: SocketAddr) -> Attempt {
    let outcome = outcome(rng);
    Attempt {
        rtt_ms: some(rng, |rng| f64::from(rng.random_range(0..50_000)) / 10.0),
        icmp: (outcome == Outcome::Unreachable).then(|| icmp(rng)),
        error: some(rng, |rng| (*pick(rng, &["Permission denied", "No route"])).to_owned()),
        ..attempt(to, outcome)
    }
}

fn trouble(rng: &mut Rng) -> Trouble {
    Trouble {
        during: (*pick(
            rng,
            &[
                "waiting for the greeting",
                "waiting for the reply to PASV",
                "RETR /manifest.json",
            ],
        ))
        .to_owned(),
        outcome: outcome(rng),
        text: "as it were".to_owned(),
        wrong_protocol: rng.random_bool(0.2),
    }
}

fn reply(rng: &mut Rng) -> Reply {
    let code = *pick(rng, &[200, 220, 227, 229, 421, 425, 500, 502, 504, 530, 550]);
    match code {
        227 => match (v4(rng), *pick(rng, &PORTS)).into() {
            SocketAddr::V4(told) => Reply::passive(told),
            SocketAddr::V6(_) => Reply::new(227, "no address"),
        },
        229 => Reply::extended_passive(*pick(rng, &PORTS)),
        code => Reply::new(code, "as it were"),
    }
}

fn attempt_of_a_flow(seen: &mut Observations, rng: &mut Rng) {
    let flow = *pick(rng, &Flow::ALL);
    if let Some(known) = seen.attempts.get(&flow).map(|attempt| attempt.to) {
        let tried = tried(rng, known);
        let lost = !tried.stood();
        seen.attempts.insert(flow, tried);
        // As a probe does; sometimes not, as a file may hold.
        if lost && rng.random_bool(0.8) {
            match flow {
                Flow::FtpControl => seen.ftp = None,
                Flow::Version => seen.version = None,
                Flow::Http => seen.http = None,
                _ => drop(seen.greetings.remove(&flow)),
            }
        }
    }
}

fn nothing_answers(seen: &mut Observations, rng: &mut Rng) {
    let outcome = outcome(rng);
    for known in seen.attempts.values_mut() {
        *known = attempt(known.to, outcome);
    }
    (seen.ftp, seen.version, seen.http) = (None, None, None);
}

fn talk_of_ftp(seen: &mut Observations, rng: &mut Rng) {
    let Some(talk) = &mut seen.ftp else { return };
    match rng.random_range(0..5) {
        0 => talk.greeting = some(rng, reply),
        1 => talk.logged_in_as = some(rng, |rng| (*pick(rng, &["drill", "anonymous"])).to_owned()),
        2 => talk.trouble = some(rng, trouble),
        3 => talk.passive.truncate(rng.random_range(0..2)),
        _ => {
            talk.tls = some(rng, |rng| TlsTalk {
                auth: some(rng, reply),
                certificate: some(rng, |_| Sha256::from_bytes([9; 32])),
            });
        }
    }
}

fn passive_talk(seen: &mut Observations, rng: &mut Rng) {
    let Some(talk) = &mut seen.ftp else { return };
    if talk.passive.is_empty() {
        return;
    }
    let at = rng.random_range(0..talk.passive.len());
    let one = &mut talk.passive[at];
    match rng.random_range(0..7) {
        0 => one.reply = some(rng, reply),
        1 => one.told = some(rng, end),
        2 => one.data = some(rng, |rng| tried(rng, one.told.unwrap_or(at_any(3100)))),
        3 => one.at_control_address = some(rng, |rng| tried(rng, super::super::testing::at(3101))),
        4 => {
            one.transfer = some(rng, |rng| Transfer {
                complete: rng.random_bool(0.7),
                sha256: Sha256::from_bytes([*pick(rng, &[1, 2]); 32]),
                ..transfer("/policies/scan.json")
            });
        }
        5 => one.in_front = some(rng, reply),
        _ => one.trouble = some(rng, trouble),
    }
}

fn at_any(port: u16) -> SocketAddr {
    super::super::testing::at(port)
}

/// What most faults look like: told, dialled in vain.
fn lost_passive_talks(seen: &mut Observations, rng: &mut Rng) {
    let outcome = *pick(rng, &[Outcome::Timeout, Outcome::Refused, Outcome::Unreachable]);
    let one_only = rng.random_bool(0.5);
    for talk in seen.ftp.iter_mut().flat_map(|talk| &mut talk.passive) {
        if one_only && talk.command == PassiveCommand::Epsv {
            continue;
        }
        if talk.command == PassiveCommand::Pasv && rng.random_bool(0.4) {
            *talk = passive(PassiveCommand::Pasv, (v4(rng), 3101).into());
            talk.at_control_address = some(rng, |rng| tried(rng, at_any(3101)));
        }
        talk.data = talk.told.map(|told| attempt(told, outcome));
        talk.transfer = None;
    }
}

fn active(seen: &mut Observations, rng: &mut Rng) {
    if let Some(talk) = &mut seen.ftp {
        talk.active = some(rng, |rng| ActiveTalk {
            told: (v4(rng), 50000).into(),
            command: "PORT".to_owned(),
            reply: some(rng, |rng| Reply::new(*pick(rng, &[200, 500, 502, 504]), "as it were")),
            from: (rng.random_bool(0.2)).then(|| end(rng)),
            listed: some(rng, |rng| Reply::new(*pick(rng, &[150, 425]), "as it were")),
            received: (rng.random_bool(0.2)).then_some(99),
            undelivered: some(rng, |rng| rng.random_range(0..4)),
            trouble: some(rng, trouble),
        });
    }
}

fn task_port(seen: &mut Observations, rng: &mut Rng) {
    let hops = |rng: &mut Rng| {
        (0..rng.random_range(0..4))
            .map(|_| some(rng, v4))
            .collect::<Vec<Option<IpAddr>>>()
    };
    seen.task_port = some(rng, |rng| {
        let to = (*pick(rng, &[[198, 51, 100, 10], [198, 51, 100, 1]]), 2222).into();
        TaskPort {
            own: some(rng, |_| [198, 51, 100, 10].into()),
            listening: some(rng, |_| ([0, 0, 0, 0], 2222).into()),
            not_listening: None,
            arrivals: if rng.random_bool(0.2) {
                vec![end(rng)]
            } else {
                Vec::new()
            },
            undelivered: some(rng, |rng| rng.random_range(0..4)),
            answer: some(rng, |rng| TaskPortAnswer {
                from: ([10, 20, 0, 10], 40000).into(),
                to,
                outcome: outcome(rng),
                offender: some(rng, v4),
                proved: some(rng, |rng| rng.random_bool(0.3)),
                routers: some(rng, |rng| rng.random_range(0..4)),
                hops: hops(rng),
                hops_elsewhere: hops(rng),
            }),
            refusal: None,
        }
    });
}

fn talk_of_http(seen: &mut Observations, rng: &mut Rng) {
    let talk = if rng.random_bool(0.5) {
        &mut seen.version
    } else {
        &mut seen.http
    };
    let Some(talk) = talk else { return };
    match rng.random_range(0..4) {
        0 => talk.answers.clear(),
        1 => talk.trouble = some(rng, trouble),
        2 => talk.version = None,
        _ => {
            for transfer in &mut talk.transfers {
                transfer.sha256 = Sha256::from_bytes([*pick(rng, &[1, 2]); 32]);
                transfer.complete = rng.random_bool(0.8);
            }
        }
    }
}

fn port_of_range(rng: &mut Rng, port: u16) -> PassivePort {
    let mut one = passive_port(port, outcome(rng));
    if one.attempt.stood() {
        one.answered_as = some(rng, |rng| port + *pick(rng, &[0, 0, 100]));
        one.said = some(rng, |_| "HTTP/1.1 400".to_owned());
    }
    one
}

fn range(seen: &mut Observations, rng: &mut Rng) {
    if rng.random_bool(0.3) {
        // All alike, as a firewall makes them.
        let outcome = outcome(rng);
        let ports: Vec<u16> = (0..rng.random_range(1..20)).map(|step| 3023 + 37 * step).collect();
        seen.passive.ports = ports.into_iter().map(|port| passive_port(port, outcome)).collect();
    } else {
        for tried in &mut seen.passive.ports {
            if rng.random_bool(0.5) {
                *tried = port_of_range(rng, tried.port);
            }
        }
    }
}

fn again(seen: &mut Observations, rng: &mut Rng) {
    let silent = seen
        .passive
        .ports
        .iter()
        .filter(|tried| tried.attempt.outcome == Outcome::Timeout);
    let ports: Vec<u16> = silent.map(|tried| tried.port).take(3).collect();
    seen.passive.again = ports.into_iter().map(|port| port_of_range(rng, port)).collect();
}

fn sweep(seen: &mut Observations, rng: &mut Rng) {
    match rng.random_range(0..3) {
        0 => seen.passive.swept = !seen.passive.swept,
        1 => {
            seen.passive.planned = pick(rng, &["3023-3332,3334-4022", "3023", "", "3023-3122"])
                .parse()
                .unwrap()
        }
        _ => seen.passive.busy = pick(rng, &["3023", "3023-3332,3334-4022", ""]).parse().unwrap(),
    }
}

fn resolution(seen: &mut Observations, rng: &mut Rng) {
    match rng.random_range(0..6) {
        0 => {
            seen.resolution = Resolution {
                addresses: vec![],
                error: Some("no such host".to_owned()),
            };
        }
        1 => seen.resolution.addresses.push(address(rng)),
        2 => seen.resolution.addresses = vec![address(rng)],
        3 => seen.vantage = (*pick(rng, &["server", "inside", "branch"])).to_owned(),
        _ => seen.path.local = some(rng, address),
    }
}

fn trace(rng: &mut Rng, to: SocketAddr) -> Trace {
    let hops: Vec<Option<IpAddr>> = (0..rng.random_range(0..5)).map(|_| some(rng, v4)).collect();
    let hop = u8::try_from(hops.len()).unwrap() + 1;
    let end = match rng.random_range(0..3) {
        0 => TraceEnd::Silence,
        1 => TraceEnd::Error { hop, icmp: icmp(rng) },
        _ => TraceEnd::Answered {
            hop,
            outcome: *pick(rng, &[Outcome::Open, Outcome::Refused]),
        },
    };
    Trace { to, hops, end }
}

fn traces(seen: &mut Observations, rng: &mut Rng) {
    // The way through a provider and the firewall to the server, and the ports in question.
    let firewall: [&str; 2] = ["198.51.100.1", "203.0.113.2"];
    seen.path.reference = some(rng, |_| at_any(2221));
    seen.path.traces = vec![Trace {
        to: at_any(2221),
        hops: firewall.iter().map(|who| Some(who.parse().unwrap())).collect(),
        end: TraceEnd::Answered {
            hop: 3,
            outcome: Outcome::Open,
        },
    }];
    for _ in 0..rng.random_range(0..4) {
        let to = at_any(*pick(rng, &PORTS));
        let mut found = trace(rng, to);
        if rng.random_bool(0.6) {
            let known: Vec<_> = seen.path.traces[0].hops.clone();
            found.hops = known[..rng.random_range(0..=known.len())].to_vec();
            if let TraceEnd::Answered { hop, .. } | TraceEnd::Error { hop, .. } = &mut found.end {
                *hop = u8::try_from(found.hops.len()).unwrap() + 1;
            }
        }
        seen.path.traces.push(found);
    }
}

fn answers(seen: &mut Observations, rng: &mut Rng) {
    seen.path.answers = (0..rng.random_range(0..4))
        .map(|at| AnswerTtl {
            to: at_any(PORTS[at]),
            outcome: *pick(rng, &[Outcome::Open, Outcome::Refused]),
            ttl: *pick(rng, &[64, 63, 62, 61, 1, 255]),
        })
        .collect();
    seen.path.patient = (0..rng.random_range(0..3))
        .map(|at| tried(rng, at_any(PORTS[at])))
        .collect();
}

fn counters(rng: &mut Rng) -> Counters {
    let mut counters = Counters {
        in_receives: 20,
        in_delivers: 20,
        ..Counters::default()
    };
    match rng.random_range(0..8) {
        0 => counters.in_delivers = 12,
        1 => counters.reverse_path = 8,
        2 => counters.listen_overflows = 8,
        3 => counters.out_resets = 8,
        4 => counters.attempt_fails = 8,
        _ => {}
    }
    counters
}

fn growth(rng: &mut Rng) -> Growth {
    Growth {
        quiet: if rng.random_bool(0.2) {
            counters(rng)
        } else {
            Counters::default()
        },
        dialled: counters(rng),
    }
}

fn knock(seen: &mut Observations, rng: &mut Rng) {
    let to = at_any(*pick(rng, &PORTS));
    seen.path.knocks.retain(|knock| knock.to != to);
    seen.path.knocks.push(Knock {
        to,
        syns: *pick(rng, &[1, 8]),
        stood: *pick(rng, &[0, 0, 0, 1, 8]),
        server: some(rng, growth),
        client: some(rng, growth),
        half_open: some(rng, |rng| *pick(rng, &[0, 0, 8])),
        waiting: some(rng, |rng| *pick(rng, &[0, 0, 3])),
        accepted: some(rng, |rng| *pick(rng, &[0, 0, 1])),
    });
}

fn unplanned_and_family(seen: &mut Observations, rng: &mut Rng) {
    if rng.random_bool(0.5) {
        seen.path.unplanned = [3022, 4023, 2299, 5000].map(|port| tried(rng, at_any(port))).to_vec();
        return;
    }
    let address: IpAddr = pick(rng, &["2001:db8:20::10", "192.0.2.77"]).parse().unwrap();
    let mut other = OtherFamily {
        address,
        attempts: Default::default(),
    };
    let alike = some(rng, outcome);
    for (flow, here) in &seen.attempts {
        let to = (address, here.to.port()).into();
        let there = alike.map_or_else(|| tried(rng, to), |outcome| attempt(to, outcome));
        other.attempts.insert(*flow, there);
    }
    seen.path.other_family = Some(other);
}

fn beside(seen: &mut Observations, rng: &mut Rng) {
    seen.beside.helper = some(rng, |rng| HelperTest {
        ordinary: rng.random_bool(0.8),
        watched: rng.random_bool(0.5),
    });
    seen.beside.under_tls = some(rng, |rng| {
        let talks = if rng.random_bool(0.5) {
            blocked_range()
        } else {
            healthy()
        };
        FtpTalk {
            tls: Some(TlsTalk {
                auth: None,
                certificate: some(rng, |_| Sha256::from_bytes([9; 32])),
            }),
            ..talks.ftp.unwrap()
        }
    });
}

fn evidence(seen: &mut Observations, rng: &mut Rng) {
    match rng.random_range(0..6) {
        0 => seen.evidence = EvidenceFetch::NotAsked,
        1 => seen.evidence = EvidenceFetch::Unavailable("nothing answers".to_owned()),
        kind => {
            let flow = *pick(rng, &Flow::ALL);
            let at = *pick(rng, &["127.0.0.1", "0.0.0.0", "::"]);
            let Some(joined) = joined(seen) else { return };
            match kind {
                2 => drop(joined.server.listening.remove(&flow)),
                3 => {
                    if let Some(address) = joined.server.listening.get_mut(&flow) {
                        address.set_ip(at.parse().unwrap());
                    }
                }
                4 => joined.sightings.clear(),
                _ => joined.forgotten = 7,
            }
        }
    }
}

fn joined(seen: &mut Observations) -> Option<&mut Evidence> {
    match &mut seen.evidence {
        EvidenceFetch::Joined(evidence) => Some(evidence),
        _ => None,
    }
}

fn host(seen: &mut Observations, rng: &mut Rng) {
    let Some(joined) = joined(seen) else { return };
    let mut listening = Vec::new();
    for address in joined.server.listening.values().copied() {
        if rng.random_bool(0.8) {
            let waiting = *pick(rng, &[0, 0, 5]);
            listening.push(Listener { address, waiting });
        }
    }
    if rng.random_bool(0.3) {
        listening.push(Listener {
            address: (v4(rng), *pick(rng, &PORTS)).into(),
            waiting: 0,
        });
    }
    joined.host = some(rng, |rng| {
        Box::new(HostState {
            listening,
            taken: some(rng, |rng| {
                pick(rng, &["", "3023", "3023-4022"]).parse::<PortSet>().unwrap()
            }),
            half_open: (0..rng.random_range(0..3))
                .map(|_| HalfOpen {
                    local: end(rng),
                    peer: end(rng),
                })
                .collect(),
            counters: counters(rng),
        })
    });
    joined.unnamed = [(Flow::FtpControl, rng.random_range(0..3))].into();
}

fn sightings(seen: &mut Observations, rng: &mut Rng) {
    let Some(joined) = joined(seen) else { return };
    match rng.random_range(0..4) {
        // Everything comes from another address, or to another.
        0 => {
            let (peer, all) = (v4(rng), rng.random_bool(0.6));
            for sighting in &mut joined.sightings {
                if all || sighting.flow == Flow::FtpControl {
                    sighting.peer.set_ip(peer);
                }
            }
        }
        1 => {
            let local = v4(rng);
            joined
                .sightings
                .iter_mut()
                .for_each(|sighting| sighting.local.set_ip(local));
        }
        2 => {
            for sighting in &mut joined.sightings {
                sighting.syn = some(rng, |rng| Syn {
                    ttl: *pick(rng, &[61, 61, 62, 63]),
                    mss: Some(1460),
                });
            }
        }
        _ => {
            let Some(mut sighting) = joined.sightings.first().cloned() else {
                return;
            };
            sighting.flow = *pick(rng, &[Flow::FtpControl, Flow::FtpPassive]);
            sighting.peer.set_ip(v4(rng));
            sighting.event = event(rng);
            joined.sightings.push(sighting);
        }
    }
}

fn event(rng: &mut Rng) -> Event {
    let to = (v4(rng), 50000).into();
    match rng.random_range(0..8) {
        0 => Event::Accepted,
        1 => Event::PassiveReply {
            reply: reply(rng).to_string(),
        },
        2 => Event::PassivePort {
            port: *pick(rng, &PORTS),
        },
        3 => Event::PassiveRangeExhausted,
        4 => Event::DataSourceMismatch,
        5 => Event::ActiveAddressRefused { to },
        6 => Event::ActiveConnection {
            to,
            outcome: outcome(rng),
        },
        _ => Event::Transferred {
            path: "/manifest.json".to_owned(),
            bytes: 300,
            complete: rng.random_bool(0.5),
        },
    }
}
