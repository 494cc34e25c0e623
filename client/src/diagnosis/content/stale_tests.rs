use fwdrill_protocol::evidence::{Evidence, SetInForce};
use fwdrill_protocol::update_set::VersionAnswer;
use jiff::SignedDuration;

use super::super::super::diagnose;
use super::super::super::testing::report_of;
use super::super::tests::{set, with_sets};
use super::*;
use crate::observation::content::{AskedAgain, SetSeen, Upstream};
use crate::observation::{EvidenceFetch, Observations};

/// The version service says 7, as in every healthy observation.
fn seen(ftp: u64, http: u64) -> Observations {
    let mut seen = with_sets(Some(set(ftp)), Some(set(http)));
    seen.evidence = EvidenceFetch::NotAsked;
    seen
}

fn joined(mut seen: Observations, change: impl FnOnce(&mut Evidence)) -> Observations {
    seen.evidence = super::super::super::testing::healthy().evidence;
    let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
        unreachable!()
    };
    evidence.set = Some(Box::new(in_force(&set(7))));
    change(evidence);
    seen
}

fn in_force(set: &SetSeen) -> SetInForce {
    SetInForce {
        serial: set.serial,
        version: set.version.clone(),
        published: set.published,
        expires: set.expires,
        key: None,
    }
}

fn again(flow: Flow, past_caches: bool, serial: u64) -> AskedAgain {
    AskedAgain {
        flow,
        past_caches,
        serial: Some(serial),
        published: Some(set(serial).published),
    }
}

fn found(seen: &Observations) -> Vec<(FindingId, Confidence, Flow)> {
    let findings = report_of(seen).findings;
    findings
        .iter()
        .map(|finding| (finding.id, finding.confidence, finding.flow))
        .collect()
}

#[test]
fn a_download_that_is_newer_past_caches_is_an_old_copy_for_sure() {
    let mut seen = seen(7, 5);
    assert_eq!(found(&seen), [(CacheStale, Confidence::Possible, Flow::Http)]);
    seen.content.again = vec![again(Flow::Http, false, 5), again(Flow::Http, true, 7)];
    assert_eq!(found(&seen), [(CacheStale, Confidence::Certain, Flow::Http)]);
}

#[test]
fn roads_that_agree_when_asked_again_had_only_been_asked_while_a_set_was_published() {
    let mut seen = seen(7, 6);
    seen.content.again = vec![again(Flow::Http, false, 7), again(Flow::Http, true, 7)];
    assert_eq!(found(&seen), []);
    assert_eq!(found(&super::tests::seen(7, 7)), []);
}

#[test]
fn headers_of_caches_and_a_server_that_knows_of_no_request_speak_for_a_cache() {
    let mut marked = seen(7, 5);
    marked
        .http
        .as_mut()
        .unwrap()
        .marks
        .insert("age".to_owned(), "86400".to_owned());
    assert_eq!(found(&marked), [(CacheStale, Confidence::Likely, Flow::Http)]);
    let unseen = joined(seen(7, 5), |_| {});
    assert_eq!(found(&unseen), [(CacheStale, Confidence::Likely, Flow::Http)]);
    // The server itself gave the old one.
    let own = joined(seen(7, 5), |evidence| {
        super::super::super::testing::answered(evidence, 200);
    });
    assert_eq!(found(&own), [(VersionStale, Confidence::Likely, Flow::Http)]);
}

#[test]
fn an_old_set_also_past_caches_is_another_servers() {
    let mut seen = seen(7, 5);
    seen.content.again = vec![again(Flow::Http, false, 5), again(Flow::Http, true, 5)];
    assert_eq!(found(&seen), [(ForwardWrongHost, Confidence::Possible, Flow::Http)]);
    let seen = joined(seen, |_| {});
    assert_eq!(found(&seen), [(ForwardWrongHost, Confidence::Likely, Flow::Http)]);
}

#[test]
fn what_is_announced_and_nowhere_to_be_had_is_a_stale_version() {
    let seen = seen(5, 5);
    assert_eq!(found(&seen), [(VersionStale, Confidence::Likely, Flow::FtpPassive)]);
    // And the other way round: clients are not told.
    let seen = super::tests::seen(9, 9);
    let [(id, _, flow)] = found(&seen)[..] else {
        panic!("{:?}", found(&seen))
    };
    assert_eq!((id, flow), (VersionStale, Flow::Version));
}

#[test]
fn a_server_that_has_seen_nothing_of_the_session_is_not_the_one_with_the_old_set() {
    let without_ftp = |evidence: &mut Evidence| {
        evidence.sightings.retain(|sighting| sighting.flow != Flow::FtpControl);
    };
    let ftp_elsewhere = joined(seen(5, 7), without_ftp);
    assert_eq!(
        found(&ftp_elsewhere),
        [(ForwardWrongHost, Confidence::Likely, Flow::FtpPassive)]
    );
    let both_elsewhere = joined(seen(5, 5), without_ftp);
    assert_eq!(
        found(&both_elsewhere),
        [(ForwardWrongHost, Confidence::Likely, Flow::FtpPassive)]
    );
}

