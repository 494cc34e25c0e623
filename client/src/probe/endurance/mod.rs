//! What shows only in numbers or over time. It takes many connections or seconds, so it is asked for (`--thorough`), or
//! something already looks like a limit.

mod crowd;
pub(super) mod idle;
mod speed;

use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Outcome;
use tracing::debug;

use super::Site;
use crate::observation::endurance::{Crowd, Idle, Speed, some_are_late};
use crate::observation::{FtpTalk, Observations};
use crate::plan::Depth;

pub(super) use crowd::greets;
use idle::Session;

/// Many control connections at once, if the plan wants it or what was seen suggests it.
pub(super) async fn crowd(site: &Site<'_>, seen: &Observations, besides: usize) -> Option<Crowd> {
    let wanted = site.plan.depth == Depth::Thorough || site.plan.depth == Depth::Usual && looks_limited(seen);
    // A greeting that did not come may be lost as well, where handshakes were late.
    let maybe_lost = seen.ftp.as_ref().is_none_or(|talk| talk.greeting.is_none()) && looks_lossy(seen);
    (wanted && (has_room(site, seen) || maybe_lost)).then_some(())?;
    let crowd = crowd::gather(site, seen, besides).await;
    debug!(served = crowd.served(), late = crowd.late(), late_greetings = crowd.late_greetings(), lossy = ?crowd.lossy(), left = ?site.left(), "crowd");
    Some(crowd)
}

/// Whether the control port is there to be dialled again, and the server had room before.
fn has_room(site: &Site<'_>, seen: &Observations) -> bool {
    let greeting = seen.ftp.as_ref().and_then(|talk| talk.greeting.as_ref());
    site.plan.estate.expected(&site.plan.vantage, Flow::FtpControl) == Expected::Open
        && greeting.is_some_and(|greeting| greeting.code < 400)
}

/// Sessions to hold idle, where the plan wants it: of a server that a transfer was had from.
pub(super) fn session(site: &Site<'_>, seen: &Observations) -> Option<Session> {
    let wanted = site.plan.depth == Depth::Thorough && has_room(site, seen);
    wanted.then(|| Session::like(seen)).flatten()
}

/// Holds control connections idle.
pub(super) async fn idle(site: &Site<'_>, session: Option<Session>) -> Option<Idle> {
    Some(idle::hold(site, &session?).await)
}

/// How fast a larger file comes over each road, where the plan wants it.
pub(super) async fn speed(site: &Site<'_>, seen: &Observations) -> Vec<Speed> {
    if site.plan.depth < Depth::Thorough || site.segment.is_some() {
        return Vec::new();
    }
    speed::measure(site, seen).await
}

/// Whether new connections fare worse now and then, which ports that are open or closed do not.
pub(super) fn looks_limited(seen: &Observations) -> bool {
    let range = seen.passive.ports.iter().map(|tried| &tried.attempt);
    looks_lossy(seen)
        || some_are_late(range)
        || seen.passive.again.iter().any(|tried| tried.attempt.stood())
        || fell_silent(seen.ftp.as_ref())
        || connected_only_once(seen)
        || comes_and_goes(seen)
}

/// Whether handshakes of the first round needed another SYN while others did not.
pub(super) fn looks_lossy(seen: &Observations) -> bool {
    let data = seen.ftp.iter().flat_map(|talk| &talk.passive);
    some_are_late(seen.attempts.values().chain(data.filter_map(|talk| talk.data.as_ref())))
}

/// Whether a dialogue that had begun ended in silence.
pub(super) fn fell_silent(talk: Option<&FtpTalk>) -> bool {
    talk.and_then(|talk| talk.trouble.as_ref())
        .is_some_and(|trouble| trouble.outcome == Outcome::Silent)
}

/// A second connection to the same port failed.
fn connected_only_once(seen: &Observations) -> bool {
    let trouble = seen.http.as_ref().and_then(|talk| talk.trouble.as_ref());
    trouble.is_some_and(|trouble| trouble.outcome == Outcome::Timeout)
}

/// A port was silent, and stood when it was dialled again.
fn comes_and_goes(seen: &Observations) -> bool {
    let silent = |to| {
        seen.attempts
            .values()
            .any(|one| one.to == to && one.outcome == Outcome::Timeout)
    };
    let knocked = seen.path.knocks.iter().any(|knock| knock.stood > 0 && silent(knock.to));
    knocked || seen.path.patient.iter().any(|one| one.stood() && silent(one.to))
}
