//! Large packets get lost on the way, and nobody says so: `path-mtu-blackhole`.
//!
//! A transfer stalls, also for who waits as long as a server may need to find out by itself; the same transfer in small
//! segments comes whole.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Outcome;

use super::{Diagnosis, Facts, list, severity};
use crate::observation::Trouble;
use crate::observation::content::Upload;

/// The headers of TCP and IP, without options.
const HEADERS: (u16, u16) = (40, 60);

/// The sizes between which the largest packet lies that gets through.
pub(super) struct Largest {
    /// Segments of this size get through.
    passes: u16,
    /// And of this size do not, if one was tried.
    lost: Option<u16>,
}

pub(super) fn largest(facts: &Facts) -> Option<Largest> {
    let tried = &facts.seen.content.segments;
    let healed = tried.iter().any(|one| one.most.is_none() && one.complete);
    let sized = || tried.iter().filter_map(|one| Some((one.most?, one.complete)));
    let passes = sized().filter(|(_, complete)| *complete).map(|(most, _)| most).max()?;
    let lost = sized().filter(|(_, complete)| !complete).map(|(most, _)| most).min();
    // Some large ones get through and some small ones do not: that is another trouble.
    (!healed && lost.is_none_or(|lost| lost > passes)).then_some(Largest { passes, lost })
}

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let stalled = stalled(facts);
    let (Some(largest), Some((severity, flow))) = (
        largest(facts),
        stalled
            .iter()
            .filter_map(|(flow, _, _)| Some((severity(facts, *flow)?, *flow)))
            .min_by_key(|(severity, _)| *severity),
    ) else {
        return upload(facts).into_iter().collect();
    };
    let mut evidence: Vec<String> = stalled
        .iter()
        .map(|(_, road, trouble)| format!("over {road}, {}: {}", trouble.during, trouble.text))
        .collect();
    let path = facts.seen.content.segments.first().map_or("", |one| one.path.as_str());
    evidence.push(format!(
        "{path} comes whole in segments of up to {} bytes",
        largest.passes
    ));
    if let Some(lost) = largest.lost {
        evidence.push(format!("in segments of up to {lost} bytes it does not"));
    }
    let patient = facts.seen.content.segments.iter().any(|one| one.most.is_none());
    if patient {
        evidence.push("waited for twice as long, it does not come in large ones".to_owned());
    }
    let sure = largest.lost.is_some() || patient;
    let roads = list(stalled.iter().map(|(_, road, _)| *road));
    let finding = Finding {
        id: FindingId::PathMtuBlackhole,
        severity,
        confidence: if sure { Confidence::Certain } else { Confidence::Likely },
        flow,
        summary: format!(
            "large packets to this client get lost, and nobody tells the server: {} come through, {roads} downloads stall",
            packets(facts, &largest)
        ),
        place: Place::Path,
        evidence,
        remedy: remedy(facts, largest.passes),
        alternatives: if sure { Vec::new() } else { vec![FindingId::PacketLoss] },
    };
    let mut explains: Vec<Flow> = stalled.iter().map(|(flow, _, _)| *flow).collect();
    explains.extend([Flow::FtpControl, Flow::FtpPassive, Flow::Http, Flow::Version]);
    vec![Diagnosis { finding, explains }]
}

/// Downloads that stood and came to a halt.
fn stalled<'a>(facts: &Facts<'a>) -> Vec<(Flow, &'static str, &'a Trouble)> {
    let silent = |trouble: &&Trouble| trouble.outcome == Outcome::Silent;
    let ftp = facts.seen.ftp.iter().flat_map(|talk| &talk.passive);
    let mut ftp = ftp.filter(|talk| talk.transfer.as_ref().is_some_and(|transfer| !transfer.complete));
    let ftp = ftp.find_map(|talk| talk.trouble.as_ref().filter(silent));
    let http = facts.seen.http.as_ref().and_then(|talk| talk.trouble.as_ref());
    let http = http.filter(silent);
    let ftp = ftp.map(|trouble| (Flow::FtpPassive, "FTP", trouble));
    ftp.into_iter()
        .chain(http.map(|trouble| (Flow::Http, "HTTP", trouble)))
        .collect()
}

fn headers(facts: &Facts) -> u16 {
    match facts.address() {
        Some(address) if address.is_ipv6() => HEADERS.1,
        _ => HEADERS.0,
    }
}

/// "packets of up to 1280 to 1359 bytes"
fn packets(facts: &Facts, largest: &Largest) -> String {
    let least = largest.passes.saturating_add(headers(facts));
    match largest.lost {
        Some(lost) => format!(
            "packets of up to {least} to {} bytes",
            lost.saturating_add(headers(facts)) - 1
        ),
        None => format!("packets of up to {least} bytes"),
    }
}

