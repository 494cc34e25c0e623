//! A firewall's FTP helper reads the control connection along, and gets in the way: `alg-rewrites-reply` (it works),
//! `alg-related-missing`, `alg-ignores-reply`, `alg-drops-reply`.
//!
//! Told apart by the reply as it was sent and as it came, and by the two passive modes in one session: a helper opens a port
//! for the one reply that it understands and not for the other.

mod lost_reply;

use std::net::{IpAddr, SocketAddrV4};

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::ftp_reply::Reply;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::sighting::Event;

use super::facts::{Facts, is_private};
use super::{Diagnosis, passive_range};
use crate::observation::{Attempt, PassiveCommand, PassiveTalk};

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    if facts.expected(Flow::FtpPassive) != Expected::Open {
        return Vec::new();
    }
    let dropped = lost_reply::finding(facts).map(|finding| (finding, vec![Flow::FtpPassive, Flow::FtpControl]));
    let finding = dropped.or_else(|| {
        let finding = related_missing(facts)
            .or_else(|| ignored(facts))
            .or_else(|| works(facts))?;
        Some((finding, vec![Flow::FtpPassive]))
    });
    finding
        .map(|(finding, explains)| Diagnosis { finding, explains })
        .into_iter()
        .collect()
}

/// Whether what data connections suffer from is the helper's doing.
pub(super) fn is_to_blame(facts: &Facts) -> bool {
    lost_reply::finding(facts).is_some() || related_missing(facts).is_some() || ignored(facts).is_some()
}

/// The reply to PASV as the server sent it and as it came, where they differ.
fn rewritten<'a>(facts: &Facts<'a>) -> Option<(SocketAddrV4, &'a Reply)> {
    let pasv = facts.passive(PassiveCommand::Pasv)?;
    let came = pasv.reply.as_ref()?;
    let came_as = came.passive_address()?;
    let sent: Vec<SocketAddrV4> = replies_sent(facts)
        .iter()
        .filter_map(|reply| parse(reply)?.passive_address())
        .collect();
    // With several sessions in one drill, the reply may be any of them.
    if sent.contains(&came_as) {
        return None;
    }
    let same_port = sent.iter().find(|sent| sent.port() == came_as.port());
    Some((*same_port.or(sent.first())?, came))
}

fn replies_sent(facts: &Facts) -> Vec<String> {
    let sightings = facts.seen.evidence.joined().map(|evidence| &evidence.sightings);
    sightings
        .into_iter()
        .flatten()
        .filter_map(|sighting| match &sighting.event {
            Event::PassiveReply { reply } => Some(reply.clone()),
            _ => None,
        })
        .collect()
}

fn parse(line: &str) -> Option<Reply> {
    let text = format!("{}\r\n", line.trim_end());
    Some(Reply::parse(text.as_bytes()).ok()??.0)
}

/// Translated or not, data connections work with its help.
fn works(facts: &Facts) -> Option<Finding> {
    let translated = rewritten(facts).filter(|_| facts.passive(PassiveCommand::Pasv).is_some_and(PassiveTalk::worked));
    let opens = passive_range::opened_for_sessions(facts);
    if translated.is_none() && !opens {
        return None;
    }
    let mut evidence: Vec<String> = translated.map(|(sent, came)| as_sent(sent, came)).into_iter().collect();
    if opens {
        let tried = facts.seen.passive.ports.len();
        evidence.push(format!(
            "every passive mode works, and none of {tried} ports tried beside the sessions is open"
        ));
    }
    Some(Finding {
        id: FindingId::AlgRewritesReply,
        severity: Severity::Info,
        confidence: if translated.is_some() {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        flow: Flow::FtpPassive,
        summary: match translated {
            Some(_) => "an FTP helper on the way translates the reply to PASV, and data connections work".to_owned(),
            None => {
                "an FTP helper on the way opens the passive port of each session, and data connections work".to_owned()
            }
        },
        place: Place::Path,
        evidence,
        remedy:
            "nothing has to change; under TLS the helper sees nothing, then the passive range must be open by itself"
                .to_owned(),
        alternatives: Vec::new(),
    })
}

fn as_sent(sent: SocketAddrV4, came: &Reply) -> String {
    format!(
        "the server sent {sent} in its 227, \"{} {}\" arrived",
        came.code,
        came.text()
    )
}

/// Translated, but what the helper expects is not let through.
fn related_missing(facts: &Facts) -> Option<Finding> {
    let (sent, came) = rewritten(facts)?;
    let pasv = facts.passive(PassiveCommand::Pasv)?;
    let data = pasv.data.as_ref().filter(|data| lost(data))?;
    passive_range::open_in_sweep(facts).is_empty().then(|| Finding {
        id: FindingId::AlgRelatedMissing,
        severity: Severity::Error,
        confidence: Confidence::Certain,
        flow: Flow::FtpPassive,
        summary: "an FTP helper translates the reply to PASV, but the firewall does not accept the data connection that it announces".to_owned(),
        place: Place::ServerFirewall,
        evidence: vec![
            as_sent(sent, came),
            format!("dialling {}: {}", data.to, data.outcome.name()),
        ],
        remedy: format!(
            "accept ct state related in the forward chain of the firewall that runs the FTP helper, or accept tcp dport {{ {} }} to {} there",
            facts.seen.passive.planned,
            passive_range::inside_address(facts)
        ),
        alternatives: Vec::new(),
    })
}

fn lost(attempt: &Attempt) -> bool {
    matches!(
        attempt.outcome,
        Outcome::Timeout | Outcome::Unreachable | Outcome::Refused
    )
}

/// Two modes of which a helper opens ports for one only, in a range that is closed by itself.
struct OneMode<'a> {
    working: &'a PassiveTalk,
    failing: &'a PassiveTalk,
    /// The connection to the port of the failing one.
    data: &'a Attempt,
    /// Other ports of the range, none of which lets a connection through.
    blocked: PortSet,
}

