//! An older set than there is: `cache-stale`, `relay-stale`, `version-stale`, `version-rollback`.
//!
//! Serials order sets. What each road offers is compared with the newest that anybody knows of: another road, the server's own
//! word, the server that an update agent belongs to, the client. Who holds the older one back shows when it is asked past
//! caches, and in whether the server knows of the request.

use fwdrill_protocol::drill::DRILL_USER;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::estate::{Estate, Mode};
use fwdrill_protocol::evidence::ServerRole;
use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place, Severity};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::sighting::Event;
use fwdrill_protocol::update_set::MANIFEST_FILE;
use jiff::Timestamp;

use super::{Diagnosis, Facts, list, severity};
use crate::observation::HttpTalk;
use FindingId::{CacheStale, ForwardWrongHost, RelayStale, VersionRollback, VersionStale};

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let offers = offers(facts);
    let Some(newest) = newest(facts, &offers) else {
        return nothing_yet(facts).into_iter().collect();
    };
    let behind = behind_each_other(facts, &offers, &newest);
    let rest = relay(facts, &newest)
        .or_else(|| rollback(facts, &newest))
        .or_else(|| expired(facts, &offers, &newest));
    behind.into_iter().chain(rest).collect()
}

/// Whether a copy on the way is known to answer for a flow.
pub(super) fn is_cached(facts: &Facts, flow: Flow) -> bool {
    let offers = offers(facts);
    newest(facts, &offers).is_some_and(|newest| {
        behind_each_other(facts, &offers, &newest)
            .iter()
            .any(|diagnosis| diagnosis.finding.flow == flow && diagnosis.finding.id == CacheStale)
    })
}

/// A set that somebody offers or knows of.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offer {
    flow: Flow,
    /// "the version service", "HTTP"
    who: &'static str,
    serial: u64,
    published: Timestamp,
    expires: Option<Timestamp>,
}

/// What each road offers. What was asked twice counts as it was the second time: a set may have been published between.
fn offers(facts: &Facts) -> Vec<Offer> {
    let again = |flow: Flow| {
        let asked = &facts.seen.content.again;
        let asked = asked.iter().find(|asked| asked.flow == flow && !asked.past_caches)?;
        Some((asked.serial?, asked.published?))
    };
    let version = facts
        .seen
        .version
        .iter()
        .filter_map(|talk| talk.version.as_ref())
        .map(|answer| Offer {
            flow: Flow::Version,
            who: "the version service",
            serial: answer.serial,
            published: answer.published,
            expires: None,
        });
    let sets = super::sets(facts).into_iter().map(|(flow, who, set)| Offer {
        flow,
        who,
        serial: set.serial,
        published: set.published,
        expires: Some(set.expires),
    });
    let mut offers: Vec<Offer> = version.chain(sets).collect();
    for offer in &mut offers {
        if let Some((serial, published)) = again(offer.flow).filter(|(serial, _)| *serial != offer.serial) {
            (offer.serial, offer.published, offer.expires) = (serial, published, None);
        }
    }
    offers
}

/// What a flow says if caches are told not to answer.
fn past_caches(facts: &Facts, flow: Flow) -> Option<u64> {
    let asked = &facts.seen.content.again;
    asked
        .iter()
        .find(|asked| asked.flow == flow && asked.past_caches)?
        .serial
}

struct Newest {
    serial: u64,
    published: Timestamp,
    /// Who has it.
    who: String,
}

impl Newest {
    fn in_words(&self) -> String {
        format!(
            "there is serial {}, published {}, according to {}",
            self.serial, self.published, self.who
        )
    }
}

/// The server's own word, else the highest serial that came over any road.
fn newest(facts: &Facts, offers: &[Offer]) -> Option<Newest> {
    if let Some(set) = facts.seen.evidence.joined().and_then(|evidence| evidence.set.as_ref()) {
        return Some(Newest {
            serial: set.serial,
            published: set.published,
            who: "the server itself".to_owned(),
        });
    }
    let best = offers.iter().max_by_key(|offer| offer.serial);
    let fresh = facts.seen.content.again.iter().filter(|asked| asked.past_caches);
    let fresh = fresh
        .filter_map(|asked| Some((asked.serial?, asked.published?)))
        .max()
        .filter(|(serial, _)| best.is_none_or(|best| *serial > best.serial));
    match (fresh, best) {
        (Some((serial, published)), _) => Some(Newest {
            serial,
            published,
            who: "the server, asked past caches".to_owned(),
        }),
        (None, Some(best)) => {
            let have_it = offers.iter().filter(|offer| offer.serial == best.serial);
            Some(Newest {
                serial: best.serial,
                published: best.published,
                who: list(have_it.map(|offer| offer.who)),
            })
        }
        (None, None) => None,
    }
}

