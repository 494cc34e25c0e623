//! Active mode where the server offers it: `active-mode-behind-nat`, `active-mode-egress-blocked`.
//!
//! It is off unless somebody switches it on, so a server that refuses it is no finding. Where it is on, the client names its
//! own address, and the server has to see the same one; then the server's SYN has to arrive.

use std::net::{IpAddr, SocketAddr};

use fwdrill_protocol::drill::DRILL_USER;
use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::sighting::Event;

use super::facts::{Facts, is_private};
use super::{Diagnosis, hidden_clients};
use crate::observation::active::ActiveTalk;
use FindingId::{ActiveModeBehindNat, ActiveModeEgressBlocked, AlgRelatedMissing, ClientHostBlocked};

/// Replies to PORT of servers that compare its address with the client's: 504 (this one), 501 (pyftpdlib, IIS), 500 (vsftpd,
/// ProFTPD, Pure-FTPd). 502 is "not implemented", 550 "not allowed".
const ADDRESS_REFUSED: [u16; 3] = [500, 501, 504];

/// A SYN that nothing answers is sent again after 1 and 3 seconds: fewer of them are somebody else's packets.
const SYNS: u64 = 2;

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let active = facts.seen.ftp.as_ref().and_then(|talk| talk.active.as_ref());
    // Where the server sees a firewall's address instead of every client's, that is what has to be cured.
    let Some(active) = active.filter(|active| !active.worked() && hidden_clients::check(facts).is_empty()) else {
        return Vec::new();
    };
    let finding = if active.accepted() {
        unconnected(facts, active)
    } else {
        refused(facts, active)
    };
    let explains = Vec::new();
    finding
        .map(|finding| Diagnosis { finding, explains })
        .into_iter()
        .collect()
}

/// The estate says that active mode is to work: an error. The server offers it, and by default it does not: a warning. A server
/// of another make may offer it by default, and nobody has asked for it.
fn severity(facts: &Facts) -> Severity {
    let drilled = facts.seen.ftp.as_ref().and_then(|talk| talk.logged_in_as.as_deref()) == Some(DRILL_USER);
    match (facts.estate.ftp.active, drilled) {
        (true, _) => Severity::Error,
        (false, true) => Severity::Warning,
        (false, false) => Severity::Info,
    }
}

/// The address from which the server sees the control connection come.
fn seen_as(facts: &Facts) -> Option<IpAddr> {
    let sightings = &facts.seen.evidence.joined()?.sightings;
    let control = sightings
        .iter()
        .find(|sighting| sighting.flow == Flow::FtpControl && sighting.event == Event::Accepted)?;
    Some(control.peer.ip().to_canonical())
}

/// Whether the server sees another address than the client has, as far as anybody knows.
fn translated(facts: &Facts, told: IpAddr) -> Option<bool> {
    match (seen_as(facts), facts.address()) {
        (Some(seen), _) => Some(seen != told),
        (None, Some(dialled)) if is_private(told) && !is_private(dialled) => Some(true),
        _ => None,
    }
}

fn refused(facts: &Facts, active: &ActiveTalk) -> Option<Finding> {
    let reply = active.reply.as_ref()?;
    let told = active.told.ip();
    let named = facts.seen.evidence.joined().and_then(|evidence| {
        evidence.sightings.iter().find_map(|sighting| match sighting.event {
            Event::ActiveAddressRefused { to } => Some((to, sighting.peer.ip().to_canonical())),
            _ => None,
        })
    });
    let for_its_address = named.is_some() || ADDRESS_REFUSED.contains(&reply.code);
    if !for_its_address || translated(facts, told) != Some(true) {
        return None;
    }
    let mut evidence = vec![format!(
        "\"{}\" is answered \"{} {}\"",
        active.command,
        reply.code,
        reply.text()
    )];
    if let Some((to, peer)) = named {
        evidence.push(format!(
            "at the server PORT names {to}, while the client comes from {peer}"
        ));
    }
    let confidence = if named.is_some() {
        Confidence::Certain
    } else {
        Confidence::Likely
    };
    Some(behind_nat(facts, active, confidence, evidence, Vec::new()))
}

