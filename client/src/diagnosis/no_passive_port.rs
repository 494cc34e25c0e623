//! The server has no passive port to give: `passive-range-exhausted`, `passive-port-busy`.

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::sighting::Event;

use super::Diagnosis;
use super::facts::Facts;

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    if facts.expected(Flow::FtpPassive) != Expected::Open {
        return Vec::new();
    }
    // 421, 425, 45z: not now. 500 and 502 refuse the command itself, and so do servers of another make.
    let refusal = facts.seen.ftp.iter().flat_map(|talk| &talk.passive).find_map(|talk| {
        let reply = talk.reply.as_ref().filter(|_| talk.told.is_none())?;
        (reply.code / 100 == 4 || reply.code == 500).then_some((talk.command, reply))
    });
    let Some((command, reply)) = refusal else {
        return Vec::new();
    };
    let planned = &facts.seen.passive.planned;
    // During a sweep the server itself listens on all that is free, and a session may have its port yet: whose listener it
    // is, only the server's host can say.
    let held: Option<PortSet> = facts.host().and_then(|host| {
        let taken = host.taken.as_ref()?;
        Some(taken.iter().filter(|port| planned.contains(*port)).collect())
    });
    let exhausted = facts.seen.evidence.joined().is_some_and(|evidence| {
        evidence
            .sightings
            .iter()
            .any(|sighting| sighting.event == Event::PassiveRangeExhausted)
    });
    let mut evidence = vec![format!(
        "{} is answered \"{} {}\"",
        command.name(),
        reply.code,
        reply.text()
    )];
    if exhausted {
        evidence.push(format!("the server notes that no port of {planned} was free"));
    }
    // A few ports that are others' are no reason why the rest is used up.
    let busy = held
        .as_ref()
        .filter(|held| !held.is_empty() && held.len() * 2 >= planned.len());
    let (id, confidence, place, summary, remedy, alternatives) = match (busy, held.is_some()) {
        (Some(held), _) => {
            evidence.push(format!("on the server's host another program listens on TCP {held}"));
            // All of a range: then nobody else has used it up.
            let all = held.len() == planned.len();
            (
                FindingId::PassivePortBusy,
                if all { Confidence::Certain } else { Confidence::Likely },
                Place::ServerHost,
                format!("another program on the server's host holds the passive port {held}"),
                format!(
                    "take TCP {held} out of ftp.passive_ports (StartingPassivePort, NoofPassivePorts), or move the program that listens there (ss -ltnp)"
                ),
                if all {
                    vec![]
                } else {
                    vec![FindingId::PassiveRangeExhausted]
                },
            )
        }
        (None, known) => (
            FindingId::PassiveRangeExhausted,
            if exhausted && known {
                Confidence::Likely
            } else {
                Confidence::Possible
            },
            Place::Server,
            format!("the server has no free passive port left of {planned}"),
            format!(
                "give the server a larger range than {planned} ({} ports; NoofPassivePorts), and open it on the firewalls",
                planned.len()
            ),
            vec![FindingId::PassivePortBusy],
        ),
    };
    let finding = Finding {
        id,
        severity: Severity::Error,
        confidence,
        flow: Flow::FtpPassive,
        summary,
        place,
        evidence,
        remedy,
        alternatives,
    };
    vec![Diagnosis {
        finding,
        explains: vec![Flow::FtpPassive],
    }]
}
