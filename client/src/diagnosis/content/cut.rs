//! Files begin to come and never end: `transfer-cut`.
//!
//! What stops them, their size or what is in them, shows in which other files come whole, and in what happens when the rest is
//! asked for from where it stopped: a limit begins to count anew, a filter does not mind the half of what it looks for.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::sighting::Event;

use super::{Diagnosis, Facts, list, severity};
use crate::observation::Trouble;
use crate::observation::content::{FileAttempt, WholeFile};

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    if super::loses_large_packets(facts) {
        return Vec::new();
    }
    let cut: Vec<&WholeFile> = facts.seen.content.files.iter().filter(|file| is_cut(file)).collect();
    if cut.is_empty() {
        return first_transfers(facts).into_iter().collect();
    }
    let worst = cut
        .iter()
        .filter_map(|file| Some((severity(facts, file.road)?, file.road)))
        .min_by_key(|(severity, _)| *severity);
    let Some((severity, flow)) = worst else {
        return Vec::new();
    };
    let reason = reason(facts, &cut);
    let roads = roads(&cut);
    let mut evidence: Vec<String> = cut.iter().map(|file| told(file)).collect();
    evidence.extend(cut.iter().filter_map(|file| resumed(file)));
    evidence.extend(others(facts, &cut));
    let by_the_server = sent(facts, &cut);
    evidence.extend(by_the_server.clone());
    let target = &facts.seen.target;
    let both = roads.len() > 1;
    let (what, remedy) = match &reason {
        Reason::Size { bytes } => (
            format!("connections are cut after about {bytes} bytes"),
            format!(
                "raise or remove the limit of bytes per connection (or of file size) for {target} on the firewall or proxy in between: files of up to {} bytes have to pass",
                cut.iter().map(|file| file.size).max().unwrap_or_default()
            ),
        ),
        Reason::Content { path, byte } => (
            format!("transfers of {path} are cut at byte {byte} because of what is in it"),
            format!(
                "exempt {target} from content inspection and virus scanning on the devices in between: signature files look like what they describe ({path}, from byte {byte} on)"
            ),
        ),
        Reason::Unknown => (
            "transfers are cut, each time".to_owned(),
            format!(
                "exempt {target} from content inspection and from limits of size and time on the devices in between"
            ),
        ),
    };
    let sure = both && !matches!(reason, Reason::Unknown) || !by_the_server.is_empty();
    let finding = Finding {
        id: FindingId::TransferCut,
        severity,
        confidence: if sure { Confidence::Certain } else { Confidence::Likely },
        flow,
        summary: format!("{what}, over {}", list(&roads)),
        place: Place::Path,
        evidence,
        remedy,
        alternatives: if sure {
            Vec::new()
        } else {
            vec![FindingId::ThroughputPoliced, FindingId::StateTableFull]
        },
    };
    vec![Diagnosis {
        finding,
        explains: cut.iter().map(|file| file.road).chain([Flow::FtpControl]).collect(),
    }]
}

/// Cut each time it was asked for from its start, and more than once.
fn is_cut(file: &WholeFile) -> bool {
    let mut whole = file.attempts.iter().filter(|attempt| attempt.from == 0);
    let ended = |attempt: &FileAttempt| {
        attempt.trouble.as_ref().is_some_and(|trouble| match trouble.outcome {
            Outcome::Reset | Outcome::Silent => true,
            // The server's own word, 426 or 451.
            Outcome::Open => trouble.during.starts_with("RETR "),
            _ => false,
        })
    };
    whole.clone().count() > 1 && whole.all(ended)
}

/// What they are cut for.
enum Reason {
    Size { bytes: u64 },
    Content { path: String, byte: u64 },
    Unknown,
}

fn reason(facts: &Facts, cut: &[&WholeFile]) -> Reason {
    let came = |file: &&WholeFile| first(file).map_or(0, |first| first.bytes);
    // Of the same road, and larger than what came of the one that was cut: so size is not the matter.
    let larger_whole = |file: &&WholeFile| {
        let others = facts.seen.content.files.iter().filter(|other| other.road == file.road);
        others
            .into_iter()
            .any(|other| other.came() && other.size > came(file).max(4096) && other.size >= file.size)
    };
    if let Some(file) = cut.iter().find(|file| larger_whole(file)) {
        return Reason::Content {
            path: file.path.clone(),
            byte: came(file),
        };
    }
    let past = |file: &&WholeFile| {
        let rest = file.attempts.iter().find(|attempt| attempt.from > 0)?;
        Some((rest.bytes, rest.trouble.is_none()))
    };
    // It stops again at once, so what is there is not let through.
    if let Some(file) = cut
        .iter()
        .find(|file| came(file) > 0 && past(file).is_some_and(|(bytes, whole)| bytes == 0 && !whole))
    {
        return Reason::Content {
            path: file.path.clone(),
            byte: came(file),
        };
    }
    let goes_on = cut.iter().any(|file| past(file).is_some_and(|(bytes, _)| bytes > 0));
    match cut.iter().map(came).min() {
        Some(bytes) if bytes > 0 && goes_on => Reason::Size {
            bytes: cut.iter().map(came).max().unwrap_or(bytes),
        },
        _ => Reason::Unknown,
    }
}

