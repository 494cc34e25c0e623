//! A port that must be closed is open: `forbidden-port-open`, for the console `console-exposed`; ports that nobody planned
//! reach the server: `exposed-beyond-plan`.

use std::net::SocketAddr;

use fwdrill_protocol::estate::expectation::OUTSIDE;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::{Outcome, Seen};

use super::Diagnosis;
use super::facts::Facts;

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let beyond = beyond_plan(facts).map(|finding| Diagnosis {
        finding,
        explains: Vec::new(),
    });
    match beyond {
        // Then it is why the others are open, and says so.
        Some(beyond) if beyond.finding.severity == Severity::Error => vec![beyond],
        beyond => beyond.into_iter().chain(forbidden(facts)).collect(),
    }
}

/// Ports that nothing of the estate has reach the server's host: there, a RST says so as well as a connection.
fn beyond_plan(facts: &Facts) -> Option<Finding> {
    let path = &facts.seen.path;
    let server_at = path.reference()?.answered()?;
    let answered: Vec<_> = path
        .unplanned
        .iter()
        .filter(|attempt| matches!(attempt.outcome, Outcome::Open | Outcome::Refused))
        .collect();
    // Where no router stands between, nobody could have closed anything; and a firewall may answer for itself.
    let proof = answered.iter().find_map(|attempt| path.trace(attempt.to))?;
    let nearer = path
        .answer(proof.to)
        .is_some_and(|answer| answer.distance() < server_at);
    if facts.seen.vantage != OUTSIDE || server_at < 2 || proof.answered() != Some(server_at) || nearer {
        return None;
    }
    let ports: PortSet = answered.iter().map(|attempt| attempt.to.port()).collect();
    let all = answered.len() == path.unplanned.len();
    // A range opened a little too far (the guide's own 3023-4023 is one port more than its 1,000) harms nobody.
    let range = &facts.estate.ftp.passive_ports;
    let at_its_edge = |port: u16| range.contains(port.saturating_add(1)) || range.contains(port.saturating_sub(1));
    let only_wide = ports.iter().all(at_its_edge);
    let knock = path.knock(proof.to);
    let resets = knock.and_then(|knock| Some((knock.syns, knock.server?.more(|counters| counters.out_resets))));
    let sure = resets.is_some_and(|(syns, resets)| resets * 2 >= syns);
    let open: Vec<u16> = facts
        .ended(Outcome::Open)
        .into_iter()
        .filter(|flow| facts.expected(*flow) == Expected::Closed)
        .filter_map(|flow| Some(facts.attempt(flow)?.to.port()))
        .collect();
    let mut evidence = vec![format!(
        "of {} ports that the estate does not have, {} reach the server: {ports}",
        path.unplanned.len(),
        answered.len()
    )];
    evidence.push(format!(
        "TCP {} answers from hop {server_at}, where the server is",
        proof.to.port()
    ));
    if let Some((syns, resets)) = resets.filter(|_| sure) {
        evidence.push(format!(
            "the server's host sent {resets} resets while {syns} SYNs were sent there"
        ));
    }
    if !open.is_empty() {
        evidence.push(format!(
            "therefore ports that must be closed are open: TCP {}",
            super::list(&open)
        ));
    }
    let server = facts.server_address().unwrap_or_else(|| facts.seen.target.clone());
    Some(Finding {
        id: FindingId::ExposedBeyondPlan,
        severity: if only_wide { Severity::Info } else { Severity::Error },
        confidence: if sure { Confidence::Certain } else { Confidence::Likely },
        flow: Flow::System,
        summary: if all {
            format!(
                "the firewall lets every port through to the server, not only those of the estate (TCP {ports} of those tried)"
            )
        } else {
            format!("the firewall lets more through to the server than the estate needs: TCP {ports}")
        },
        place: Place::ServerFirewall,
        evidence,
        remedy: format!(
            "forward and accept only tcp dport {{ {} }} to {server} in the prerouting and forward chains, and drop the rest from {}",
            planned(facts),
            facts.seen.vantage
        ),
        alternatives: if sure {
            Vec::new()
        } else {
            vec![FindingId::ForwardWrongHost]
        },
    })
}

/// Everything that must be reachable from here.
fn planned(facts: &Facts) -> PortSet {
    let single = facts
        .estate
        .flows()
        .filter(|flow| facts.expected(*flow) == Expected::Open)
        .filter_map(|flow| facts.estate.port(flow));
    let range = facts.estate.handed_out_ports();
    let passive = facts.expected(Flow::FtpPassive) == Expected::Open;
    single.chain(range.iter().filter(|_| passive)).collect()
}

fn forbidden(facts: &Facts) -> Vec<Diagnosis> {
    facts
        .ended(Outcome::Open)
        .into_iter()
        .filter(|flow| facts.expected(*flow) == Expected::Closed)
        .map(|flow| Diagnosis {
            finding: finding(facts, flow),
            explains: Vec::new(),
        })
        .collect()
}

fn finding(facts: &Facts, flow: Flow) -> Finding {
    let port = facts.attempt(flow).map(|attempt| attempt.to.port()).unwrap_or_default();
    let reached = facts.seen_by_server(flow) == Seen::Yes;
    let vantage = &facts.seen.vantage;
    let led_inside = led_to_loopback(facts, flow);
    let (id, what) = match flow {
        Flow::Console => (FindingId::ConsoleExposed, "the web console"),
        _ => (FindingId::ForbiddenPortOpen, flow.title()),
    };
    Finding {
        id,
        severity: Severity::Error,
        // A proxy that accepts everything would look the same to the client alone.
        confidence: if reached {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        flow,
        summary: format!("TCP {port} ({what}) can be reached from {vantage}, although it must be closed there"),
        place: match led_inside {
            Some(_) => Place::ServerHost,
            None => Place::ServerFirewall,
        },
        evidence: vec![
            format!("a connection to TCP {port} was accepted"),
            match (led_inside, reached) {
                (Some(local), _) => format!("at the server it arrived at {local}, where only its own host can connect"),
                (None, true) => "the server saw it arrive".to_owned(),
                (None, false) => "whether it reached the server is not known".to_owned(),
            },
        ],
        remedy: match led_inside {
            Some(local) => format!(
                "take away what leads TCP {port} to {local} on the server's host: a DNAT to loopback (with the sysctl route_localnet), or a program that passes connections on"
            ),
            None => format!(
                "drop tcp dport {port} from {vantage} to {} in the forward chain, or take it out of the forwarded ports",
                facts.seen.target
            ),
        },
        alternatives: if reached {
            Vec::new()
        } else {
            vec![FindingId::TransparentProxy]
        },
    }
}

/// Where on the server's loopback this client's connection arrived, although it dialled another address.
fn led_to_loopback(facts: &Facts, flow: Flow) -> Option<SocketAddr> {
    facts.address().filter(|dialled| !dialled.is_loopback())?;
    let sightings = &facts.seen.evidence.joined()?.sightings;
    let of_flow = sightings.iter().filter(|sighting| sighting.flow == flow);
    let mut arrived = of_flow.map(|sighting| sighting.local);
    arrived.find(|local| local.ip().to_canonical().is_loopback())
}