/// Roads that offer an older set than another one, each its own finding: they need not have the same reason.
fn behind_each_other(facts: &Facts, offers: &[Offer], newest: &Newest) -> Vec<Diagnosis> {
    let behind = |offer: &Offer| offer.serial < newest.serial;
    let downloads: Vec<&Offer> = offers.iter().filter(|offer| offer.flow != Flow::Version).collect();
    let announced_only = !downloads.is_empty()
        && downloads.iter().all(|offer| behind(offer))
        && offers.iter().any(|offer| offer.flow == Flow::Version && !behind(offer))
        && downloads
            .iter()
            .all(|offer| past_caches(facts, offer.flow).is_none_or(|fresh| fresh <= offer.serial));
    // Over HTTP alone a cache would look the same.
    if announced_only && downloads.iter().any(|offer| offer.flow == Flow::FtpPassive) {
        return announced(facts, &downloads, newest).into_iter().collect();
    }
    offers
        .iter()
        .filter(|offer| behind(offer))
        .filter_map(|offer| {
            let severity = severity(facts, offer.flow)?;
            Some(Diagnosis {
                finding: held_back(facts, offer, newest, severity),
                explains: vec![offer.flow],
            })
        })
        .collect()
}

/// What is announced is nowhere to be downloaded.
fn announced(facts: &Facts, downloads: &[&Offer], newest: &Newest) -> Option<Diagnosis> {
    let worst = downloads
        .iter()
        .filter_map(|offer| Some((severity(facts, offer.flow)?, offer.flow)))
        .min_by_key(|(severity, _)| *severity);
    let (severity, flow) = worst?;
    // Whoever announces it has seen nothing of the downloads.
    let elsewhere = downloads
        .iter()
        .all(|offer| answered_by_the_server(facts, offer.flow) == Some(false));
    let (id, place) = if elsewhere {
        (ForwardWrongHost, Place::ServerFirewall)
    } else {
        (VersionStale, Place::Server)
    };
    let finding = Finding {
        id,
        severity,
        confidence: Confidence::Likely,
        flow,
        summary: format!(
            "serial {} is announced, but serial {} is all that can be downloaded{}",
            newest.serial,
            downloads[0].serial,
            if elsewhere { ", from another server" } else { "" }
        ),
        place,
        evidence: downloads
            .iter()
            .map(|offer| {
                format!(
                    "{} offers serial {}, published {}",
                    offer.who, offer.serial, offer.published
                )
            })
            .chain([newest.in_words()])
            .collect(),
        remedy: format!(
            "bring serial {} to the download services of {}, and look that TCP {} and {} lead to the same server as TCP {}",
            newest.serial,
            facts.seen.target,
            facts.estate.ftp.port,
            facts.estate.ports.http,
            facts.estate.ports.version
        ),
        alternatives: vec![VersionStale, ForwardWrongHost, CacheStale],
    };
    Some(Diagnosis {
        finding,
        explains: downloads.iter().map(|offer| offer.flow).collect(),
    })
}