fn first(file: &WholeFile) -> Option<&FileAttempt> {
    file.attempts.iter().find(|attempt| attempt.from == 0)
}

fn road(flow: Flow) -> &'static str {
    if flow == Flow::Http { "HTTP" } else { "FTP" }
}

fn roads(cut: &[&WholeFile]) -> Vec<&'static str> {
    let mut roads: Vec<&str> = cut.iter().map(|file| road(file.road)).collect();
    roads.sort_unstable();
    roads.dedup();
    roads
}

fn told(file: &WholeFile) -> String {
    let from_start = file.attempts.iter().filter(|attempt| attempt.from == 0);
    let bytes = list(from_start.map(|attempt| attempt.bytes));
    let ended = first(file).and_then(|first| first.trouble.as_ref());
    format!(
        "{} over {}: {bytes} of {} bytes, then: {}",
        file.path,
        road(file.road),
        file.size,
        ended.map_or("nothing", |trouble| trouble.text.as_str())
    )
}

fn resumed(file: &WholeFile) -> Option<String> {
    let rest = file.attempts.iter().find(|attempt| attempt.from > 0)?;
    Some(format!(
        "{} over {} from byte {} on: {} bytes come{}",
        file.path,
        road(file.road),
        rest.from,
        rest.bytes,
        if rest.trouble.is_none() { ", to the end" } else { "" }
    ))
}

/// What came whole, to compare with.
fn others(facts: &Facts, cut: &[&WholeFile]) -> Option<String> {
    let whole = facts.seen.content.files.iter().filter(|file| file.came());
    let whole: Vec<&WholeFile> = whole
        .filter(|file| cut.iter().any(|cut| cut.road == file.road))
        .collect();
    let largest = whole.iter().max_by_key(|file| file.size)?;
    Some(format!(
        "{} other files come whole, the largest {} with {} bytes over {}",
        whole.len(),
        largest.path,
        largest.size,
        road(largest.road)
    ))
}

/// What the server says of the transfers that were cut.
fn sent(facts: &Facts, cut: &[&WholeFile]) -> Vec<String> {
    let sightings = facts
        .seen
        .evidence
        .joined()
        .map(|evidence| evidence.sightings.as_slice());
    let mut told: Vec<String> = Vec::new();
    for file in cut {
        let sent = sightings
            .unwrap_or_default()
            .iter()
            .find_map(|sighting| match &sighting.event {
                Event::Transferred { path, bytes, complete }
                    if sighting.flow == file.road && path.ends_with(&format!("/{}", file.path)) =>
                {
                    Some((*bytes, *complete))
                }
                _ => None,
            });
        let came = first(file).map_or(0, |first| first.bytes);
        if let Some((bytes, complete)) = sent.filter(|(bytes, _)| *bytes > came) {
            let end = if complete { ", all of it" } else { "" };
            told.push(format!(
                "the server sent {bytes} bytes of {} over {}{end}",
                file.path,
                road(file.road)
            ));
        }
    }
    told
}

