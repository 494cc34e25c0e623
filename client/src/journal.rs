//! The server's half of a drill out of its journal, for ends that could not talk.
//!
//! It is less than a server tells that is asked: its host's sockets and counters, and the sweep, are of the moment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::evidence::{Evidence, ServerState};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::sighting::{Event, Sighting};
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use crate::observation::{EvidenceFetch, Observations};

/// A drill's connections begin together; the first and the last to name it need not be the first and the last to arrive.
const AROUND: SignedDuration = SignedDuration::from_secs(5);

/// Lines of a journal, `fwdrill.sighting/1` each.
#[derive(Debug, Default)]
pub struct Journal {
    sightings: Vec<Sighting>,
}

/// A line that is no sighting.
#[derive(Debug, Error)]
#[error("line {line} is no sighting")]
pub struct BadLine {
    /// Which one, from 1.
    line: usize,
    /// What is wrong with it.
    #[source]
    source: serde_json::Error,
}

impl Journal {
    /// Adds the lines of a file. Returns whether the last one was cut off, as in a copy of a file that grows: that line is
    /// left out.
    pub fn read(&mut self, text: &str) -> Result<bool, BadLine> {
        let mut lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .peekable();
        while let Some((at, line)) = lines.next() {
            match serde_json::from_str(line) {
                Ok(sighting) => self.sightings.push(sighting),
                Err(_) if at > 0 && lines.peek().is_none() && !text.ends_with('\n') => return Ok(true),
                Err(source) => return Err(BadLine { line: at + 1, source }),
            }
        }
        // A journal that has moved aside is older, in whichever order the files were named.
        self.sightings.sort_by_key(|sighting| sighting.at);
        Ok(false)
    }