fn held_back(facts: &Facts, offer: &Offer, newest: &Newest, severity: Severity) -> Finding {
    let port = facts.attempt(offer.flow).map(|attempt| attempt.to.port());
    let port = port.map_or_else(
        || format!("TCP {}", facts.estate.ftp.port),
        |port| format!("TCP {port}"),
    );
    let mut evidence = vec![
        format!(
            "{} on {port} offers serial {}, published {}",
            offer.who, offer.serial, offer.published
        ),
        newest.in_words(),
    ];
    let fresh = past_caches(facts, offer.flow).filter(|fresh| *fresh > offer.serial);
    let marks: Vec<String> = talk(facts, offer.flow)
        .into_iter()
        .flat_map(|talk| &talk.marks)
        .filter(|(name, _)| *name != "server")
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    if let Some(fresh) = fresh {
        evidence.push(format!("asked with Cache-Control: no-cache, it offers serial {fresh}"));
    }
    if !marks.is_empty() {
        evidence.push(format!("the answer carries {}", list(&marks)));
    }
    let by_the_server = answered_by_the_server(facts, offer.flow);
    if by_the_server == Some(false) {
        evidence.push("the server knows of no such request: the answer is somebody else's".to_owned());
    }
    // A cache that heeds neither Cache-Control nor a query that it has never seen would be a rare one.
    let insisted = past_caches(facts, offer.flow).is_some_and(|again| again <= offer.serial);
    if insisted {
        evidence.push("asked with Cache-Control: no-cache, it offers the same".to_owned());
    }
    let http = offer.flow != Flow::FtpPassive;
    let (id, confidence, place, alternatives) = if offer.published > newest.published {
        // Numbers that begin again, or a depot made anew.
        (
            VersionRollback,
            Confidence::Likely,
            Place::Server,
            vec![ForwardWrongHost],
        )
    } else if fresh.is_some() {
        (CacheStale, Confidence::Certain, Place::Path, Vec::new())
    } else if by_the_server == Some(true) {
        (VersionStale, Confidence::Likely, Place::Server, vec![VersionRollback])
    } else if http && !marks.is_empty() {
        (CacheStale, Confidence::Likely, Place::Path, vec![ForwardWrongHost])
    } else if by_the_server == Some(false) && (insisted || !http) {
        (
            ForwardWrongHost,
            Confidence::Likely,
            Place::ServerFirewall,
            vec![CacheStale, VersionRollback],
        )
    } else if insisted {
        (
            ForwardWrongHost,
            Confidence::Possible,
            Place::Unknown,
            vec![VersionStale, VersionRollback, CacheStale],
        )
    } else if by_the_server == Some(false) {
        (
            CacheStale,
            Confidence::Likely,
            Place::Path,
            vec![ForwardWrongHost, VersionRollback],
        )
    } else if offer.flow == Flow::Http {
        (
            CacheStale,
            Confidence::Possible,
            Place::Unknown,
            vec![ForwardWrongHost, VersionRollback, VersionStale],
        )
    } else if offer.flow == Flow::Version {
        (
            VersionStale,
            Confidence::Possible,
            Place::Unknown,
            vec![CacheStale, ForwardWrongHost],
        )
    } else {
        (
            VersionRollback,
            Confidence::Likely,
            Place::Unknown,
            vec![ForwardWrongHost, VersionStale],
        )
    };
    let target = &facts.seen.target;
    let (summary, remedy) = match id {
        CacheStale => (
            format!(
                "a cache on the way answers for {port} with an old copy: serial {} instead of {}",
                offer.serial, newest.serial
            ),
            format!(
                "take {target} {port} out of the cache or transparent proxy, or make it ask the server each time (it sends Cache-Control and validators), and empty it of {target} now"
            ),
        ),
        ForwardWrongHost => (
            format!(
                "{port} leads to another update server than the other ports: it has serial {}, and there is {}",
                offer.serial, newest.serial
            ),
            format!(
                "look where {port} of {target} is forwarded to: it has to be {}, the host of the other ports",
                facts.server_address().unwrap_or_else(|| "the update server".to_owned())
            ),
        ),
        VersionRollback => (
            format!(
                "{} offers serial {}, although serial {} was there already",
                offer.who, offer.serial, newest.serial
            ),
            format!(
                "clients refuse to go back: publish with a serial above {} (fwdrill publish --serial {}), and look that {port} leads to the right server",
                newest.serial,
                newest.serial.saturating_add(1)
            ),
        ),
        _ => (
            format!(
                "{} is behind: it offers serial {}, and there is {}",
                offer.who, offer.serial, newest.serial
            ),
            format!(
                "look that {port} of {target} leads to the same server as the other ports, and that this one has the newest set in force"
            ),
        ),
    };
    Finding {
        id,
        severity,
        confidence,
        flow: offer.flow,
        summary,
        place,
        evidence,
        remedy,
        alternatives,
    }
}

fn talk<'a>(facts: &Facts<'a>, flow: Flow) -> Option<&'a HttpTalk> {
    match flow {
        Flow::Version => facts.seen.version.as_ref(),
        Flow::Http => facts.seen.http.as_ref(),
        _ => None,
    }
}

