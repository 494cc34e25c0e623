//! A client on the server's own network is sent to the public address, and the firewall does not send it back in:
//! `hairpin-missing`.

use std::net::IpAddr;

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Outcome;

use super::Diagnosis;
use super::facts::{Facts, is_private};
use crate::observation::PassiveCommand;

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let Some((told, dialled, local)) = of_the_reply(facts) else {
        return Vec::new();
    };
    let finding = Finding {
        id: FindingId::HairpinMissing,
        severity: Severity::Error,
        confidence: Confidence::Likely,
        flow: Flow::FtpPassive,
        summary: format!(
            "a client inside ({local}) is told to fetch data from {told}, the address for outside, and the firewall does not send that back in"
        ),
        place: Place::ServerFirewall,
        evidence: vec![
            format!("the control connection goes from {local} to {dialled}, with no router between"),
            format!("PASV says {told}: dialling that comes to nothing"),
        ],
        remedy: format!(
            "let the firewall forward {told} from the inside as well (dnat to {dialled} in the prerouting chain, masquerade in the postrouting chain), or tell clients inside another address: ftp.advertised_for = [{{ network = \"{local}/24\", address = \"{dialled}\" }}]"
        ),
        alternatives: vec![FindingId::AdvertisedAddressWrong],
    };
    vec![Diagnosis {
        finding,
        explains: vec![Flow::FtpPassive],
    }]
}

/// What the 227 says, what was dialled, and this client's address, where it is this fault.
pub(super) fn of_the_reply(facts: &Facts) -> Option<(IpAddr, IpAddr, IpAddr)> {
    let pasv = facts.passive(PassiveCommand::Pasv)?;
    let (told, dialled, local) = (pasv.told?.ip(), facts.address()?, facts.seen.path.local?);
    let lost = pasv
        .data
        .as_ref()
        .is_some_and(|data| matches!(data.outcome, Outcome::Timeout | Outcome::Refused | Outcome::Unreachable));
    let public = !is_private(told) && is_private(dialled) && is_private(local);
    // With a router between it is another site, and whether the public address should work from there is another question.
    let neighbours = facts
        .seen
        .path
        .traces
        .iter()
        .any(|trace| trace.to.ip() == dialled && trace.answered() == Some(1));
    (facts.expected(Flow::FtpPassive) == Expected::Open && lost && public && neighbours && local != dialled)
        .then_some((told, dialled, local))
}
