//! How often a client may say something: a bucket of tokens for each.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use fwdrill_protocol::client_name::ClientName;

/// How many events a client may send at once, after it was silent for long: what it kept while the server was away.
const AT_ONCE: f64 = 2_000.0;
/// And how many a second for ever.
const PER_SECOND: f64 = 10.0;
/// Buckets that are full again are thrown away when there are more.
const MOST_BUCKETS: usize = 20_000;

#[derive(Debug, Default)]
pub(super) struct Rates {
    buckets: Mutex<HashMap<ClientName, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Rates {
    /// Takes `events` of a client at the moment `now`, or says how long it has to wait for that.
    pub(super) fn take(&self, client: &ClientName, events: usize, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST_BUCKETS {
            buckets.retain(|_, bucket| bucket.filled(now) < AT_ONCE);
        }
        let bucket = buckets
            .entry(client.clone())
            .or_insert(Bucket { left: AT_ONCE, at: now });
        let (filled, wanted) = (bucket.filled(now), events as f64);
        *bucket = Bucket { left: filled, at: now };
        if filled < wanted {
            return Err(Duration::from_secs_f64((wanted - filled) / PER_SECOND));
        }
        bucket.left = filled - wanted;
        Ok(())
    }
}

impl Bucket {
    fn filled(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + since * PER_SECOND).min(AT_ONCE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_says_too_much_is_told_how_long_to_wait_and_others_are_not() {
        let (rates, now) = (Rates::default(), Instant::now());
        let (loud, quiet) = ("loud".parse().unwrap(), "quiet".parse().unwrap());
        assert_eq!(rates.take(&loud, 2_000, now), Ok(()));
        assert_eq!(rates.take(&loud, 20, now), Err(Duration::from_secs(2)));
        assert_eq!(rates.take(&quiet, 20, now), Ok(()));
        assert_eq!(rates.take(&loud, 20, now + Duration::from_secs(2)), Ok(()));
    }
}
