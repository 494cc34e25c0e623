//! Crowds for tests.

use fwdrill_protocol::ftp_reply::Reply;
use fwdrill_protocol::report::Outcome;

use super::super::testing::{at, attempt};
use crate::observation::endurance::{Crowd, Member};

pub(super) fn crowd(count: usize, member: impl Fn(usize) -> Member) -> Crowd {
    Crowd::of(at(2021), 0, (0..count).map(member).collect())
}

pub(super) fn served_member() -> Member {
    Member {
        attempt: attempt(at(2021), Outcome::Open),
        greeting: Some(Reply::new(220, "ready")),
        greeted_ms: Some(0.5),
        ended: None,
    }
}

/// Its SYN was repeated.
pub(super) fn late_member() -> Member {
    let mut member = served_member();
    member.attempt.rtt_ms = Some(1030.0);
    member
}

/// Its greeting was repeated.
pub(super) fn slow_member() -> Member {
    Member {
        greeted_ms: Some(204.0),
        ..served_member()
    }
}

pub(super) fn dropped_member() -> Member {
    Member {
        attempt: attempt(at(2021), Outcome::Timeout),
        greeting: None,
        greeted_ms: None,
        ended: None,
    }
}

pub(super) fn refused_member() -> Member {
    Member {
        attempt: attempt(at(2021), Outcome::Refused),
        ..dropped_member()
    }
}

/// It stood, and was closed without a word.
pub(super) fn closed_member() -> Member {
    Member {
        ended: Some(Outcome::Reset),
        greeting: None,
        greeted_ms: None,
        ..served_member()
    }
}

pub(super) fn member_turned_away() -> Member {
    Member {
        greeting: Some(Reply::new(421, "Too many sessions")),
        ..served_member()
    }
}
