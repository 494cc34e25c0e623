//! What arrives is not what was published: `content-altered`.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::update_set::{MANIFEST_FILE, Sha256};

use super::{Diagnosis, Facts, list, severity};

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let copies = copies(facts);
    let altered: Vec<&Copy> = copies
        .iter()
        .filter(|copy| copy.is_altered() && severity(facts, copy.flow).is_some())
        .collect();
    let worst = altered
        .iter()
        .filter_map(|copy| Some((severity(facts, copy.flow)?, copy.flow)))
        .min_by_key(|(severity, _)| *severity);
    let Some((severity, flow)) = worst else {
        return manifest(facts).into_iter().collect();
    };
    // Whole over another road: then it is whole at the server.
    let mut intact: Vec<&str> = copies
        .iter()
        .filter(|copy| !copy.is_altered() && altered.iter().all(|altered| altered.road() != copy.road()))
        .map(|copy| copy.road())
        .collect();
    intact.dedup();
    let (confidence, place, alternatives) = if intact.is_empty() {
        (
            Confidence::Likely,
            Place::Unknown,
            vec![FindingId::SignatureInvalid, FindingId::CacheStale],
        )
    } else {
        (Confidence::Certain, Place::Path, Vec::new())
    };
    let mut roads: Vec<&str> = altered.iter().map(|copy| copy.road()).collect();
    roads.dedup();
    let roads = list(roads);
    let mut evidence: Vec<String> = altered.iter().map(|copy| copy.in_words()).collect();
    evidence.extend(facts.seen.content.differences.iter().map(|found| {
        format!(
            "the first byte of {} that differs is number {}: {:#04x} over FTP, {:#04x} over HTTP",
            found.path, found.at, found.ftp, found.http
        )
    }));
    if !intact.is_empty() {
        evidence.push(format!("over {} the content is intact", list(&intact)));
    }
    let finding = Finding {
        id: FindingId::ContentAltered,
        severity,
        confidence,
        flow,
        summary: format!("what arrives over {roads} is not what the manifest promises"),
        place,
        evidence,
        remedy: format!(
            "exempt {} from content inspection, scanning and caching on the devices in between",
            facts.seen.target
        ),
        alternatives,
    };
    vec![Diagnosis {
        finding,
        explains: altered.iter().map(|copy| copy.flow).collect(),
    }]
}

/// What came in the place of the manifest is none, and no page either; or it is another one than over the other road,
/// although both are of one serial.
fn manifest(facts: &Facts) -> Option<Diagnosis> {
    let sets = super::sets(facts);
    let over = |flow: Flow| sets.iter().find(|(road, _, _)| *road == flow).map(|(_, _, set)| *set);
    let page = facts.seen.http.as_ref().and_then(|talk| talk.page.as_ref());
    // Somebody else's JSON is nobody's manifest.
    let was_one = over(Flow::FtpPassive).is_some() || page.is_some_and(|page| page.text.contains("fwdrill.manifest"));
    let garbled_http = page.filter(|page| page.status == 200 && !page.is_for_people() && was_one);
    let name = format!("/{MANIFEST_FILE}");
    let ftp = facts.seen.ftp.iter().flat_map(|talk| &talk.passive);
    let mut ftp = ftp.filter_map(|talk| talk.transfer.as_ref().filter(|one| one.complete && one.path == name));
    let garbled_ftp = ftp.next().filter(|_| over(Flow::FtpPassive).is_none());
    let (flow, whole, seen) = match (over(Flow::FtpPassive), over(Flow::Http), garbled_ftp, garbled_http) {
        (whole, None, _, Some(page)) => (Flow::Http, whole.is_some(), format!("\"{}\"", page.text)),
        (None, Some(_), Some(transfer), _) => (
            Flow::FtpPassive,
            true,
            format!("{} bytes with SHA-256 {}", transfer.bytes, transfer.sha256),
        ),
        (Some(ftp), Some(http), ..) if ftp.serial == http.serial && ftp.manifest != http.manifest => (
            Flow::Http,
            false,
            format!(
                "of serial {}, SHA-256 {}; over FTP {}",
                http.serial, http.manifest, ftp.manifest
            ),
        ),
        _ => return None,
    };
    let severity = severity(facts, flow)?;
    let road = if flow == Flow::Http { "HTTP" } else { "FTP" };
    let mut evidence = vec![format!("{name} over {road}: {seen}")];
    if whole {
        evidence.push("over the other road it is a manifest".to_owned());
    }
    Some(Diagnosis {
        finding: Finding {
            id: FindingId::ContentAltered,
            severity,
            confidence: if whole {
                Confidence::Likely
            } else {
                Confidence::Possible
            },
            flow,
            summary: format!("the manifest that arrives over {road} is not as it was published"),
            place: if whole { Place::Path } else { Place::Unknown },
            evidence,
            remedy: format!(
                "exempt {} from content inspection, scanning and caching on the devices in between, and look that TCP {} and {} lead to the same server",
                facts.seen.target, facts.estate.ftp.port, facts.estate.ports.http
            ),
            alternatives: vec![FindingId::ForwardWrongHost, FindingId::SignatureInvalid],
        },
        explains: vec![flow],
    })
}

/// A file that came whole, and what it should be.
struct Copy<'a> {
    flow: Flow,
    path: &'a str,
    bytes: u64,
    sha256: Sha256,
    size: u64,
    wanted: Sha256,
    according_to: &'a str,
}