#[test]
fn numbers_that_begin_again_are_a_rollback_not_a_cache() {
    let mut seen = seen(7, 2);
    let set = seen.http.as_mut().unwrap().set.as_mut().unwrap();
    set.published = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(5);
    set.expires = set.published + SignedDuration::from_hours(24);
    assert_eq!(found(&seen), [(VersionRollback, Confidence::Likely, Flow::Http)]);
}

#[test]
fn a_client_that_has_a_newer_set_is_rolled_back_and_one_that_has_the_same_is_not() {
    let mut seen = joined(seen(7, 7), |_| {});
    seen.content.have = Some(7);
    assert_eq!(found(&seen), []);
    seen.content.have = Some(12);
    assert_eq!(found(&seen), [(VersionRollback, Confidence::Certain, Flow::Version)]);
    let report = report_of(&seen);
    assert!(
        report.findings[0].remedy.contains("--serial 13"),
        "{}",
        report.findings[0].remedy
    );
}

#[test]
fn an_expired_set_is_stale_to_the_second_and_a_relays_is_the_relays() {
    let mut seen = seen(7, 7);
    let expires = set(7).expires;
    seen.started = expires - SignedDuration::from_secs(1);
    assert_eq!(found(&seen), []);
    seen.started = expires;
    assert_eq!(found(&seen), [(VersionStale, Confidence::Likely, Flow::Version)]);
    let relay = joined(seen, |evidence| evidence.server.role = Some(ServerRole::UpdateAgent));
    assert_eq!(found(&relay), [(RelayStale, Confidence::Likely, Flow::Version)]);
    // Its server has nothing newer, or did not say.
    let mut in_step = relay;
    in_step.content.upstream = Some(upstream(7));
    assert_eq!(found(&in_step), [(VersionStale, Confidence::Certain, Flow::Version)]);
    assert!(report_of(&in_step).findings[0].remedy.contains("update.example.net"));
    in_step.content.upstream.as_mut().unwrap().answer = None;
    assert_eq!(found(&in_step), [(RelayStale, Confidence::Likely, Flow::Version)]);
}

/// The server that the estate names, with this set in force.
fn upstream(serial: u64) -> Upstream {
    Upstream {
        host: "update.example.net".to_owned(),
        answer: Some(VersionAnswer {
            version: "22.0.1".to_owned(),
            published: set(serial).published,
            serial,
            manifest: format!("/sets/{serial}/manifest.json"),
        }),
        error: None,
    }
}

#[test]
fn an_update_agent_is_behind_only_if_its_server_has_a_newer_set() {
    let mut seen = seen(7, 7);
    seen.content.upstream = Some(upstream(7));
    assert_eq!(found(&seen), []);
    seen.content.upstream = Some(upstream(8));
    assert_eq!(found(&seen), [(RelayStale, Confidence::Likely, Flow::Version)]);
    let relay = joined(seen, |evidence| evidence.server.role = Some(ServerRole::UpdateAgent));
    assert_eq!(found(&relay), [(RelayStale, Confidence::Certain, Flow::Version)]);
    // The way that it fetches on.
    let remedy = &report_of(&relay).findings[0].remedy;
    assert!(remedy.contains("TCP 3333 and 2021,3023-3332,3334-4022"), "{remedy}");
    let over_http = Estate {
        mode: Mode::Http,
        ..Estate::default()
    };
    let remedy = &diagnose(&over_http, &relay).findings[0].remedy;
    assert!(remedy.contains("TCP 3333 and 2221"), "{remedy}");
}

#[test]
fn an_update_agent_that_never_got_a_set_says_so_itself() {
    let mut seen = with_sets(None, None);
    let talk = seen.version.as_mut().unwrap();
    talk.version = None;
    talk.page = Some(crate::observation::content::Page {
        request: "GET /version".to_owned(),
        status: 503,
        text: "there is no update set here yet".to_owned(),
        ..Default::default()
    });
    assert_eq!(found(&seen), [(RelayStale, Confidence::Likely, Flow::Version)]);
    seen.version.as_mut().unwrap().page.as_mut().unwrap().text = "overloaded".to_owned();
    assert_eq!(found(&seen), []);
}

#[test]
fn nothing_is_concluded_from_a_road_that_offered_nothing() {
    let mut seen = with_sets(None, None);
    seen.version.as_mut().unwrap().version = None;
    assert_eq!(found(&seen), []);
}
