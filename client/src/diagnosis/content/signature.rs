//! Who vouches for the set: `signature-invalid`, and `content-altered` where the same manifest is whole over another road.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::update_set::PublicKey;

use super::{Diagnosis, Facts, list, severity};
use crate::observation::content::{SetSeen, Signature};
use FindingId::{ContentAltered, ForwardWrongHost, SignatureInvalid};

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let roads = super::sets(facts);
    let bad: Vec<&(Flow, &str, &SetSeen)> = roads
        .iter()
        .filter(|(_, _, set)| !matches!(set.signature, Signature::Unknown | Signature::Good))
        .collect();
    let Some((severity, flow)) = bad
        .iter()
        .filter_map(|(flow, _, _)| Some((severity(facts, *flow)?, *flow)))
        .min_by_key(|(severity, _)| *severity)
    else {
        return Vec::new();
    };
    let good = roads.iter().find(|(_, _, set)| {
        set.signature == Signature::Good && bad.iter().any(|(_, _, other)| other.serial == set.serial)
    });
    let over = list(bad.iter().map(|(_, road, _)| *road));
    let mut evidence: Vec<String> = bad.iter().map(|(_, road, set)| told(road, set)).collect();
    let (id, confidence, place, summary, remedy, alternatives) = if let Some((_, whole, set)) = good {
        evidence.push(format!("over {whole} the signature of serial {} is good", set.serial));
        (
            ContentAltered,
            Confidence::Certain,
            Place::Path,
            format!("the manifest that arrives over {over} is not the one that was signed"),
            format!(
                "exempt {} from content inspection, scanning and caching on the devices in between",
                facts.seen.target
            ),
            Vec::new(),
        )
    } else {
        let by_key = bad.iter().find_map(|(_, _, set)| match &set.signature {
            Signature::OtherKey { signed_by, trusted } => Some((signed_by, trusted)),
            _ => None,
        });
        let server = server_key(facts);
        if let Some((id, base64)) = &server {
            evidence.push(format!(
                "the server says that its sets are signed with key {id}, {base64}"
            ));
        }
        let its_own = by_key.is_some_and(|(signed_by, _)| server.as_ref().is_some_and(|(id, _)| id == signed_by));
        let missing = bad
            .iter()
            .all(|(_, _, set)| matches!(set.signature, Signature::Missing { .. }));
        let (confidence, alternatives) = match (by_key.is_some() || missing, its_own) {
            (_, true) => (Confidence::Certain, Vec::new()),
            (true, false) => (Confidence::Certain, vec![ForwardWrongHost]),
            (false, false) => (Confidence::Likely, vec![ContentAltered]),
        };
        let trusted = facts.estate.update.public_key.as_deref().unwrap_or_default();
        let remedy = match (&server, by_key) {
            (Some((_, base64)), Some(_)) if its_own => format!(
                "publish with the key that clients trust ({trusted}), or give clients the server's: update.public_key = \"{base64}\""
            ),
            (_, Some((signed_by, _))) => format!(
                "publish with the key that clients trust ({trusted}), or, if key {signed_by} is the publisher's new one, set update.public_key to it"
            ),
            _ => format!(
                "publish the set again (fwdrill publish), and look that manifest.json.minisig lies beside manifest.json; clients trust {trusted}"
            ),
        };
        (
            SignatureInvalid,
            confidence,
            if its_own || missing {
                Place::Server
            } else {
                Place::Unknown
            },
            format!("clients refuse the update set that {over} offers: {}", short(bad[0].2)),
            remedy,
            alternatives,
        )
    };
    let finding = Finding {
        id,
        severity,
        confidence,
        flow,
        summary,
        place,
        evidence,
        remedy,
        alternatives,
    };
    vec![Diagnosis {
        finding,
        explains: bad.iter().map(|(flow, _, _)| *flow).collect(),
    }]
}

