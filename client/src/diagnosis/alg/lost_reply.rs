//! A helper does not cope with the form in which a passive reply comes, whatever address is in it: `alg-drops-reply`.
//!
//! netfilter's helper drops a 227 or 229 of which it sees only the beginning in a segment, and does not see one that begins
//! behind another reply in the same segment. Both are cured by one reply, one segment.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Outcome;

use super::super::facts::Facts;
use super::super::{passive_range, privacy};
use super::{OneMode, closed_by_itself, lost, replies_sent};
use crate::observation::{PassiveCommand, PassiveTalk};

pub(super) fn finding(facts: &Facts) -> Option<Finding> {
    dropped(facts).or_else(|| unseen(facts))
}

/// A passive reply does not arrive, on a connection that worked until then.
fn dropped(facts: &Facts) -> Option<Finding> {
    let talk = facts.seen.ftp.as_ref().filter(|talk| talk.logged_in_as.is_some())?;
    let without_reply = talk.passive.iter().find(|talk| {
        let trouble = talk.trouble.as_ref();
        talk.reply.is_none()
            && trouble.is_some_and(|trouble| trouble.outcome == Outcome::Silent && trouble.during.contains("reply to"))
    })?;
    let command = without_reply.command;
    let code = if command == PassiveCommand::Pasv { "227" } else { "229" };
    let sent = replies_sent(facts).into_iter().rfind(|reply| reply.starts_with(code));
    let answered = talk.transcript.len();
    let mut evidence = vec![format!(
        "{answered} commands were answered on this control connection, {} was not",
        command.name()
    )];
    if let Some(sent) = &sent {
        evidence.push(format!("the server sent \"{}\"", sent.trim_end()));
    }
    Some(Finding {
        id: FindingId::AlgDropsReply,
        severity: Severity::Error,
        confidence: if sent.is_some() {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        flow: Flow::FtpPassive,
        summary: format!(
            "the reply to {} gets lost on the way: an FTP helper drops it",
            command.name()
        ),
        place: if sent.is_some() {
            Place::ServerFirewall
        } else {
            Place::Unknown
        },
        evidence,
        remedy: format!(
            "take the FTP helper off TCP {} on the firewalls between (or have the server write its replies in one segment), and accept tcp dport {{ {} }}",
            facts.estate.ftp.port, facts.seen.passive.planned
        ),
        alternatives: if sent.is_some() {
            vec![]
        } else {
            vec![
                FindingId::ServerHung,
                FindingId::InspectionBlocksFtp,
                FindingId::PacketLoss,
            ]
        },
    })
}

/// The passive reply came behind another one, and nothing opened its port, while a helper stands on the way: one that opens
/// the port of the other mode, or that shows itself.
fn unseen(facts: &Facts) -> Option<Finding> {
    let talks = || facts.seen.ftp.iter().flat_map(|talk| &talk.passive);
    let behind: Vec<&PassiveTalk> = talks()
        .filter(|talk| talk.in_front.is_some() && talk.data.as_ref().is_some_and(lost))
        .filter(|talk| talk.at_control_address.as_ref().is_none_or(lost))
        .collect();
    let (talk, front) = behind.first().and_then(|talk| Some((*talk, talk.in_front.as_ref()?)))?;
    let one_mode = OneMode::of(facts).filter(|modes| modes.failing.command == talk.command);
    let helper = facts.seen.beside.helper.and_then(|test| test.found()) == Some(true);
    let closed = closed_by_itself(facts)?;
    if one_mode.is_none() && !(helper && behind.len() == talks().count()) {
        return None;
    }
    let came = talk.reply.as_ref()?;
    let command = talk.command.name();
    let mut evidence = vec![format!(
        "{command} is answered \"{} {}\", and right behind it, unasked, \"{} {}\" comes",
        front.code,
        front.text(),
        came.code,
        came.text()
    )];
    match &one_mode {
        Some(modes) => evidence.extend(modes.evidence()),
        None => evidence.push(privacy::helper_in_words()),
    }
    let mut alternatives = vec![FindingId::AlgIgnoresReply];
    if one_mode.is_none() {
        alternatives.push(passive_range::cause(facts, &closed).id);
    }
    Some(Finding {
        id: FindingId::AlgDropsReply,
        severity: Severity::Error,
        confidence: Confidence::Likely,
        flow: Flow::FtpPassive,
        summary: format!(
            "the reply to {command} comes behind another one in the same segment: an FTP helper on the way does not see it and opens no port"
        ),
        place: Place::ServerFirewall,
        evidence,
        remedy: format!(
            "have the server send each reply in a segment of its own, and nothing but the reply to {command}; or take the FTP helper off TCP {} and accept tcp dport {{ {} }} to {}",
            facts.estate.ftp.port,
            facts.seen.passive.planned,
            passive_range::inside_address(facts)
        ),
        alternatives,
    })
}
