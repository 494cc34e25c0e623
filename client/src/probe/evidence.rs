//! Fetching the server's half of the drill over whichever port still works.

use std::net::SocketAddr;

use fwdrill_protocol::drill::{DRILL_USER, EVIDENCE_PATH};
use fwdrill_protocol::evidence::Evidence;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::ftp_reply::Reply;

use super::Site;
use super::http::short_answer;
use crate::ftp::{Control, FtpError};
use crate::observation::{EvidenceFetch, Observations};

/// A drill's evidence is bounded at the server; this is more than it ever keeps.
const LONGEST: usize = 16 << 20;

/// Asks every service that speaks our HTTP until one answers; then, where nothing else is open, the FTP server.
pub(super) async fn fetch(site: &Site<'_>, seen: &Observations) -> EvidenceFetch {
    let mut refusals = Vec::new();
    for to in services(seen).into_iter().chain(events(seen)) {
        match short_answer(site, to, EVIDENCE_PATH, LONGEST).await {
            Ok(bytes) => match serde_json::from_slice::<Evidence>(&bytes) {
                Ok(evidence) => return EvidenceFetch::Joined(evidence),
                Err(error) => refusals.push(format!("{to}: not evidence: {error}")),
            },
            Err(refusal) => refusals.push(refusal),
        }
    }
    if let Some(to) = drilled_ftp(seen) {
        match over_ftp(site, to).await {
            Ok(Ok(evidence)) => return EvidenceFetch::Joined(evidence),
            Ok(Err(refusal)) => refusals.push(format!("{to}: {refusal}")),
            Err(error) => refusals.push(format!("{to}: {error}")),
        }
    }
    if refusals.is_empty() {
        refusals.push("neither the version nor the HTTP nor the events nor the FTP service can be reached".to_owned());
    }
    EvidenceFetch::Unavailable(refusals.join("; "))
}

/// The ports of the version and HTTP services that answered in HTTP.
pub(super) fn services(seen: &Observations) -> Vec<SocketAddr> {
    [(Flow::Version, &seen.version), (Flow::Http, &seen.http)]
        .into_iter()
        .filter(|(_, talk)| talk.as_ref().is_some_and(|talk| !talk.answers.is_empty()))
        .filter_map(|(flow, _)| Some(seen.attempts.get(&flow)?.to))
        .collect()
}

/// The events port, where it proved to be the server's own.
fn events(seen: &Observations) -> Option<SocketAddr> {
    let greeting = seen.greetings.get(&Flow::Events)?;
    greeting.ours.then_some(seen.attempts.get(&Flow::Events)?.to)
}

/// The FTP server, where it let the drill in by its name: others have nothing to tell.
fn drilled_ftp(seen: &Observations) -> Option<SocketAddr> {
    let user = seen.ftp.as_ref()?.logged_in_as.as_deref()?;
    (user == DRILL_USER).then_some(seen.attempts.get(&Flow::FtpControl)?.to)
}

async fn over_ftp(site: &Site<'_>, to: SocketAddr) -> Result<Result<Evidence, String>, FtpError> {
    let mut control = Control::connect(to, &site.limits).await?;
    control.login(DRILL_USER, &site.plan.drill.to_string()).await?;
    let reply = control.command("SITE SIGHTINGS").await?;
    // How a server takes leave decides nothing.
    let _ = control.quit().await;
    Ok(sightings(&reply))
}

/// The lines of a 211 between the first and the last, each without the space in front of it, are the JSON.
fn sightings(reply: &Reply) -> Result<Evidence, String> {
    let (211, [_, json @ .., _]) = (reply.code, reply.lines.as_slice()) else {
        return Err(format!("SITE SIGHTINGS: {} {}", reply.code, reply.text()));
    };
    let json: String = json.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    serde_json::from_str(&json).map_err(|error| format!("SITE SIGHTINGS: not evidence: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::testing::healthy;

    #[test]
    fn evidence_in_the_lines_of_a_reply_is_put_together() {
        let EvidenceFetch::Joined(evidence) = healthy().evidence else {
            unreachable!()
        };
        let json = serde_json::to_string(&evidence).unwrap();
        let (first, second) = json.split_at(json.len() / 2);
        let mut reply = Reply::new(211, "Sightings:");
        reply
            .lines
            .extend([format!(" {first}"), format!(" {second}"), "End".to_owned()]);
        assert_eq!(sightings(&reply), Ok(evidence));
        reply.lines.remove(2);
        assert!(sightings(&reply).unwrap_err().contains("not evidence"));
        assert!(
            sightings(&Reply::new(550, "no such drill"))
                .unwrap_err()
                .contains("550 no such drill")
        );
    }

    #[test]
    fn only_a_server_that_knows_drills_is_asked() {
        let mut seen = healthy();
        assert_eq!(drilled_ftp(&seen), Some(seen.attempts[&Flow::FtpControl].to));
        seen.ftp.as_mut().unwrap().logged_in_as = Some("anonymous".to_owned());
        assert_eq!(drilled_ftp(&seen), None);
    }
}
