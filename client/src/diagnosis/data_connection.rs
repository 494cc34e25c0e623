//! The data connection stands, and no transfer goes over it: `data-source-mismatch`, `passive-port-stolen`,
//! `passive-range-wrong-host`. What the server saw tells them apart; the client alone sees a 425 or nothing.

use std::net::IpAddr;

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::sighting::Event;

use super::facts::Facts;
use super::{Diagnosis, list, passive_range};
use crate::observation::{Attempt, PassiveTalk};

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    if facts.expected(Flow::FtpPassive) != Expected::Open {
        return Vec::new();
    }
    let talks: Vec<&PassiveTalk> = facts.seen.ftp.iter().flat_map(|talk| &talk.passive).collect();
    let unserved: Vec<&PassiveTalk> = talks
        .iter()
        .copied()
        .filter(|talk| talk.data.as_ref().is_some_and(Attempt::stood) && talk.transfer.is_none())
        .filter(|talk| talk.told.map(|told| told.ip()) == facts.address() && talk.trouble.is_some())
        .collect();
    // One mode that works shows that addresses are not the matter; then a stolen port may be.
    if unserved.is_empty() {
        return Vec::new();
    }
    let finding = match mismatch(facts) {
        Some((control, data)) => from_another_address(facts, &unserved, control, data),
        None => not_the_server(facts, &unserved, talks.iter().any(|talk| talk.worked())),
    };
    finding
        .map(|finding| Diagnosis {
            finding,
            explains: vec![Flow::FtpPassive, Flow::FtpControl],
        })
        .into_iter()
        .collect()
}

/// The addresses of the control and of the data connection, as the server saw and refused them.
fn mismatch(facts: &Facts) -> Option<(Option<IpAddr>, IpAddr)> {
    let sightings = &facts.seen.evidence.joined()?.sightings;
    let refused = sightings
        .iter()
        .find(|sighting| sighting.event == Event::DataSourceMismatch)?;
    let control = sightings.iter().find(|sighting| sighting.flow == Flow::FtpControl);
    Some((control.map(|sighting| sighting.peer.ip()), refused.peer.ip()))
}

fn words(unserved: &[&PassiveTalk]) -> Vec<String> {
    unserved
        .iter()
        .filter_map(|talk| {
            let trouble = talk.trouble.as_ref()?;
            Some(format!(
                "{} named port {}, which accepts a connection, but {}: {}",
                talk.command.name(),
                talk.told?.port(),
                trouble.during,
                trouble.text
            ))
        })
        .collect()
}

fn from_another_address(
    facts: &Facts,
    unserved: &[&PassiveTalk],
    control: Option<IpAddr>,
    data: IpAddr,
) -> Option<Finding> {
    let mut evidence = words(unserved);
    evidence.push(match control {
        Some(control) => {
            format!("the server sees the control connection from {control}, the data connection from {data}")
        }
        None => {
            format!("the server refused a data connection from {data}: another address than the control connection's")
        }
    });
    Some(Finding {
        id: FindingId::DataSourceMismatch,
        severity: Severity::Error,
        confidence: Confidence::Certain,
        flow: Flow::FtpPassive,
        summary: "control and data connections leave by different addresses, so the server refuses the data".to_owned(),
        place: Place::ClientFirewall,
        evidence,
        remedy: format!(
            "translate all connections of a client to {} to one source address (one snat rule for tcp dport {} and {{ {} }}, or a persistent pool)",
            facts.seen.target, facts.estate.ftp.port, facts.seen.passive.planned
        ),
        alternatives: Vec::new(),
    })
}

fn not_the_server(facts: &Facts, unserved: &[&PassiveTalk], other_mode_works: bool) -> Option<Finding> {
    use FindingId::{DataSourceMismatch, PassivePortStolen, PassiveRangeWrongHost, TransparentProxy};
    let planned = &facts.seen.passive.planned;
    let joined = facts.seen.evidence.joined();
    // The sweep has asked every port who it is; it says more than one session.
    let proven = facts.seen.passive.swept && !passive_range::open_in_sweep(facts).is_empty();
    let asked = &facts.seen.passive.ports;
    if facts.seen.passive.swept
        && asked
            .iter()
            .any(|tried| tried.attempt.stood() && tried.answered_as != Some(tried.port))
    {
        return None;
    }
    let ports = list(unserved.iter().filter_map(|talk| Some(talk.told?.port())));
    let came = joined.map(|evidence| {
        unserved.iter().any(|talk| {
            let port = talk.told.map(|told| told.port());
            let accepted = |event: &Event| matches!(event, Event::Accepted | Event::Transferred { .. });
            evidence.sightings.iter().any(|sighting| {
                sighting.flow == Flow::FtpPassive && accepted(&sighting.event) && Some(sighting.local.port()) == port
            })
        })
    });
    let mut evidence = words(unserved);
    let (id, confidence, place, alternatives) = match came {
        // The server has the connection, and yet nothing comes: not one of these.
        Some(true) => return None,
        Some(false) => {
            evidence.push(format!("no data connection arrived at the server's TCP {ports}"));
            let whole_range = planned.len() > 1 && !other_mode_works && !proven;
            let id = if whole_range {
                PassiveRangeWrongHost
            } else {
                PassivePortStolen
            };
            (
                id,
                Confidence::Likely,
                Place::ServerFirewall,
                vec![
                    if whole_range {
                        PassivePortStolen
                    } else {
                        PassiveRangeWrongHost
                    },
                    TransparentProxy,
                ],
            )
        }
        None if planned.len() == 1 => (
            PassivePortStolen,
            Confidence::Possible,
            Place::Unknown,
            vec![DataSourceMismatch, PassiveRangeWrongHost, TransparentProxy],
        ),
        None => (
            DataSourceMismatch,
            Confidence::Possible,
            Place::Unknown,
            vec![PassivePortStolen, PassiveRangeWrongHost, TransparentProxy],
        ),
    };
    Some(Finding {
        id,
        severity: Severity::Error,
        confidence,
        flow: Flow::FtpPassive,
        summary: format!("data connections to TCP {ports} are accepted by somebody, but the server does not have them"),
        place,
        evidence,
        remedy: format!(
            "look where tcp dport {{ {planned} }} at {} is forwarded to: it has to be {}, the host of TCP {}; and that clients keep one source address",
            facts.seen.target,
            passive_range::inside_address(facts),
            facts.estate.ftp.port
        ),
        alternatives,
    })
}
