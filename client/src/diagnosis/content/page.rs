//! A page came in the place of an answer: `block-page`, `captive-portal`, and `forward-wrong-host` for the page of who is
//! neither.
//!
//! What the page wants of its reader tells the two apart: to go away, or to log in. Whether it is the server's own shows in
//! what the server says of the request.

use fwdrill_protocol::finding::{Confidence, Finding, FindingId, Place};
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::sighting::Event;

use super::{Diagnosis, Facts, list, severity};
use crate::observation::HttpTalk;
use crate::observation::content::Page;
use FindingId::{BlockPage, CaptivePortal, ForwardWrongHost, TransparentProxy};

/// In pages that want somebody to log in.
const PORTAL_WORDS: &[&str] = &[
    "log in",
    "login",
    "log on",
    "logon",
    "sign in",
    "sign-in",
    "signin",
    "captive",
    "hotspot",
    "wi-fi",
    "wifi",
    "guest network",
    "terms of use",
    "terms of service",
    "terms and conditions",
    "use this network",
    "access the internet",
    "authenticate",
    "authentication required",
    "voucher",
    "anmelden",
    "anmeldung",
    "nutzungsbedingungen",
    "connexion",
    "identifiez-vous",
    "iniciar sesi",
];

/// In pages of filters. Not "forbidden": every server's own 403 says so.
const BLOCK_WORDS: &[&str] = &[
    "blocked",
    "blocking",
    "access denied",
    "access to this",
    "category",
    "policy",
    "web filter",
    "webfilter",
    "web-filter",
    "url filter",
    "content filter",
    "not permitted",
    "not allowed",
    "prohibited",
    "restricted",
    "violation",
    "violates",
    "malware",
    "threat",
    "gesperrt",
    "zugriff verweigert",
    "richtlinie",
    "bloqu",
    "interdit",
    "denegado",
];

/// In the addresses that redirects of filters lead to.
const BLOCK_ADDRESSES: &[&str] = &["block", "denied", "deny", "filter", "forbidden", "policy", "warn"];

pub(super) fn check(facts: &Facts) -> Vec<Diagnosis> {
    let judged = [Flow::Version, Flow::Http].into_iter().filter_map(|flow| {
        let page = page(facts, flow)?;
        let cause = judge(facts, flow, page)?;
        Some((flow, page, cause))
    });
    // A filter or portal has one page for all ports.
    let mut groups: Vec<(Vec<(Flow, &Page)>, Cause)> = Vec::new();
    for (flow, page, cause) in judged {
        match groups.iter_mut().find(|(_, known)| known.id == cause.id) {
            Some((pages, known)) => {
                pages.push((flow, page));
                known.confidence = known.confidence.min(cause.confidence);
            }
            None => groups.push((vec![(flow, page)], cause)),
        }
    }
    groups
        .into_iter()
        .filter_map(|(pages, cause)| diagnosis(facts, &pages, &cause))
        .collect()
}

/// Whether a page of somebody else came over a flow.
pub(super) fn is_in_the_place_of(facts: &Facts, flow: Flow) -> bool {
    page(facts, flow).is_some_and(|page| judge(facts, flow, page).is_some())
}

fn page<'a>(facts: &Facts<'a>, flow: Flow) -> Option<&'a Page> {
    let talk: &HttpTalk = match flow {
        Flow::Version => facts.seen.version.as_ref()?,
        Flow::Http => facts.seen.http.as_ref()?,
        _ => return None,
    };
    talk.page.as_ref()
}

struct Cause {
    id: FindingId,
    confidence: Confidence,
    alternatives: Vec<FindingId>,
}

