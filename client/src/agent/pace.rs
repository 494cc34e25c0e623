use std::time::{Duration, Instant};

use rand::RngExt;

use crate::events::Backoff;

/// When to come again: every so often, a little earlier or later each time, so that clients that started together do not stay
/// together; and after failures sooner at first, then less and less often.
#[derive(Debug)]
pub(super) struct Pace {
    every: Duration,
    backoff: Backoff,
}

impl Pace {
    pub(super) fn new(every: Duration) -> Self {
        Pace {
            every,
            backoff: Backoff::default(),
        }
    }

    /// The pause after it went well, or not; an eighth shorter or longer than it should be at most.
    pub(super) fn pause(&mut self, well: bool) -> Duration {
        let usual = self.every.mul_f64(rand::rng().random_range(0.875..1.125));
        if well {
            self.backoff.succeeded();
            return usual;
        }
        self.backoff.failed(Instant::now(), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_do_not_come_together_and_failures_make_pauses_grow() {
        let every = Duration::from_secs(60);
        let mut pace = Pace::new(every);
        let pauses: Vec<Duration> = (0..100).map(|_| pace.pause(true)).collect();
        assert!(
            pauses.iter().all(|pause| (52..68).contains(&pause.as_secs())),
            "{pauses:?}"
        );
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        let failed: Vec<Duration> = (0..10).map(|_| pace.pause(false)).collect();
        assert!(
            failed[0] < Duration::from_secs(1) && failed[9] > Duration::from_secs(29),
            "{failed:?}"
        );
        assert!(pace.pause(true) > Duration::from_secs(50));
        assert!(pace.pause(false) < Duration::from_secs(1), "it starts anew");
    }
}