fn remedy(facts: &Facts, passes: u16) -> String {
    format!(
        "accept ICMP destination-unreachable, fragmentation needed (type 3 code 4; IPv6: packet too big) on every firewall between {} and its clients, or clamp: tcp flags syn tcp option maxseg size set {passes} (or rt mtu) in the forward chain; until then net.ipv4.tcp_mtu_probing=1 on the server helps",
        facts.seen.target
    )
}

/// The same the other way: an upload stalls, and in small segments it does not.
fn upload(facts: &Facts) -> Option<Diagnosis> {
    let uploads = &facts.seen.content.uploads;
    let stalled = uploads.iter().find(|one| one.most.is_none() && stalls(one))?;
    let passed = uploads.iter().find(|one| one.most.is_some() && one.trouble.is_none())?;
    let most = passed.most?;
    let trouble = stalled.trouble.as_ref()?;
    let finding = Finding {
        id: FindingId::PathMtuBlackhole,
        severity: severity(facts, Flow::FtpPassive)?,
        confidence: Confidence::Likely,
        flow: Flow::FtpPassive,
        summary: "large packets from this client get lost, and nobody tells it: uploads stall".to_owned(),
        place: Place::Path,
        evidence: vec![
            format!("{}: {}", trouble.during, trouble.text),
            format!("in segments of up to {most} bytes all {} bytes go", passed.size),
        ],
        remedy: remedy(facts, most),
        alternatives: vec![FindingId::PacketLoss, FindingId::UploadBlocked],
    };
    Some(Diagnosis {
        finding,
        explains: vec![Flow::FtpPassive, Flow::FtpControl],
    })
}

/// Whether nothing moved any more on an upload.
pub(super) fn stalls(upload: &Upload) -> bool {
    upload
        .trouble
        .as_ref()
        .is_some_and(|trouble| trouble.outcome == Outcome::Silent)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{at, healthy, report_of};
    use super::*;
    use crate::observation::Observations;
    use crate::observation::content::Segmented;
    use FindingId::PathMtuBlackhole;

    fn silent(during: &str) -> Option<Trouble> {
        Some(Trouble {
            during: during.to_owned(),
            outcome: Outcome::Silent,
            text: "nothing came within 3.0s".to_owned(),
            wrong_protocol: false,
        })
    }

    fn stalled(tried: &[(Option<u16>, bool)]) -> Observations {
        let mut seen = healthy();
        let http = seen.http.as_mut().unwrap();
        http.answers.clear();
        http.transfers.clear();
        http.trouble = silent("waiting for the response to GET /manifest.json");
        for talk in &mut seen.ftp.as_mut().unwrap().passive {
            talk.trouble = silent("receiving /manifest.json after 0 bytes");
            let transfer = talk.transfer.as_mut().unwrap();
            (transfer.bytes, transfer.complete) = (0, false);
        }
        seen.content.segments = tried
            .iter()
            .map(|(most, complete)| Segmented {
                to: at(2221),
                path: "/manifest.json".to_owned(),
                most: *most,
                bytes: 0,
                complete: *complete,
            })
            .collect();
        seen
    }

    #[test]
    fn what_comes_in_small_segments_only_went_into_a_black_hole() {
        let seen = stalled(&[
            (Some(536), true),
            (Some(1240), true),
            (Some(1320), false),
            (None, false),
        ]);
        let findings = report_of(&seen).findings;
        let [finding] = findings.as_slice() else {
            panic!("{findings:#?}")
        };
        assert_eq!(
            (finding.id, finding.confidence),
            (PathMtuBlackhole, Confidence::Certain)
        );
        assert!(finding.summary.contains("1280 to 1359 bytes"), "{}", finding.summary);
        assert!(finding.remedy.contains("maxseg size set 1240"), "{}", finding.remedy);
    }

    #[test]
    fn silence_in_small_segments_too_is_another_trouble() {
        let seen = stalled(&[(Some(536), false), (None, false)]);
        assert!(
            report_of(&seen)
                .findings
                .iter()
                .all(|finding| finding.id != PathMtuBlackhole)
        );
        // Large ones get through, and small ones do not: chance.
        let seen = stalled(&[(Some(536), false), (Some(1240), true)]);
        assert!(
            report_of(&seen)
                .findings
                .iter()
                .all(|finding| finding.id != PathMtuBlackhole)
        );
    }

    #[test]
    fn a_server_that_finds_out_by_itself_is_no_black_hole() {
        let mut seen = stalled(&[(Some(536), true), (Some(1320), false), (None, true)]);
        let healthy = healthy();
        (seen.http, seen.ftp) = (healthy.http, healthy.ftp);
        assert!(report_of(&seen).findings.is_empty());
    }

    #[test]
    fn a_stall_that_nobody_tried_in_small_segments_is_not_blamed_on_them() {
        let seen = stalled(&[]);
        assert!(
            report_of(&seen)
                .findings
                .iter()
                .all(|finding| finding.id != PathMtuBlackhole)
        );
    }
}
