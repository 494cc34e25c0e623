use std::time::{Duration, Instant};

use rand::RngExt;

/// The first pause, about.
const FIRST: Duration = Duration::from_millis(500);
/// No pause is longer, but the one that a server asks for.
const LONGEST: Duration = Duration::from_secs(60);
/// Nor may a server ask for more.
const MOST_ASKED_FOR: Duration = Duration::from_secs(600);

/// Pauses between attempts: each twice as long as the one before, less a random part of up to half, so that clients that
/// failed together do not come together again.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// Whether the pause is over.
    pub fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|then| now >= then)
    }

    /// It failed; `asked` is the pause that the server wants. Returns the pause.
    pub fn failed(&mut self, now: Instant, asked: Option<Duration>) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let jittered = doubled.mul_f64(rand::rng().random_range(0.5..1.0));
        let pause = jittered.max(asked.unwrap_or_default().min(MOST_ASKED_FOR));
        self.not_before = Some(now + pause);
        pause
    }

    /// It succeeded.
    pub fn succeeded(&mut self) {
        *self = Backoff::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_stay_within_bounds_and_are_not_the_same_for_all() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        assert!(backoff.is_due(now));
        for doubled in [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
            let pause = backoff.failed(now, None).as_secs_f64();
            assert!((doubled / 2.0..=doubled).contains(&pause), "{pause} of {doubled}");
            assert!(!backoff.is_due(now) && backoff.is_due(now + Duration::from_secs_f64(doubled)));
        }
        let others: Vec<_> = (0..10).map(|_| Backoff::default().failed(now, None)).collect();
        assert!(others.iter().any(|pause| *pause != others[0]));
        backoff.succeeded();
        assert!(backoff.is_due(now));
    }

    #[test]
    fn a_server_may_ask_for_more_but_not_for_ever() {
        let (now, mut backoff) = (Instant::now(), Backoff::default());
        assert_eq!(
            backoff.failed(now, Some(Duration::from_secs(120))),
            Duration::from_secs(120)
        );
        assert_eq!(backoff.failed(now, Some(Duration::from_secs(86_400))), MOST_ASKED_FOR);
    }
}
