//! A client on the server's own network is sent to the public address, and the firewall does not send it back in:
//! `hairpin-missing`.
//!
//! If the way to that address leads out, past routers that are not of this network, it belongs to somebody else: then the
//! server tells clients another one's address (`advertised-address-wrong`).

use std::net::{IpAddr, SocketAddr};

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
    if leads_out(facts, pasv.told?) {
        return None;
    }
    (facts.expected(Flow::FtpPassive) == Expected::Open && lost && public && neighbours && local != dialled)
        .then_some((told, dialled, local))
}

/// Whether packets to an address leave this network: a router with a public address that is not the one in question passes
/// them on, or somebody answers behind more than one router.
fn leads_out(facts: &Facts, told: SocketAddr) -> bool {
    facts.seen.path.trace(told).is_some_and(|trace| {
        let mut passed = trace.hops.iter().flatten();
        passed.any(|router| *router != told.ip() && !is_private(*router))
            || trace
                .answered()
                .is_some_and(|hop| hop > 2 && trace.position(told.ip()).is_none())
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::observation::path::{Trace, TraceEnd};
    use crate::observation::{Observations, Resolution};

    const SERVER_INSIDE: [u8; 4] = [10, 20, 0, 10];
    const CLIENT: [u8; 4] = [10, 20, 0, 50];
    const GATEWAY: [u8; 4] = [10, 20, 0, 1];

    /// On the server's network, told the public address, where nothing answers.
    fn inside(outcome: Outcome) -> Observations {
        let mut seen = healthy();
        let public: SocketAddr = (SERVER, 3101).into();
        seen.resolution = Resolution {
            addresses: vec![SERVER_INSIDE.into()],
            error: None,
        };
        for attempt in seen.attempts.values_mut() {
            attempt.to.set_ip(SERVER_INSIDE.into());
        }
        for tried in &mut seen.passive.ports {
            tried.attempt.to.set_ip(SERVER_INSIDE.into());
        }
        let talks = &mut seen.ftp.as_mut().unwrap().passive;
        talks[0] = passive(PassiveCommand::Epsv, (SERVER_INSIDE, 3100).into());
        talks[1] = passive(PassiveCommand::Pasv, public);
        (talks[1].data, talks[1].transfer) = (Some(attempt(public, outcome)), None);
        talks[1].at_control_address = Some(attempt((SERVER_INSIDE, 3101).into(), Outcome::Open));
        seen.path.local = Some(CLIENT.into());
        seen.path.reference = Some((SERVER_INSIDE, 2221).into());
        seen.path.traces = vec![Trace {
            to: (SERVER_INSIDE, 2221).into(),
            hops: vec![],
            end: TraceEnd::Answered {
                hop: 1,
                outcome: Outcome::Open,
            },
        }];
        seen.vantage = "inside".to_owned();
        seen
    }

    fn through(mut seen: Observations, routers: &[[u8; 4]], end: TraceEnd) -> Observations {
        seen.path.traces.push(Trace {
            to: (SERVER, 3101).into(),
            hops: routers.iter().map(|router| Some(IpAddr::from(*router))).collect(),
            end,
        });
        seen
    }

    fn ids(seen: &Observations) -> Vec<FindingId> {
        report_of(seen).findings.iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn a_neighbour_that_is_sent_to_the_public_address_in_vain_misses_the_hairpin() {
        for outcome in [Outcome::Timeout, Outcome::Refused] {
            assert_eq!(ids(&inside(outcome)), [FindingId::HairpinMissing]);
        }
        // The firewall keeps it for itself, whether it says so or not.
        let own = TraceEnd::Answered {
            hop: 1,
            outcome: Outcome::Refused,
        };
        for end in [TraceEnd::Silence, own] {
            let seen = through(inside(Outcome::Refused), &[], end);
            assert_eq!(ids(&seen), [FindingId::HairpinMissing]);
        }
        // One more router of this network before it.
        let seen = through(inside(Outcome::Timeout), &[GATEWAY], TraceEnd::Silence);
        assert_eq!(ids(&seen), [FindingId::HairpinMissing]);
    }

    #[test]
    fn an_address_that_packets_leave_this_network_for_is_another_machines() {
        let provider = [198, 51, 100, 1];
        let far = TraceEnd::Answered {
            hop: 4,
            outcome: Outcome::Refused,
        };
        for end in [far, TraceEnd::Silence] {
            let seen = through(inside(Outcome::Refused), &[GATEWAY, provider], end);
            assert_eq!(ids(&seen), [FindingId::AdvertisedAddressWrong]);
        }
    }

    #[test]
    fn a_client_behind_a_router_is_no_neighbour() {
        let mut seen = inside(Outcome::Timeout);
        seen.path.traces[0].end = TraceEnd::Answered {
            hop: 3,
            outcome: Outcome::Open,
        };
        assert_eq!(ids(&seen), [FindingId::AdvertisedAddressWrong]);
    }

    #[test]
    fn without_a_trace_nobody_knows_whether_they_are_neighbours() {
        let mut seen = inside(Outcome::Timeout);
        seen.path.traces.clear();
        assert!(!ids(&seen).contains(&FindingId::HairpinMissing));
    }
}