/// The server agreed, and then nothing, or not enough, came of it.
fn unconnected(facts: &Facts, active: &ActiveTalk) -> Option<Finding> {
    if active.from.is_some() {
        // Somebody connected: what went wrong afterwards is another matter.
        return None;
    }
    let dialled = dialled_by_the_server(facts);
    let told = active.told.ip();
    let mut evidence = vec![match &active.listed {
        Some(reply) => format!(
            "\"{}\" is accepted, nobody connects to {}, and LIST is answered \"{} {}\"",
            active.command,
            active.told,
            reply.code,
            reply.text()
        ),
        None => format!(
            "\"{}\" is accepted, and nobody connects to {}",
            active.command, active.told
        ),
    }];
    if let Some((to, outcome)) = dialled {
        evidence.push(format!("the server dialled {to}: {}", outcome.name()));
    }
    // A helper on the way put another address in: then the client's own one is not the matter.
    let helped = dialled.is_some_and(|(to, _)| to.ip().to_canonical() != told);
    if !helped && translated(facts, told) == Some(true) {
        let (confidence, others) = match dialled {
            Some(_) => (Confidence::Certain, vec![]),
            None => (Confidence::Likely, vec![ActiveModeEgressBlocked]),
        };
        return Some(behind_nat(facts, active, confidence, evidence, others));
    }
    if let Some(undelivered) = active.undelivered.filter(|undelivered| *undelivered >= SYNS) {
        evidence.push(format!(
            "meanwhile this host received {undelivered} packets that it did not deliver: its own firewall drops them"
        ));
        return Some(at_this_host(facts, evidence));
    }
    let mut alternatives = vec![ActiveModeBehindNat];
    if active.undelivered.is_none() {
        alternatives.push(ClientHostBlocked);
    }
    if helped {
        alternatives.push(AlgRelatedMissing);
    }
    Some(Finding {
        id: ActiveModeEgressBlocked,
        severity: severity(facts),
        confidence: if dialled.is_some() {
            Confidence::Likely
        } else {
            Confidence::Possible
        },
        flow: Flow::FtpControl,
        summary: format!(
            "active mode does not work: the server accepts PORT, but its connection to {} does not get out to the client",
            active.told
        ),
        place: Place::ServerFirewall,
        evidence,
        remedy: format!(
            "let clients use passive mode; or accept new connections from {} to tcp dport 1024-65535 of clients in the forward chain of the firewall in front of the server (the one in front of the client has to let them in as well), or switch ftp.active off",
            facts.server_address().unwrap_or_else(|| facts.seen.target.clone())
        ),
        alternatives,
    })
}

/// Where the server tried to connect to, and what came of it.
fn dialled_by_the_server(facts: &Facts) -> Option<(SocketAddr, Outcome)> {
    let sightings = &facts.seen.evidence.joined()?.sightings;
    sightings.iter().rev().find_map(|sighting| match sighting.event {
        Event::ActiveConnection { to, outcome } => Some((to, outcome)),
        _ => None,
    })
}

fn behind_nat(
    facts: &Facts,
    active: &ActiveTalk,
    confidence: Confidence,
    mut evidence: Vec<String>,
    alternatives: Vec<FindingId>,
) -> Finding {
    let told = active.told.ip();
    if let Some(seen) = seen_as(facts) {
        evidence.push(format!("this client is {told}; the server sees it as {seen}"));
    }
    Finding {
        id: ActiveModeBehindNat,
        severity: severity(facts),
        confidence,
        flow: Flow::FtpControl,
        summary: format!(
            "active mode does not work from here: PORT names {told}, behind a NAT, where the server cannot connect to"
        ),
        place: Place::ClientFirewall,
        evidence,
        remedy: format!(
            "let clients use passive mode (PASV, EPSV); only an FTP helper for TCP {} on the NAT in front of this client can make active mode work, and only without TLS",
            facts.estate.ftp.port
        ),
        alternatives,
    }
}