/// Already the first, short transfers are cut, and nobody looked closer.
fn first_transfers(facts: &Facts) -> Option<Diagnosis> {
    use FindingId::{ContentAltered, PacketLoss, PathMtuBlackhole, ThroughputPoliced, TransferCut};
    let cut = |trouble: &&Trouble| {
        matches!(trouble.outcome, Outcome::Reset | Outcome::Silent) && trouble.during.starts_with("receiving")
    };
    let ftp = facts.seen.ftp.iter().flat_map(|talk| &talk.passive);
    let mut ftp = ftp.filter(|talk| talk.transfer.as_ref().is_some_and(|transfer| !transfer.complete));
    let ftp = ftp.find_map(|talk| Some((Flow::FtpPassive, talk.trouble.as_ref().filter(cut)?)));
    let http = facts.seen.http.as_ref().and_then(|talk| talk.trouble.as_ref());
    let http = http.filter(cut).map(|trouble| (Flow::Http, trouble));
    let cut: Vec<(Flow, &Trouble)> = ftp.into_iter().chain(http).collect();
    let worst = cut
        .iter()
        .filter_map(|(flow, _)| Some((severity(facts, *flow)?, *flow)));
    let (severity, flow) = worst.min_by_key(|(severity, _)| *severity)?;
    let finding = Finding {
        id: TransferCut,
        severity,
        confidence: Confidence::Possible,
        flow,
        summary: format!(
            "transfers over {} begin and do not end",
            list(cut.iter().map(|(flow, _)| road(*flow)))
        ),
        place: Place::Unknown,
        evidence: cut
            .iter()
            .map(|(flow, trouble)| format!("over {}, {}: {}", road(*flow), trouble.during, trouble.text))
            .collect(),
        remedy: format!(
            "run the probe with --thorough, which tells a limit of size from a content filter; meanwhile exempt {} from content inspection on the devices in between",
            facts.seen.target
        ),
        alternatives: vec![PathMtuBlackhole, ThroughputPoliced, PacketLoss, ContentAltered],
    };
    Some(Diagnosis {
        finding,
        explains: cut.iter().map(|(flow, _)| *flow).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{healthy, report_of};
    use super::*;
    use crate::observation::{EvidenceFetch, Observations};
    use FindingId::TransferCut;
    use fwdrill_protocol::update_set::Sha256;

    fn attempt(from: u64, bytes: u64, ended: Option<Outcome>) -> FileAttempt {
        FileAttempt {
            from,
            bytes,
            sha256: Sha256::from_bytes([2; 32]),
            trouble: ended.map(|outcome| Trouble {
                during: "receiving".to_owned(),
                outcome,
                text: "no byte moved for 3.0s".to_owned(),
                wrong_protocol: false,
            }),
        }
    }

    fn file(road: Flow, path: &str, size: u64, attempts: &[FileAttempt]) -> WholeFile {
        WholeFile {
            road,
            path: path.to_owned(),
            size,
            sha256: Sha256::from_bytes([2; 32]),
            attempts: attempts.to_vec(),
        }
    }

    fn found(files: Vec<WholeFile>) -> Vec<Finding> {
        let mut seen: Observations = healthy();
        seen.evidence = EvidenceFetch::NotAsked;
        seen.content.files = files;
        report_of(&seen).findings
    }

    const SILENT: Option<Outcome> = Some(Outcome::Silent);

    #[test]
    fn files_above_a_size_that_go_on_where_they_stopped_met_a_limit_of_size() {
        let limited = [
            attempt(0, 999_000, SILENT),
            attempt(0, 999_500, SILENT),
            attempt(999_500, 1_097_652, None),
        ];
        let findings = found(vec![
            file(Flow::Http, "main", 2_097_152, &limited),
            file(Flow::Http, "daily", 131_072, &[attempt(0, 131_072, None)]),
            file(Flow::FtpPassive, "main", 2_097_152, &limited),
        ]);
        let finding = &findings[0];
        assert_eq!((finding.id, finding.confidence), (TransferCut, Confidence::Certain));
        assert!(
            finding.summary.contains("after about 999000 bytes"),
            "{}",
            finding.summary
        );
        assert_eq!(findings.len(), 1);
    }

    #[test]
    fn a_small_file_that_is_cut_beside_a_large_one_that_is_not_is_cut_for_its_content() {
        let eicar = [
            attempt(0, 0, Some(Outcome::Reset)),
            attempt(0, 0, Some(Outcome::Reset)),
            attempt(34, 34, None),
        ];
        let findings = found(vec![
            file(Flow::FtpPassive, "main", 2_097_152, &[attempt(0, 2_097_152, None)]),
            file(Flow::FtpPassive, "eicar", 68, &eicar),
        ]);
        assert!(
            findings[0].summary.contains("eicar are cut at byte 0 because"),
            "{findings:#?}"
        );
        // In the middle of the largest file: it stops again, at the same byte.
        let stops = [
            attempt(0, 500_000, SILENT),
            attempt(0, 500_000, SILENT),
            attempt(500_000, 0, SILENT),
        ];
        let findings = found(vec![file(Flow::Http, "main", 2_097_152, &stops)]);
        assert!(findings[0].summary.contains("at byte 500000 because"), "{findings:#?}");
    }

    #[test]
    fn a_file_that_came_the_second_time_was_cut_by_chance() {
        let once = [attempt(0, 999_000, Some(Outcome::Reset)), attempt(0, 2_097_152, None)];
        assert!(found(vec![file(Flow::Http, "main", 2_097_152, &once)]).is_empty());
        let not_tried_again = [attempt(0, 999_000, Some(Outcome::Reset))];
        assert!(found(vec![file(Flow::Http, "main", 2_097_152, &not_tried_again)]).is_empty());
        assert!(found(Vec::new()).is_empty());
    }
}