impl Copy<'_> {
    fn is_altered(&self) -> bool {
        self.sha256 != self.wanted
    }

    fn road(&self) -> &'static str {
        if self.flow == Flow::Http { "HTTP" } else { "FTP" }
    }

    fn in_words(&self) -> String {
        format!(
            "{} over {}: {} bytes with SHA-256 {}, but {} says {} bytes with {}",
            self.path,
            self.road(),
            self.bytes,
            self.sha256,
            self.according_to,
            self.size,
            self.wanted
        )
    }
}

/// Every file that came whole and of which somebody says what it should be; those of one road together.
fn copies<'a>(facts: &Facts<'a>) -> Vec<Copy<'a>> {
    let over_ftp = facts.seen.ftp.iter().flat_map(|talk| &talk.passive);
    let over_ftp = over_ftp.filter_map(|talk| Some((Flow::FtpPassive, talk.transfer.as_ref()?)));
    let over_http = facts.seen.http.iter().flat_map(|talk| &talk.transfers);
    let first = over_ftp.chain(over_http.map(|transfer| (Flow::Http, transfer)));
    let first = first.filter_map(|(flow, transfer)| {
        let expected = transfer.expected.as_ref().filter(|_| transfer.complete)?;
        Some(Copy {
            flow,
            path: &transfer.path,
            bytes: transfer.bytes,
            sha256: transfer.sha256,
            size: expected.size,
            wanted: expected.sha256,
            according_to: &expected.according_to,
        })
    });
    let whole = facts.seen.content.files.iter().filter(|file| file.came());
    let whole = whole.filter_map(|file| {
        let attempt = file.attempts.first()?;
        Some(Copy {
            flow: file.road,
            path: &file.path,
            bytes: attempt.bytes,
            sha256: attempt.sha256,
            size: file.size,
            wanted: file.sha256,
            according_to: "the manifest",
        })
    });
    let mut copies: Vec<Copy> = first.chain(whole).collect();
    copies.sort_by_key(|copy| copy.flow);
    copies
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{healthy, report_of};
    use super::*;
    use crate::observation::content::{Difference, FileAttempt, WholeFile};

    const RIGHT: Sha256 = Sha256::from_bytes([1; 32]);
    const WRONG: Sha256 = Sha256::from_bytes([2; 32]);

    fn file(road: Flow, sha256: Sha256) -> WholeFile {
        WholeFile {
            road,
            path: "signatures/main.fwdb".to_owned(),
            size: 2_097_152,
            sha256: RIGHT,
            attempts: vec![FileAttempt {
                from: 0,
                bytes: 2_097_152,
                sha256,
                trouble: None,
            }],
        }
    }

    #[test]
    fn a_large_file_that_is_whole_over_the_other_road_was_altered_on_the_way() {
        let mut seen = healthy();
        seen.content.files = vec![file(Flow::Http, WRONG), file(Flow::FtpPassive, RIGHT)];
        seen.content.differences = vec![Difference {
            path: "signatures/main.fwdb".to_owned(),
            at: 1_499_760,
            ftp: 0x41,
            http: 0xbe,
        }];
        let finding = report_of(&seen).findings.remove(0);
        assert_eq!(
            (finding.id, finding.confidence, finding.flow),
            (FindingId::ContentAltered, Confidence::Certain, Flow::Http)
        );
        let byte = "number 1499760: 0x41 over FTP, 0xbe over HTTP";
        assert!(finding.evidence.iter().any(|told| told.contains(byte)), "{finding:#?}");
    }

    #[test]
    fn what_is_altered_over_every_road_may_be_so_at_the_server() {
        let mut seen = healthy();
        seen.content.files = vec![file(Flow::Http, WRONG), file(Flow::FtpPassive, WRONG)];
        let finding = report_of(&seen).findings.remove(0);
        assert_eq!(
            (finding.confidence, finding.place),
            (Confidence::Likely, Place::Unknown)
        );
        assert!(finding.summary.contains("FTP and HTTP"), "{}", finding.summary);
    }

    #[test]
    fn a_manifest_that_is_none_any_more_is_altered_and_one_of_another_serial_is_not() {
        use super::super::tests::{set, with_sets};
        use crate::observation::content::Page;
        let mut seen = with_sets(Some(set(7)), None);
        seen.http.as_mut().unwrap().page = Some(Page {
            request: "GET /manifest.json".to_owned(),
            status: 200,
            content_type: Some("application/json".to_owned()),
            text: "{ \"schema\": \"fwdr\u{fffd}ll".to_owned(),
            ..Page::default()
        });
        let finding = report_of(&seen).findings.remove(0);
        assert_eq!(
            (finding.id, finding.confidence),
            (FindingId::ContentAltered, Confidence::Likely)
        );
        let mut other = set(7);
        other.manifest = WRONG;
        let seen = with_sets(Some(set(7)), Some(other));
        assert_eq!(report_of(&seen).findings[0].id, FindingId::ContentAltered);
        let seen = with_sets(Some(set(7)), Some(set(7)));
        assert!(report_of(&seen).findings.is_empty());
    }

    #[test]
    fn a_file_that_was_cut_is_not_altered() {
        let mut seen = healthy();
        let mut cut = file(Flow::Http, WRONG);
        cut.attempts[0].trouble = Some(crate::observation::Trouble {
            during: "receiving".to_owned(),
            outcome: fwdrill_protocol::report::Outcome::Reset,
            text: "reset".to_owned(),
            wrong_protocol: false,
        });
        seen.content.files = vec![cut, file(Flow::FtpPassive, RIGHT)];
        assert!(report_of(&seen).findings.is_empty());
    }
}