/// Whether the server itself answered the first request over HTTP, or had the FTP session; `None` where it does not say.
fn answered_by_the_server(facts: &Facts, flow: Flow) -> Option<bool> {
    let evidence = facts
        .seen
        .evidence
        .joined()
        .filter(|evidence| evidence.forgotten == 0)?;
    let path = match flow {
        Flow::Version => "/version".to_owned(),
        Flow::Http => format!("/{MANIFEST_FILE}"),
        // Who lets drills in by their name notes the session.
        _ => {
            let known = facts.seen.ftp.as_ref()?.logged_in_as.as_deref() == Some(DRILL_USER);
            let sighted = evidence
                .sightings
                .iter()
                .any(|sighting| sighting.flow == Flow::FtpControl);
            return known.then_some(sighted);
        }
    };
    let answers = evidence.sightings.iter().filter(|sighting| {
        sighting.flow == flow
            && sighting.event
                == Event::Answered {
                    request: format!("GET {path}"),
                    status: 200,
                }
    });
    // One of them is the answer to who insisted.
    let insisted = facts
        .seen
        .content
        .again
        .iter()
        .filter(|asked| asked.flow == flow && asked.past_caches);
    Some(answers.count() > insisted.filter(|asked| asked.serial.is_some()).count())
}

/// Whether the drill knows that it speaks to somebody who passes updates on.
fn is_relay(facts: &Facts) -> bool {
    facts.server().and_then(|server| server.role) == Some(ServerRole::UpdateAgent)
}

/// The service is there, and has never got a set.
fn nothing_yet(facts: &Facts) -> Option<Diagnosis> {
    let page = facts.seen.version.as_ref()?.page.as_ref()?;
    if page.status != 503 || !page.text.contains("no update set") {
        return None;
    }
    let relay = is_relay(facts);
    Some(whole(
        facts,
        RelayStale,
        if relay { Confidence::Certain } else { Confidence::Likely },
        Place::Server,
        format!("{} has no update set to serve yet", facts.seen.target),
        vec![format!(
            "{} is answered {}: \"{}\"",
            page.request, page.status, page.text
        )],
        format!(
            "let {} reach its server (fwdrill probe from there says what is in the way), and look that its sync is running",
            facts.seen.target
        ),
        if relay { Vec::new() } else { vec![VersionStale] },
    ))
}

/// The server that the estate names has a newer set than the one that is probed.
fn relay(facts: &Facts, newest: &Newest) -> Option<Diagnosis> {
    let upstream = facts.seen.content.upstream.as_ref()?;
    let answer = upstream
        .answer
        .as_ref()
        .filter(|answer| answer.serial > newest.serial)?;
    let relay = is_relay(facts);
    let mut evidence = vec![
        format!(
            "{} has serial {}, published {}",
            facts.seen.target, newest.serial, newest.published
        ),
        format!(
            "{} (server.host), asked from here, has serial {}, published {}",
            upstream.host, answer.serial, answer.published
        ),
    ];
    if relay {
        evidence.push(format!("{} says that it is an update agent", facts.seen.target));
    }
    Some(whole(
        facts,
        RelayStale,
        if relay { Confidence::Certain } else { Confidence::Likely },
        Place::Server,
        format!(
            "the update agent {} serves serial {}, its server {} has serial {}",
            facts.seen.target, newest.serial, upstream.host, answer.serial
        ),
        evidence,
        format!(
            "let {} reach {} TCP {} and {} (fwdrill probe {} from there says what is in the way), and look that its sync is running",
            facts.seen.target,
            upstream.host,
            facts.estate.ports.version,
            download_ports(facts.estate),
            upstream.host
        ),
        if relay { Vec::new() } else { vec![VersionStale] },
    ))
}

/// What updates are fetched over.
fn download_ports(estate: &Estate) -> PortSet {
    match estate.mode {
        Mode::Ftp => [estate.ftp.port]
            .into_iter()
            .chain(estate.handed_out_ports().iter())
            .collect(),
        Mode::Http => [estate.ports.http].into_iter().collect(),
    }
}