/// The id and the text of the key that the server's sets are signed with, as it says.
fn server_key(facts: &Facts) -> Option<(String, String)> {
    let text = facts.seen.evidence.joined()?.set.as_ref()?.key.clone()?;
    let key = PublicKey::parse(&text).ok()?;
    Some((key.id(), text))
}

fn short(set: &SetSeen) -> String {
    match &set.signature {
        Signature::OtherKey { signed_by, trusted } => {
            format!("it is signed with key {signed_by}, they trust {trusted}")
        }
        Signature::Missing { .. } => "it is not signed".to_owned(),
        Signature::Bad { .. } | Signature::Unknown | Signature::Good => {
            "its signature does not belong to it".to_owned()
        }
    }
}

fn told(road: &str, set: &SetSeen) -> String {
    let why = match &set.signature {
        Signature::Missing { answer } => answer.clone(),
        Signature::Bad { why } => why.clone(),
        _ => short(set),
    };
    format!("version {}, serial {}, over {road}: {why}", set.version, set.serial)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{healthy, report_of};
    use super::super::tests::{set, with_sets};
    use super::*;
    use crate::observation::EvidenceFetch;
    use fwdrill_protocol::evidence::SetInForce;
    use fwdrill_protocol::update_set::SecretKey;
    use jiff::Timestamp;

    fn signed(signature: Signature) -> SetSeen {
        SetSeen { signature, ..set(7) }
    }

    fn by_another() -> Signature {
        Signature::OtherKey {
            signed_by: "AA".to_owned(),
            trusted: "BB".to_owned(),
        }
    }

    #[test]
    fn a_set_of_another_key_is_refused_and_the_servers_own_key_says_whose_it_is() {
        let mut seen = with_sets(Some(signed(by_another())), Some(signed(by_another())));
        let finding = report_of(&seen).findings.remove(0);
        assert_eq!(
            (finding.id, finding.confidence),
            (SignatureInvalid, Confidence::Certain)
        );
        assert_eq!(finding.alternatives, [ForwardWrongHost]);
        assert!(finding.summary.contains("FTP and HTTP"), "{}", finding.summary);

        let key = SecretKey::generate().unwrap();
        let signature = Signature::OtherKey {
            signed_by: key.public().id(),
            trusted: "BB".to_owned(),
        };
        seen.http.as_mut().unwrap().set = Some(signed(signature));
        let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
            unreachable!()
        };
        evidence.set = Some(Box::new(SetInForce {
            serial: 7,
            version: "22.0.1".to_owned(),
            published: Timestamp::UNIX_EPOCH,
            expires: Timestamp::MAX,
            key: Some(key.public().to_base64()),
        }));
        seen.ftp.as_mut().unwrap().set = None;
        let finding = report_of(&seen).findings.remove(0);
        assert_eq!((finding.place, finding.alternatives.len()), (Place::Server, 0));
        assert!(finding.remedy.contains(&key.public().to_base64()), "{}", finding.remedy);
    }

    #[test]
    fn a_manifest_that_is_good_over_another_road_was_altered_on_this_one() {
        let bad = Signature::Bad { why: "no".to_owned() };
        let seen = with_sets(Some(signed(Signature::Good)), Some(signed(bad.clone())));
        let finding = report_of(&seen).findings.remove(0);
        assert_eq!((finding.id, finding.flow), (ContentAltered, Flow::Http));
        let seen = with_sets(None, Some(signed(bad)));
        let finding = report_of(&seen).findings.remove(0);
        assert_eq!((finding.id, finding.confidence), (SignatureInvalid, Confidence::Likely));
    }

    #[test]
    fn what_could_not_be_checked_and_what_is_good_is_no_finding() {
        for signature in [Signature::Unknown, Signature::Good] {
            let seen = with_sets(Some(signed(signature.clone())), Some(signed(signature)));
            assert!(report_of(&seen).findings.is_empty());
        }
        assert!(report_of(&healthy()).findings.is_empty());
    }
}