fn judge(facts: &Facts, flow: Flow, page: &Page) -> Option<Cause> {
    if from_the_server(facts, flow, page) == Some(true) {
        return None;
    }
    let elsewhere = from_the_server(facts, flow, page) == Some(false);
    let words = Words::of(page);
    let cause = |id, confidence, alternatives: &[FindingId]| {
        Some(Cause {
            id,
            confidence,
            alternatives: alternatives.to_vec(),
        })
    };
    match (page.status, leads_elsewhere(facts, page)) {
        // RFC 6585 section 6: origin servers do not send it.
        (511, _) => return cause(CaptivePortal, Confidence::Certain, &[]),
        // A proxy that nobody asked for wants a password (RFC 9110 section 15.5.8).
        (407, _) => return cause(CaptivePortal, Confidence::Likely, &[BlockPage, TransparentProxy]),
        (451, _) => return cause(BlockPage, Confidence::Likely, &[]),
        (_, Some(location)) => {
            let filter = BLOCK_ADDRESSES.iter().any(|word| location.contains(word));
            return if filter && words.portal <= words.block {
                cause(BlockPage, Confidence::Likely, &[CaptivePortal, ForwardWrongHost])
            } else {
                cause(CaptivePortal, Confidence::Likely, &[BlockPage, ForwardWrongHost])
            };
        }
        _ => {}
    }
    let sure = |others: &'static [FindingId]| match elsewhere {
        true => (Confidence::Certain, &others[..0]),
        false => (Confidence::Likely, others),
    };
    if !page.is_for_people() {
        return None;
    }
    if words.portal > words.block {
        let (confidence, others) = sure(&[BlockPage, ForwardWrongHost]);
        return cause(CaptivePortal, confidence, others);
    }
    if words.block > 0 {
        let (confidence, others) = sure(&[CaptivePortal, ForwardWrongHost]);
        return cause(BlockPage, confidence, others);
    }
    // A web server's page, in the place of ours. Who does not need the port does not mind whose it is.
    (facts.expected(flow) == Expected::Open).then_some(Cause {
        id: ForwardWrongHost,
        confidence: if elsewhere {
            Confidence::Likely
        } else {
            Confidence::Possible
        },
        alternatives: vec![BlockPage, CaptivePortal, TransparentProxy],
    })
}

/// Whether the server itself gave this answer; `None` where it does not say.
fn from_the_server(facts: &Facts, flow: Flow, page: &Page) -> Option<bool> {
    let evidence = facts
        .seen
        .evidence
        .joined()
        .filter(|evidence| evidence.forgotten == 0)?;
    Some(evidence.sightings.iter().any(|sighting| {
        sighting.flow == flow
            && sighting.event
                == Event::Answered {
                    request: page.request.clone(),
                    status: page.status,
                }
    }))
}

/// The address that a redirect leads to, in lower case, if that is another host or port than was asked.
fn leads_elsewhere(facts: &Facts, page: &Page) -> Option<String> {
    let location = page.location.as_ref()?.to_ascii_lowercase();
    let authority = location.split_once("://").map(|(_, rest)| rest)?;
    let host = authority.split(['/', '?']).next().unwrap_or(authority);
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let own = facts.address().is_some_and(|address| name == address.to_string());
    (!own && name != facts.seen.target.to_ascii_lowercase()).then_some(location)
}

/// How many of the words of either kind a page has.
struct Words {
    portal: usize,
    block: usize,
}

impl Words {
    fn of(page: &Page) -> Words {
        let text = format!("{} {}", page.title.as_deref().unwrap_or_default(), page.text).to_lowercase();
        let count = |words: &[&str]| words.iter().filter(|word| text.contains(*word)).count();
        Words {
            portal: count(PORTAL_WORDS) + usize::from(page.form) + 2 * usize::from(page.password),
            block: count(BLOCK_WORDS),
        }
    }
}

impl Page {
    /// Whether it is made for a browser. What programs say to each other is JSON or a line of text.
    pub(super) fn is_for_people(&self) -> bool {
        let html = self.content_type.as_ref().is_some_and(|kind| kind.contains("html"));
        html || self.title.is_some() || self.form
    }
}