/// Whether the server itself said which set is in force; a record joined later may know the server without it.
fn server_named_its_set(facts: &Facts) -> bool {
    facts
        .seen
        .evidence
        .joined()
        .is_some_and(|evidence| evidence.set.is_some())
}

/// The client has a newer set than it is offered.
fn rollback(facts: &Facts, newest: &Newest) -> Option<Diagnosis> {
    let have = facts.seen.content.have.filter(|have| *have > newest.serial)?;
    let relay = is_relay(facts);
    let others = match relay {
        true => vec![RelayStale],
        false if server_named_its_set(facts) => Vec::new(),
        false => vec![ForwardWrongHost, CacheStale, RelayStale],
    };
    Some(whole(
        facts,
        VersionRollback,
        if others.is_empty() {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        Place::Server,
        format!(
            "the newest set on offer is serial {}, this client has {have} already and refuses it",
            newest.serial
        ),
        vec![newest.in_words(), format!("this client has serial {have}")],
        format!(
            "publish with a serial above {have} (fwdrill publish --serial {}), or put the depot with serial {have} back into force; a server that was restored from a backup serves old sets",
            have.saturating_add(1)
        ),
        others,
    ))
}

/// Nobody vouches for the set any more.
fn expired(facts: &Facts, offers: &[Offer], newest: &Newest) -> Option<Diagnosis> {
    let now = facts.seen.started;
    let in_force = facts.seen.evidence.joined().and_then(|evidence| evidence.set.as_ref());
    let expires = in_force.map(|set| set.expires).or_else(|| {
        let best = offers.iter().filter(|offer| offer.serial == newest.serial);
        best.filter_map(|offer| offer.expires).max()
    })?;
    if now < expires {
        return None;
    }
    let relay = is_relay(facts);
    // Whoever passes updates on is not to blame for a server that has nothing newer.
    let upstream = facts.seen.content.upstream.as_ref();
    let in_step = upstream.filter(|upstream| {
        let answer = upstream.answer.as_ref();
        answer.is_some_and(|answer| answer.serial == newest.serial)
    });
    let (id, others) = match (relay, in_step.is_some()) {
        (true, false) => (RelayStale, vec![VersionStale]),
        (true, true) => (VersionStale, Vec::new()),
        (false, _) if server_named_its_set(facts) => (VersionStale, Vec::new()),
        (false, true) => (VersionStale, vec![CacheStale]),
        (false, false) => (VersionStale, vec![RelayStale, CacheStale]),
    };
    Some(whole(
        facts,
        id,
        if others.is_empty() {
            Confidence::Certain
        } else {
            Confidence::Likely
        },
        Place::Server,
        format!("the update set expired at {expires}: clients refuse it"),
        [
            format!("{}, good until {expires}", newest.in_words()),
            format!("by this client's clock it is {now}"),
        ]
        .into_iter()
        .chain(in_step.map(|upstream| format!("{} (server.host), asked from here, has no newer one", upstream.host)))
        .collect(),
        if let Some(upstream) = in_step {
            format!(
                "publish a new set at {} (fwdrill publish), and see why none was published for so long; if one was, compare the clocks",
                upstream.host
            )
        } else if relay {
            format!(
                "let the update agent {} reach its server, and look that its sync is running",
                facts.seen.target
            )
        } else {
            "publish a new set (fwdrill publish), and see why none was published for so long; if one was, compare the clocks".to_owned()
        },
        others,
    ))
}

/// A finding about the service as a whole.
#[allow(clippy::too_many_arguments, reason = "the parts of a finding")]
fn whole(
    facts: &Facts,
    id: FindingId,
    confidence: Confidence,
    place: Place,
    summary: String,
    evidence: Vec<String>,
    remedy: String,
    alternatives: Vec<FindingId>,
) -> Diagnosis {
    let stood = |flow: &Flow| facts.attempt(*flow).is_some_and(|attempt| attempt.stood());
    let flow = [Flow::Version, Flow::Http, Flow::FtpControl].into_iter().find(stood);
    Diagnosis {
        finding: Finding {
            id,
            severity: Severity::Error,
            confidence,
            flow: flow.unwrap_or(Flow::Version),
            summary,
            place,
            evidence,
            remedy,
            alternatives,
        },
        explains: Vec::new(),
    }
}

#[cfg(test)]
#[path = "stale_tests.rs"]
mod tests;
