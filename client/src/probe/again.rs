//! A second FTP dialogue, where the first one ended in silence on a path that seems to lose packets: one lost greeting must
//! not look like a device that keeps greetings back.

use std::time::Duration;

use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Outcome;

use super::endurance::{fell_silent, greets, looks_lossy};
use super::{Site, Talk, enter};
use crate::observation::{FtpTalk, Observations};

/// The time that another dialogue may need.
const ENOUGH: Duration = Duration::from_secs(10);

/// Talks again, and keeps what came farther.
pub(super) async fn talk(site: &Site<'_>, seen: &mut Observations) {
    let first = seen.ftp.as_ref();
    let silent = fell_silent(first)
        || seen
            .attempts
            .get(&Flow::FtpControl)
            .is_some_and(|attempt| attempt.outcome == Outcome::Timeout);
    if !silent || site.left() < ENOUGH {
        return;
    }
    // Even a path that loses little may lose the one greeting; whoever keeps them back does it again.
    let to = site.at(site.plan.estate.ftp.port);
    if !looks_lossy(seen) && (seen.ftp.as_ref().is_none_or(|talk| talk.greeting.is_some()) || !greets(to).await) {
        return;
    }
    let Some(again) = site.flow(Flow::FtpControl) else {
        return;
    };
    let (flow, attempt, talk) = again.await;
    let farther = match &talk {
        Talk::Ftp(talk) => steps(Some(talk)) > steps(first),
        _ => false,
    };
    if farther {
        enter(seen, (flow, attempt, talk));
    }
}

/// How far a dialogue came.
fn steps(talk: Option<&FtpTalk>) -> usize {
    talk.map_or(0, |talk| talk.transcript.len() + usize::from(talk.greeting.is_some()))
}