fn diagnosis(facts: &Facts, pages: &[(Flow, &Page)], cause: &Cause) -> Option<Diagnosis> {
    let flows: Vec<Flow> = pages.iter().map(|(flow, _)| *flow).collect();
    let worst = flows
        .iter()
        .filter_map(|flow| Some((severity(facts, *flow)?, *flow)))
        .min_by_key(|(severity, _)| *severity);
    let (severity, flow) = worst?;
    let ports = list(flows.iter().filter_map(|flow| Some(facts.attempt(*flow)?.to.port())));
    let target = &facts.seen.target;
    let mut evidence: Vec<String> = pages.iter().map(|(flow, page)| told(facts, *flow, page)).collect();
    if pages
        .iter()
        .all(|(flow, page)| from_the_server(facts, *flow, page) == Some(false))
    {
        evidence.push("the server knows of no such answer: somebody else gave it".to_owned());
    }
    let (summary, place, remedy) = match cause.id {
        CaptivePortal => (
            format!("a captive portal answers for TCP {ports}: it wants somebody to log in"),
            Place::Path,
            format!(
                "exempt {target} TCP {ports} from the portal (its walled garden or bypass list), or log this host in; programs cannot fill in the form"
            ),
        ),
        BlockPage => (
            format!("a web filter answers for TCP {ports} that the request is blocked"),
            Place::Path,
            format!(
                "allow http://{target}:{ports} on the web filter or proxy that shows this page (by address and port, not by category), or take TCP {ports} out of its redirect"
            ),
        ),
        _ => (
            format!("another web server answers on TCP {ports}"),
            Place::Unknown,
            format!("look where TCP {ports} of {target} is forwarded to, and what listens there"),
        ),
    };
    let mut explains = flows;
    // Before somebody logs in, a portal lets nothing else through either.
    if cause.id == CaptivePortal {
        explains.extend(
            facts
                .seen
                .attempts
                .iter()
                .filter(|(_, attempt)| !attempt.stood())
                .map(|(flow, _)| *flow),
        );
    }
    Some(Diagnosis {
        finding: Finding {
            id: cause.id,
            severity,
            confidence: cause.confidence,
            flow,
            summary,
            place,
            evidence,
            remedy,
            alternatives: cause.alternatives.clone(),
        },
        explains,
    })
}