fn at_this_host(facts: &Facts, evidence: Vec<String>) -> Finding {
    Finding {
        id: ClientHostBlocked,
        severity: severity(facts),
        confidence: Confidence::Likely,
        flow: Flow::FtpControl,
        summary: "active mode does not work: this host's own firewall drops the server's connection".to_owned(),
        place: Place::ClientHost,
        evidence,
        remedy: format!(
            "let the client use passive mode; or on this host accept new connections from {} in the input chain",
            facts.seen.target
        ),
        alternatives: vec![ActiveModeEgressBlocked],
    }
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::estate::Estate;
    use fwdrill_protocol::ftp_reply::Reply;

    use super::super::diagnose;
    use super::super::testing::*;
    use super::*;
    use crate::observation::Observations;

    const OWN: &str = "198.51.100.10:50000";
    const PRIVATE: &str = "192.168.50.10:50000";

    /// PORT with this address and these replies to it and to LIST; nobody connects.
    fn tried(told: &str, port: u16, list: Option<u16>) -> Observations {
        let mut seen = healthy();
        seen.ftp.as_mut().unwrap().active = Some(ActiveTalk {
            told: told.parse().unwrap(),
            command: "PORT".to_owned(),
            reply: Some(Reply::new(port, "as told")),
            from: None,
            listed: list.map(|code| Reply::new(code, "as told")),
            received: None,
            undelivered: Some(0),
            trouble: None,
        });
        seen
    }

    fn with(mut seen: Observations, event: Event) -> Observations {
        sighted(&mut seen, Flow::FtpPassive, event);
        seen
    }

    fn found(seen: &Observations) -> Option<Finding> {
        let mut findings = report_of(seen).findings;
        assert!(findings.len() < 2, "{findings:#?}");
        findings.pop()
    }

    #[test]
    fn a_private_address_that_the_server_refuses_is_behind_a_nat() {
        let event = Event::ActiveAddressRefused {
            to: PRIVATE.parse().unwrap(),
        };
        let finding = found(&with(tried(PRIVATE, 504, None), event)).unwrap();
        assert_eq!(
            (finding.id, finding.severity, finding.confidence),
            (ActiveModeBehindNat, Severity::Warning, Confidence::Certain)
        );
        let finding = found(&alone(tried(PRIVATE, 500, None))).unwrap();
        assert_eq!(
            (finding.id, finding.confidence),
            (ActiveModeBehindNat, Confidence::Likely)
        );
    }

    #[test]
    fn a_server_that_does_not_do_active_mode_is_no_finding() {
        for seen in [tried(PRIVATE, 502, None), tried(OWN, 500, None), tried(OWN, 550, None)] {
            assert_eq!(found(&seen), None);
            assert_eq!(found(&alone(seen)), None);
        }
    }

    #[test]
    fn what_works_is_no_finding_whatever_the_addresses() {
        let mut seen = tried(PRIVATE, 200, Some(150));
        seen.ftp.as_mut().unwrap().active.as_mut().unwrap().received = Some(100);
        assert_eq!(found(&seen), None);
    }

    #[test]
    fn a_connection_that_the_server_makes_and_that_does_not_arrive_is_blocked_on_its_way_out() {
        let event = Event::ActiveConnection {
            to: OWN.parse().unwrap(),
            outcome: Outcome::Timeout,
        };
        let seen = with(tried(OWN, 200, Some(425)), event);
        let finding = found(&seen).unwrap();
        assert_eq!(
            (finding.id, finding.severity, finding.confidence),
            (ActiveModeEgressBlocked, Severity::Warning, Confidence::Likely)
        );
        assert_eq!(finding.alternatives, [ActiveModeBehindNat]);
        let finding = found(&alone(tried(OWN, 200, Some(425)))).unwrap();
        assert_eq!(
            (finding.id, finding.confidence),
            (ActiveModeEgressBlocked, Confidence::Possible)
        );
        let mut estate = Estate::default();
        estate.ftp.active = true;
        assert_eq!(diagnose(&estate, &seen).findings[0].severity, Severity::Error);
    }

    #[test]
    fn a_server_that_dials_the_address_behind_the_nat_is_no_matter_of_its_firewall() {
        let event = Event::ActiveConnection {
            to: PRIVATE.parse().unwrap(),
            outcome: Outcome::Timeout,
        };
        let finding = found(&with(tried(PRIVATE, 200, Some(425)), event)).unwrap();
        assert_eq!(
            (finding.id, finding.confidence),
            (ActiveModeBehindNat, Confidence::Certain)
        );
        let finding = found(&alone(tried(PRIVATE, 200, None))).unwrap();
        assert_eq!(
            (finding.id, finding.alternatives),
            (ActiveModeBehindNat, vec![ActiveModeEgressBlocked])
        );
    }

    #[test]
    fn packets_that_this_host_does_not_deliver_are_its_own_firewalls() {
        let mut seen = tried(OWN, 200, Some(425));
        seen.ftp.as_mut().unwrap().active.as_mut().unwrap().undelivered = Some(2);
        assert_eq!(found(&seen).unwrap().id, ClientHostBlocked);
    }

    #[test]
    fn of_a_server_of_another_make_it_is_good_to_know_and_no_more() {
        let mut seen = alone(tried(PRIVATE, 500, None));
        seen.ftp.as_mut().unwrap().logged_in_as = Some("anonymous".to_owned());
        assert_eq!(found(&seen).unwrap().severity, Severity::Info);
    }
}
