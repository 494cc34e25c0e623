use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use super::Manifest;

/// How far a client's clock may lag behind the publisher's before a set looks as if it came from the future.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(24);

/// Why a client must not take a set although it is well formed and well signed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nobody vouches for it any more; an attacker (or a forgotten mirror) may be holding back newer ones.
    #[error("update set {serial} expired at {expires} (it is {now})")]
    Expired {
        /// The set's serial.
        serial: u64,
        /// When it expired.
        expires: Timestamp,
        /// The time it was compared with.
        now: Timestamp,
    },
    /// It was published later than now, by more than [`CLOCK_SKEW`]: one of the two clocks is wrong.
    #[error("update set {serial} is published at {published}, in the future (it is {now}); is the clock right?")]
    NotYetPublished {
        /// The set's serial.
        serial: u64,
        /// When it claims to be published.
        published: Timestamp,
        /// The time it was compared with.
        now: Timestamp,
    },
    /// It is older than the set at hand.
    #[error("update set {offered} is older than the set at hand, {have}")]
    Rollback {
        /// The serial of the set at hand.
        have: u64,
        /// The serial of the set on offer.
        offered: u64,
    },
}

impl Manifest {
    /// Whether a client that has `current_serial` (if any) may take this set at `now`. The serial it already has is fine:
    /// there is just nothing new.
    pub fn check(&self, now: Timestamp, current_serial: Option<u64>) -> Result<(), Refusal> {
        let serial = self.serial();
        if let Some(have) = current_serial.filter(|have| *have > serial) {
            return Err(Refusal::Rollback { have, offered: serial });
        }
        // Compared as durations: adding to a timestamp at the end of time would overflow.
        if self.published().duration_since(now) > CLOCK_SKEW {
            return Err(Refusal::NotYetPublished {
                serial,
                published: self.published(),
                now,
            });
        }
        if now >= self.expires() {
            return Err(Refusal::Expired {
                serial,
                expires: self.expires(),
                now,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn set() -> Manifest {
        let at = |text: &str| text.parse().expect("a timestamp");
        Manifest::new(
            "1".into(),
            7,
            at("2026-11-24T00:00:00Z"),
            at("2026-12-24T00:00:00Z"),
            vec![],
        )
        .expect("a manifest")
    }

    #[test]
    fn a_fresh_set_is_taken_by_who_has_none_an_older_one_or_the_same() {
        let set = set();
        for have in [None, Some(1), Some(6), Some(7)] {
            assert_eq!(set.check(set.published(), have), Ok(()));
        }
    }

    #[test]
    fn an_older_set_is_a_rollback_even_if_it_expired_too() {
        let set = set();
        assert_eq!(
            set.check(set.expires() + HOUR, Some(8)),
            Err(Refusal::Rollback { have: 8, offered: 7 })
        );
    }

    #[test]
    fn a_set_expires_at_its_expiry_and_not_before() {
        let set = set();
        assert_eq!(set.check(set.expires() - HOUR, None), Ok(()));
        let error = set.check(set.expires(), None).expect_err("expired");
        assert_eq!(
            error.to_string(),
            "update set 7 expired at 2026-12-24T00:00:00Z (it is 2026-12-24T00:00:00Z)"
        );
    }

    #[test]
    fn a_clock_a_day_behind_is_forgiven_and_one_further_behind_is_not() {
        let set = set();
        assert_eq!(set.check(set.published() - CLOCK_SKEW, None), Ok(()));
        let error = set
            .check(set.published() - CLOCK_SKEW - HOUR, None)
            .expect_err("from the future");
        assert!(matches!(error, Refusal::NotYetPublished { serial: 7, .. }), "{error}");
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        assert!(set().check(Timestamp::MIN, None).is_err());
        assert!(set().check(Timestamp::MAX, None).is_err());
    }
}
