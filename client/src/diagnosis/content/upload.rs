//! Downloads work, and nothing can be sent: `upload-blocked`.

use fwdrill_protocol::evidence::Evidence;
use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::sighting::Event;

use super::{Diagnosis, Facts, severity};
use crate::observation::content::Upload;
use FindingId::{InspectionBlocksFtp, PathMtuBlackhole, UploadBlocked};

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let uploads = &facts.seen.content.uploads;
    let Some(first) = uploads.first() else {
        return Vec::new();
    };
    let failed = |upload: &Upload| {
        let trouble = upload.trouble.as_ref();
        trouble.is_some_and(|trouble| trouble.outcome != Outcome::CheckFailed)
    };
    // Once by chance; in small segments only, for another reason.
    let refused = first.code.filter(|_| first.is_refused());
    let broken = uploads.len() > 1 && uploads.iter().all(failed);
    let Some(severity) = severity(facts, Flow::FtpPassive).filter(|_| refused.is_some() || broken) else {
        return Vec::new();
    };
    let mut evidence: Vec<String> = uploads
        .iter()
        .filter_map(|upload| {
            let trouble = upload.trouble.as_ref()?;
            Some(format!(
                "{} bytes to {}: {}: {}",
                upload.size, upload.path, trouble.during, trouble.text
            ))
        })
        .collect();
    evidence.push("downloads over FTP work".to_owned());
    let target = &facts.seen.target;
    let arrived = facts.seen.evidence.joined().map(|evidence| arrived(evidence, first));
    let (confidence, place, summary, remedy, alternatives) = match refused {
        Some(code) => (
            Confidence::Certain,
            Place::Server,
            format!("the server refuses uploads into its drop box ({code})"),
            format!(
                "see why {target} refuses (its disk, dropbox.clients, dropbox.client_files, dropbox.client_bytes): {}",
                first.trouble.as_ref().map_or("", |trouble| trouble.text.as_str())
            ),
            Vec::new(),
        ),
        None => {
            if arrived == Some(false) {
                evidence.push("nothing of them arrived at the server".to_owned());
            }
            let reset = uploads.iter().all(|upload| {
                let trouble = upload.trouble.as_ref();
                trouble.is_some_and(|trouble| matches!(trouble.outcome, Outcome::Reset | Outcome::Open))
            });
            let how = if reset {
                "ends the connection"
            } else {
                "lets nothing more through"
            };
            (
                Confidence::Likely,
                Place::Path,
                format!("an inspection on the way {how} when a client uploads over FTP (STOR)"),
                format!(
                    "allow FTP uploads (the command STOR, and data from the clients) to {target} TCP {} on the inspection or data-loss prevention in between: clients send system information and logs",
                    facts.estate.ftp.port
                ),
                if reset {
                    vec![InspectionBlocksFtp]
                } else {
                    vec![InspectionBlocksFtp, PathMtuBlackhole]
                },
            )
        }
    };
    let finding = Finding {
        id: UploadBlocked,
        severity,
        confidence,
        flow: Flow::FtpControl,
        summary,
        place,
        evidence,
        remedy,
        alternatives,
    };
    vec![Diagnosis {
        finding,
        explains: Vec::new(),
    }]
}

fn arrived(evidence: &Evidence, upload: &Upload) -> bool {
    let name = upload.path.trim_end_matches(".log");
    evidence
        .sightings
        .iter()
        .any(|sighting| matches!(&sighting.event, Event::Transferred { path, .. } if path.starts_with(name)))
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{healthy, report_of};
    use super::*;
    use crate::observation::{Observations, Trouble};

    fn upload(most: Option<u16>, code: Option<u16>, ended: Option<Outcome>) -> Upload {
        Upload {
            path: "/upload/fwdrill-probe/00.log".to_owned(),
            size: 16_320,
            most,
            code,
            trouble: ended.map(|outcome| Trouble {
                during: "waiting for the reply to STOR".to_owned(),
                outcome,
                text: "the connection was reset".to_owned(),
                wrong_protocol: false,
            }),
        }
    }

    fn found(uploads: Vec<Upload>) -> Vec<(FindingId, Place)> {
        let mut seen: Observations = healthy();
        seen.content.uploads = uploads;
        let findings = report_of(&seen).findings;
        findings.iter().map(|finding| (finding.id, finding.place)).collect()
    }

    const RESET: Option<Outcome> = Some(Outcome::Reset);

    #[test]
    fn uploads_that_break_each_time_beside_downloads_that_work_are_blocked() {
        let uploads = vec![
            upload(None, None, RESET),
            upload(None, None, RESET),
            upload(Some(536), None, RESET),
        ];
        assert_eq!(found(uploads), [(UploadBlocked, Place::Path)]);
    }

    #[test]
    fn a_refusal_is_the_servers_own() {
        assert_eq!(
            found(vec![upload(None, Some(552), Some(Outcome::Open))]),
            [(UploadBlocked, Place::Server)]
        );
    }

    #[test]
    fn a_data_connection_that_breaks_each_time_is_no_refusal() {
        let broken = upload(None, Some(426), Some(Outcome::Open));
        assert_eq!(
            found(vec![broken.clone(), broken.clone(), broken]),
            [(UploadBlocked, Place::Path)]
        );
    }

    #[test]
    fn an_upload_that_works_or_broke_once_or_could_not_be_tried_is_nothing() {
        assert_eq!(found(vec![upload(None, Some(226), None)]), []);
        assert_eq!(
            found(vec![upload(None, None, RESET), upload(None, Some(226), None)]),
            []
        );
        assert_eq!(found(Vec::new()), []);
    }

    #[test]
    fn an_upload_that_goes_in_small_segments_went_into_a_black_hole() {
        let silent = Some(Outcome::Silent);
        let uploads = vec![
            upload(None, None, silent),
            upload(None, None, silent),
            upload(Some(536), Some(226), None),
        ];
        assert_eq!(found(uploads), [(PathMtuBlackhole, Place::Path)]);
    }
}
