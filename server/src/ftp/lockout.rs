//! Who has guessed passwords too often.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use fwdrill_protocol::estate::limits::FtpLimits;

/// How many addresses are remembered; beyond that the one that was seen longest ago is forgotten.
const MOST_ADDRESSES: usize = 4_096;

/// Failed logins by address. All of a /64 counts as one IPv6 address: that is what one customer has.
#[derive(Debug, Default)]
pub struct Lockout {
    failures: Mutex<HashMap<IpAddr, Failures>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Lockout {
    /// Whether no password from this address is right at the moment.
    pub fn is_locked_out(&self, address: IpAddr, limits: &FtpLimits) -> bool {
        let failures = self.failures().get(&network(address)).copied();
        failures.is_some_and(|failures| failures.count >= limits.login_failures && failures.count_after(limits.lockout))
    }

    /// A login from this address has failed.
    pub fn failed(&self, address: IpAddr, limits: &FtpLimits) {
        let (mut failures, address) = (self.failures(), network(address));
        if failures.len() >= MOST_ADDRESSES && !failures.contains_key(&address) {
            let oldest = failures.iter().min_by_key(|(_, failures)| failures.last);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                failures.remove(&oldest);
            }
        }
        let now = Instant::now();
        let these = failures.entry(address).or_insert(Failures { count: 0, last: now });
        if !these.count_after(limits.lockout) {
            these.count = 0;
        }
        these.count = these.count.saturating_add(1);
        these.last = now;
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<IpAddr, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failures {
    /// Whether they still count when nothing has failed for so long.
    fn count_after(&self, lockout: Duration) -> bool {
        self.last.elapsed() < lockout
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> FtpLimits {
        FtpLimits {
            login_failures: 3,
            lockout: Duration::from_secs(60),
            ..FtpLimits::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_guesses_too_often_is_locked_out_for_a_while_and_nobody_else_is() {
        let (lockout, limits) = (Lockout::default(), limits());
        let (guesser, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        for _ in 0..3 {
            assert!(!lockout.is_locked_out(guesser, &limits));
            lockout.failed(guesser, &limits);
        }
        assert!(lockout.is_locked_out(guesser, &limits));
        assert!(!lockout.is_locked_out(other, &limits));
        tokio::time::advance(limits.lockout).await;
        assert!(!lockout.is_locked_out(guesser, &limits));
        lockout.failed(guesser, &limits);
        assert!(!lockout.is_locked_out(guesser, &limits), "old failures do not count");
    }

    #[tokio::test]
    async fn another_address_of_the_same_network_is_no_way_round_and_memory_is_bounded() {
        let (lockout, limits) = (Lockout::default(), limits());
        for last in 0..3 {
            lockout.failed(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]), &limits);
        }
        assert!(lockout.is_locked_out(IpAddr::from([0x2001, 0xdb8, 0, 1, 9, 9, 9, 9]), &limits));
        for n in 0..2 * MOST_ADDRESSES as u32 {
            lockout.failed(IpAddr::from(n.to_be_bytes()), &limits);
        }
        assert_eq!(lockout.failures().len(), MOST_ADDRESSES);
    }
}