impl<'a> OneMode<'a> {
    fn of(facts: &Facts<'a>) -> Option<Self> {
        let (pasv, epsv) = (
            facts.passive(PassiveCommand::Pasv)?,
            facts.passive(PassiveCommand::Epsv)?,
        );
        let (failing, working) = match (pasv.worked(), epsv.worked()) {
            (false, true) => (pasv, epsv),
            (true, false) => (epsv, pasv),
            _ => return None,
        };
        let data = failing.data.as_ref().filter(|data| lost(data))?;
        if failing.at_control_address.as_ref().is_some_and(|there| !lost(there)) {
            return None;
        }
        Some(OneMode {
            working,
            failing,
            data,
            blocked: closed_by_itself(facts)?,
        })
    }

    fn evidence(&self) -> Vec<String> {
        vec![
            format!(
                "{} works on port {}, {} in the same session does not: dialling {}: {}",
                self.working.command.name(),
                port(self.working),
                self.failing.command.name(),
                self.data.to,
                self.data.outcome.name()
            ),
            format!(
                "none of {} other ports of the range lets a connection through: {}",
                self.blocked.len(),
                self.blocked
            ),
        ]
    }
}

/// The ports tried beside the sessions, if not one of them lets a connection through. A second port with the same fate: that
/// one is no chance.
fn closed_by_itself(facts: &Facts) -> Option<PortSet> {
    let passive = &facts.seen.passive;
    let mut others = passive.ports.iter().map(|tried| &tried.attempt);
    let closed = !passive.ports.is_empty()
        && others.all(|attempt| lost(attempt) && (passive.swept || attempt.outcome != Outcome::Refused));
    closed.then(|| passive.ports.iter().map(|tried| tried.port).collect())
}

/// One mode gets its port opened, the other one does not, and no port is open by itself.
fn ignored(facts: &Facts) -> Option<Finding> {
    let modes = OneMode::of(facts)?;
    let swept = facts.seen.passive.swept;
    let cause = passive_range::cause(facts, &modes.blocked);
    let at_the_client = cause.id == FindingId::ClientEgressDataBlocked;
    let mut evidence = modes.evidence();
    if let Some(reply) = &modes.failing.reply {
        evidence.push(format!(
            "the helper opens nothing for \"{} {}\"",
            reply.code,
            reply.text()
        ));
    }
    evidence.extend(cause.evidence);
    let told = modes.failing.told.map(|told| told.ip());
    let other_address = told.filter(|told| Some(*told) != facts.address());
    let mut alternatives: Vec<FindingId> = other_address.into_iter().map(address_to_blame).collect();
    if !swept {
        alternatives.push(FindingId::PassiveRangePartial);
    }
    Some(Finding {
        id: FindingId::AlgIgnoresReply,
        severity: Severity::Error,
        confidence: if alternatives.is_empty() {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        flow: Flow::FtpPassive,
        summary: format!(
            "an FTP helper on the way opens ports for {} only; the passive range itself is closed",
            modes.working.command.name()
        ),
        place: if at_the_client {
            Place::ClientFirewall
        } else {
            Place::ServerFirewall
        },
        evidence,
        remedy: remedy(facts, at_the_client, other_address),
        alternatives,
    })
}

/// An address that is not the one dialled: put right, some helpers would do their part.
fn address_to_blame(told: IpAddr) -> FindingId {
    if is_private(told) {
        FindingId::AdvertisedAddressPrivate
    } else {
        FindingId::AdvertisedAddressWrong
    }
}

fn remedy(facts: &Facts, at_the_client: bool, other_address: Option<IpAddr>) -> String {
    let range = &facts.seen.passive.planned;
    let to = if at_the_client {
        facts.seen.target.clone()
    } else {
        passive_range::inside_address(facts)
    };
    let open = format!(
        "accept new connections to tcp dport {{ {range} }} at {to} in the forward chain and do without the FTP helper"
    );
    match (other_address, facts.address()) {
        (Some(told), Some(dialled)) => format!(
            "{open}, and advertise {dialled} instead of {told} (Ser_Pasv_IPAddr in eserv.ini, ftp.advertised_address){}",
            if at_the_client {
                "; that address alone would be enough for this helper"
            } else {
                ""
            }
        ),
        _ => open,
    }
}

fn port(talk: &PassiveTalk) -> u16 {
    talk.told.map_or(0, |told| told.port())
}
