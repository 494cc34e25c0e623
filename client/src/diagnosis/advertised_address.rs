//! The 227 reply sends clients to an address they cannot reach: `advertised-address-private`,
//! `advertised-address-wrong`.
//!
//! Told apart from a blocked range by the other road to the same port: EPSV carries no address,
//! and the port of the 227 can be dialled at the control connection's address.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Outcome;

use super::facts::{Facts, is_private};
use super::{Diagnosis, alg, privacy};
use crate::observation::{Attempt, PassiveCommand};

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let hairpin = super::hairpin::of_the_reply(facts).is_some();
    // A helper that does its part for the one mode puts the right address into the reply to the other, or would have to.
    let helper = alg::is_to_blame(facts) || privacy::is_to_blame(facts);
    if facts.expected(Flow::FtpPassive) != Expected::Open || hairpin || helper {
        return Vec::new();
    }
    let Some(pasv) = facts.passive(PassiveCommand::Pasv) else {
        return Vec::new();
    };
    let (Some(told), Some(data), Some(dialled)) = (pasv.told, &pasv.data, facts.address()) else {
        return Vec::new();
    };
    // Another address that works is somebody's intention. A check that failed is no fact.
    if told.ip() == dialled || pasv.worked() || data.outcome == Outcome::CheckFailed {
        return Vec::new();
    }
    let private = is_private(told.ip()) && !is_private(dialled);
    let id = if private {
        FindingId::AdvertisedAddressPrivate
    } else {
        FindingId::AdvertisedAddressWrong
    };
    let epsv_works = facts
        .passive(PassiveCommand::Epsv)
        .is_some_and(crate::observation::PassiveTalk::worked);
    // Somebody accepts there, but the transfer fails: blame the address only where the other road works.
    if data.stood() && !epsv_works {
        return Vec::new();
    }
    let there = pasv.at_control_address.as_ref().is_some_and(Attempt::stood);
    let proven = epsv_works || there;
    // A private address cannot be meant for a client that dialled a public one, whatever else is
    // wrong; for any other address only the other road proves that the address is to blame.
    let (confidence, alternatives) = if proven || private {
        (Confidence::Certain, Vec::new())
    } else {
        (
            Confidence::Possible,
            vec![FindingId::PassiveRangeBlocked, FindingId::PassiveRangeNotForwarded],
        )
    };
    let reply = pasv
        .reply
        .as_ref()
        .map(|reply| format!("{} {}", reply.code, reply.text()))
        .unwrap_or_default();
    let mut evidence = vec![
        format!("the reply to PASV is \"{reply}\", while the control connection goes to {dialled}"),
        match (&pasv.trouble, data.stood()) {
            (Some(trouble), true) => format!("{told} accepts a connection, but {}: {}", trouble.during, trouble.text),
            _ => format!("dialling {told}: {}", data.outcome.name()),
        },
    ];
    if epsv_works {
        evidence.push("EPSV, which names no address, works in the same session".to_owned());
    }
    if there {
        evidence.push(format!("TCP {} at {dialled} accepts a connection", told.port()));
    }
    let what = if private {
        "a private address that no client outside can reach"
    } else {
        "an address at which clients do not reach it"
    };
    let finding = Finding {
        id,
        severity: Severity::Error,
        confidence,
        flow: Flow::FtpPassive,
        summary: format!("the server tells clients to fetch data from {}, {what}", told.ip()),
        place: Place::Server,
        evidence,
        remedy: format!(
            "set the address that clients dial: Ser_Pasv_IPAddr={dialled} in eserv.ini (ftp.advertised_address = \"{dialled}\"), and restart the server"
        ),
        alternatives,
    };
    vec![Diagnosis {
        finding,
        explains: vec![Flow::FtpPassive],
    }]
}