    /// When the first and the last line were written.
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.sightings.first()?.at, self.sightings.last()?.at))
    }

    /// Joins what the journal knows of the drill to what its client saw; false where it knows nothing of it. What the server
    /// itself has told already is kept.
    pub fn join(&self, seen: &mut Observations) -> bool {
        let Some(mut evidence) = self.evidence(seen.drill) else {
            return false;
        };
        if let EvidenceFetch::Joined(told) = &seen.evidence {
            evidence.server = told.server.clone();
            evidence.host = told.host.clone();
            evidence.unnamed = told.unnamed.clone();
            evidence.set = told.set.clone();
        }
        seen.evidence = EvidenceFetch::Joined(evidence);
        true
    }

    fn evidence(&self, drill: DrillId) -> Option<Evidence> {
        let sightings: Vec<Sighting> = self
            .sightings
            .iter()
            .filter(|one| one.drill == Some(drill))
            .cloned()
            .collect();
        let (first, last) = (sightings.first()?.at, sightings.last()?.at);
        let peers: BTreeSet<IpAddr> = sightings.iter().map(|sighting| sighting.peer.ip()).collect();
        Some(Evidence {
            schema: Evidence::SCHEMA.to_owned(),
            server: Box::new(self.server(first)),
            host: None,
            unnamed: self.unnamed(first - AROUND, last + AROUND, &peers),
            // Which one was in force then, nobody has noted.
            set: None,
            forgotten: 0,
            sightings,
        })
    }

    /// What the server noted of itself when it last started before the drill; nothing, if that is not in these lines.
    fn server(&self, drill_began: Timestamp) -> ServerState {
        let unknown = || ServerState {
            listening: BTreeMap::new(),
            passive_ports: PortSet::default(),
            passive_listen: PortSet::default(),
            estate_ports: PortSet::default(),
            role: None,
            certificate: None,
        };
        let mut server = unknown();
        let mut started = None;
        for note in self.sightings.iter().take_while(|note| note.at <= drill_began) {
            let of_a_start = matches!(note.event, Event::Listening { .. } | Event::PassiveRange { .. });
            if of_a_start && started != Some(note.at) {
                started = Some(note.at);
                server = unknown();
            }
            match &note.event {
                Event::PassiveRange { ports, listened } => {
                    (server.passive_ports, server.passive_listen) = (ports.clone(), listened.clone());
                }
                Event::Listening { role, certificate } => {
                    server.listening.insert(note.flow, note.local);
                    (server.role, server.certificate) = (*role, *certificate);
                }
                _ => {}
            }
        }
        server
    }

    fn unnamed(&self, from: Timestamp, to: Timestamp, peers: &BTreeSet<IpAddr>) -> BTreeMap<Flow, u64> {
        let mut counted = BTreeMap::new();
        let of_the_time = self
            .sightings
            .iter()
            .filter(|one| one.drill.is_none() && from <= one.at && one.at <= to);
        for one in of_the_time.filter(|one| one.event == Event::Accepted && peers.contains(&one.peer.ip())) {
            *counted.entry(one.flow).or_default() += 1;
        }
        counted
    }
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::evidence::ServerRole;
    use fwdrill_protocol::finding::{Confidence, FindingId};
    use fwdrill_protocol::report::{Outcome, Seen};

    use super::*;
    use crate::diagnosis::testing::{at, attempt, healthy, report_of};

    const LISTENING: Event = Event::Listening {
        role: Some(ServerRole::Server),
        certificate: None,
    };
    const OTHER: &str = "ffffffffffffffffffffffffffffffff";

    fn seconds(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn line(sighting: &Sighting) -> String {
        serde_json::to_string(sighting).unwrap() + "\n"
    }

    fn note(at: i64, flow: Flow, event: Event) -> Sighting {
        Sighting {
            schema: Sighting::SCHEMA.to_owned(),
            at: seconds(at),
            drill: None,
            flow,
            local: "0.0.0.0:2021".parse().unwrap(),
            peer: "198.51.100.10:4000".parse().unwrap(),
            syn: None,
            event,
        }
    }

    /// The journal of the healthy path's server, ten seconds after it started, without the events service.
    fn journal_of(seen: &Observations) -> String {
        let listening = [Flow::FtpControl, Flow::Version, Flow::Http].map(|flow| note(0, flow, LISTENING));
        let ports = "3023-3332,3334-4022".parse().unwrap();
        let range = note(
            0,
            Flow::FtpPassive,
            Event::PassiveRange {
                ports,
                listened: PortSet::default(),
            },
        );
        let sightings = seen.evidence.joined().unwrap().sightings.iter().cloned();
        let own = sightings
            .filter(|sighting| sighting.flow != Flow::Events)
            .map(|sighting| Sighting {
                at: seconds(10),
                ..sighting
            });
        listening
            .into_iter()
            .chain([range])
            .chain(own)
            .map(|one| line(&one))
            .collect()
    }

    fn alone() -> Observations {
        Observations {
            evidence: EvidenceFetch::NotAsked,
            ..healthy()
        }
    }

    #[test]
    fn a_journal_joined_later_gives_the_same_findings_as_both_ends_on_line() {
        let mut seen = alone();
        seen.attempts.insert(Flow::Events, attempt(at(2225), Outcome::Refused));
        assert_ne!(report_of(&seen).findings[0].confidence, Confidence::Certain);
        let mut journal = Journal::default();
        assert!(!journal.read(&journal_of(&healthy())).unwrap());
        assert!(journal.join(&mut seen));
        let report = report_of(&seen);
        let first = &report.findings[0];
        assert!(report.both_ends);
        assert_eq!(
            (first.id, first.confidence, first.alternatives.len()),
            (FindingId::ServerNotListening, Confidence::Certain, 0)
        );
        assert_eq!(report.flows[0].seen_by_server, Seen::Yes);
    }

    #[test]
    fn what_a_journal_does_not_say_is_unknown_and_never_no() {
        let mut seen = alone();
        seen.attempts.insert(Flow::Events, attempt(at(2225), Outcome::Refused));
        // Without the lines of the server's start: a part of the journal.
        let later: String = journal_of(&healthy())
            .lines()
            .skip(4)
            .map(|line| format!("{line}\n"))
            .collect();
        let mut journal = Journal::default();
        journal.read(&later).unwrap();
        assert!(journal.join(&mut seen));
        let report = report_of(&seen);
        assert_eq!(report.findings[0].id, FindingId::ServerNotListening);
        assert_ne!(report.findings[0].confidence, Confidence::Certain);
    }

    #[test]
    fn the_last_start_before_the_drill_counts() {
        let mut text = line(&note(-100, Flow::Events, LISTENING));
        text += &journal_of(&healthy());
        text += &line(&note(100, Flow::Events, LISTENING));
        let mut journal = Journal::default();
        journal.read(&text).unwrap();
        let server = journal.evidence(healthy().drill).unwrap().server;
        assert_eq!(server.listening.len(), 3);
        assert!(!server.listening.contains_key(&Flow::Events));
        assert_eq!(server.passive_ports.to_string(), "3023-3332,3334-4022");
    }

    #[test]
    fn connections_that_never_named_a_drill_count_if_they_are_of_its_time_and_its_addresses() {
        let mut text = journal_of(&healthy());
        for (at, peer) in [
            (9, "198.51.100.10:1"),
            (12, "198.51.100.10:2"),
            (12, "192.0.2.1:3"),
            (60, "198.51.100.10:4"),
        ] {
            text += &line(&Sighting {
                peer: peer.parse().unwrap(),
                ..note(at, Flow::FtpControl, Event::Accepted)
            });
        }
        let mut journal = Journal::default();
        journal.read(&text).unwrap();
        let evidence = journal.evidence(healthy().drill).unwrap();
        assert_eq!(evidence.unnamed, [(Flow::FtpControl, 2)].into());
    }

    #[test]
    fn a_journal_of_other_drills_joins_nothing() {
        let mut seen = alone();
        seen.drill = OTHER.parse().unwrap();
        let mut journal = Journal::default();
        journal.read(&journal_of(&healthy())).unwrap();
        assert!(!journal.join(&mut seen));
        assert_eq!(seen.evidence, EvidenceFetch::NotAsked);
        assert_eq!(journal.span(), Some((seconds(0), seconds(10))));
    }

    #[test]
    fn a_line_that_is_damaged_is_named_and_a_last_one_that_is_cut_off_is_left_out() {
        let text = journal_of(&healthy());
        let damaged = text.replacen("\"event\"", "\"evnt\"", 1);
        let error = Journal::default().read(&damaged).unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
        let mut journal = Journal::default();
        assert!(journal.read(&text[..text.len() - 20]).unwrap());
        assert!(Journal::default().read("no journal at all").is_err());
        assert!(!Journal::default().read("").unwrap());
    }

    #[test]
    fn what_the_server_told_itself_is_kept() {
        let mut seen = healthy();
        let mut journal = Journal::default();
        journal.read(&journal_of(&healthy())).unwrap();
        assert!(journal.join(&mut seen));
        let server = |seen: &Observations| seen.evidence.joined().unwrap().server.clone();
        assert_eq!(server(&seen), server(&healthy()));
    }
}