/// "GET /version on TCP 3333 is answered 403 (text/html) "Access denied": ..."
fn told(facts: &Facts, flow: Flow, page: &Page) -> String {
    let port = facts.attempt(flow).map_or(0, |attempt| attempt.to.port());
    let kind = page.content_type.as_deref().unwrap_or("no content type");
    let mut told = format!("{} on TCP {port} is answered {} ({kind})", page.request, page.status);
    if let Some(location) = &page.location {
        told.push_str(&format!(", see {location}"));
    }
    if !page.text.is_empty() {
        told.push_str(&format!(": \"{}\"", page.text));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::{alone, answered, healthy, report_of};
    use super::*;
    use crate::observation::{EvidenceFetch, Observations};
    use fwdrill_protocol::finding::Severity;

    fn with(page: Page) -> Observations {
        let mut seen = healthy();
        let talk = seen.http.as_mut().unwrap();
        talk.answers = vec![(page.request.clone(), page.status)];
        talk.transfers.clear();
        talk.page = Some(page);
        seen
    }

    fn html(status: u16, title: &str, text: &str) -> Page {
        Page {
            request: "GET /manifest.json".to_owned(),
            status,
            content_type: Some("text/html; charset=utf-8".to_owned()),
            title: Some(title.to_owned()),
            text: text.to_owned(),
            ..Page::default()
        }
    }

    fn found(seen: &Observations) -> Option<Finding> {
        report_of(seen).findings.into_iter().next()
    }

    #[test]
    fn a_page_that_says_blocked_is_a_filters_and_one_with_a_password_field_a_portals() {
        let blocked = html(403, "Access denied", "Blocked by policy. Category: unknown.");
        let finding = found(&with(blocked.clone())).unwrap();
        assert_eq!(
            (finding.id, finding.confidence, finding.severity),
            (BlockPage, Confidence::Certain, Severity::Warning),
            "2221 need not be open where clients download over FTP"
        );
        let finding = found(&alone(with(blocked))).unwrap();
        assert_eq!((finding.id, finding.confidence), (BlockPage, Confidence::Likely));
        assert!(finding.alternatives.contains(&CaptivePortal));

        let portal = Page {
            form: true,
            password: true,
            ..html(200, "Welcome", "Acceptable use policy")
        };
        assert_eq!(found(&with(portal)).unwrap().id, CaptivePortal);
    }

    #[test]
    fn a_redirect_to_another_host_is_a_portals_and_one_to_the_same_host_is_not() {
        let redirect = |location: &str| Page {
            location: Some(location.to_owned()),
            ..html(302, "", "")
        };
        let portal = alone(with(redirect("http://wifi.example/start?u=1")));
        assert_eq!(found(&portal).unwrap().id, CaptivePortal);
        let filter = alone(with(redirect("https://proxy.example:8443/blocked?u=1")));
        assert_eq!(found(&filter).unwrap().id, BlockPage);
        for own in ["/elsewhere", "http://UPDATE.example.net:2221/x", "http://203.0.113.2/x"] {
            let seen = alone(with(redirect(own)));
            assert!(found(&seen).is_none(), "{own}: {:?}", found(&seen));
        }
    }

    #[test]
    fn network_authentication_required_needs_no_words() {
        let seen = alone(with(Page {
            status: 511,
            request: "GET /manifest.json".to_owned(),
            ..Page::default()
        }));
        let finding = found(&seen).unwrap();
        assert_eq!((finding.id, finding.confidence), (CaptivePortal, Confidence::Certain));
    }

    #[test]
    fn the_servers_own_errors_are_nobodys_page() {
        let own = Page {
            content_type: Some("text/plain; charset=utf-8".to_owned()),
            title: None,
            ..html(503, "", "there is no update set here yet")
        };
        assert!(found(&alone(with(own))).is_none());
        // And HTML with suspicious words, if the server says that it is its own.
        let mut seen = with(html(404, "Access denied", "blocked"));
        let EvidenceFetch::Joined(evidence) = &mut seen.evidence else {
            unreachable!()
        };
        answered(evidence, 404);
        assert!(found(&seen).is_none());
    }

    #[test]
    fn another_web_server_is_a_wrong_host_only_where_ours_is_needed() {
        let page = html(404, "404 Not Found", "404 Not Found nginx");
        assert!(found(&alone(with(page.clone()))).is_none(), "2221 need not be open");
        let mut seen = alone(healthy());
        let talk = seen.version.as_mut().unwrap();
        talk.version = None;
        talk.page = Some(page);
        let finding = found(&seen).unwrap();
        assert_eq!((finding.id, finding.flow), (ForwardWrongHost, Flow::Version));
        assert_eq!(finding.confidence, Confidence::Possible);
        assert!(finding.alternatives.contains(&BlockPage));
    }

    #[test]
    fn one_portal_for_two_ports_is_one_finding_and_explains_what_else_is_silent() {
        use super::super::super::testing::attempt;
        let mut seen = with(Page {
            form: true,
            ..html(200, "Welcome", "Please log in")
        });
        let talk = seen.version.as_mut().unwrap();
        talk.version = None;
        talk.page = seen.http.as_ref().unwrap().page.clone();
        for flow in [Flow::Agent, Flow::Events] {
            let to = seen.attempts[&flow].to;
            seen.attempts
                .insert(flow, attempt(to, fwdrill_protocol::report::Outcome::Timeout));
        }
        let findings = report_of(&alone(seen)).findings;
        let [finding] = findings.as_slice() else {
            panic!("{findings:#?}")
        };
        assert_eq!((finding.id, finding.severity), (CaptivePortal, Severity::Error));
        assert_eq!(finding.evidence.len(), 3, "two pages and a consequence: {finding:#?}");
    }
}
