//! How many passive ports the agents hold, how often they ask for one and how long they hold it.

use std::time::Duration;

/// The grain in which requests are counted.
const GRAIN: Duration = Duration::from_millis(100);

/// Sums over all PASV and EPSV of a storm.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct PassiveBook {
    /// Requests, by the [`GRAIN`] in which they were sent.
    asked: Vec<u32>,
    /// Ports that were told and connected to.
    pub(super) used: u64,
    /// For how long those were held together, from the request to the connection.
    held: Duration,
    /// Requests whose port is not connected to as yet.
    pub(super) now: u64,
    /// The most there were of these.
    pub(super) most: u64,
    /// The first time that the server had none.
    pub(super) first_refusal: Option<Refusal>,
}

/// The first time that the server had no port.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    /// How many requests there were whose port was not connected to, this one among them.
    pub(super) waiting: u64,
    /// What the server said.
    pub(super) words: String,
}

impl PassiveBook {
    /// A request is sent, so long after the storm began.
    pub(super) fn ask(&mut self, at: Duration) {
        let grain = usize::try_from(at.as_millis() / GRAIN.as_millis()).unwrap_or(usize::MAX);
        if grain < 1_000_000 {
            if self.asked.len() <= grain {
                self.asked.resize(grain + 1, 0);
            }
            self.asked[grain] += 1;
        }
        self.now += 1;
        self.most = self.most.max(self.now);
    }

    /// The server has none.
    pub(super) fn refused(&mut self, words: &str) {
        let waiting = self.now;
        self.first_refusal.get_or_insert_with(|| Refusal {
            waiting,
            words: words.to_owned(),
        });
    }

    /// The agent is connected, so long after its request.
    pub(super) fn connected(&mut self, after: Duration) {
        self.used += 1;
        self.held += after;
    }

    /// However it ended, the agent waits no more.
    pub(super) fn done(&mut self) {
        self.now -= 1;
    }

    /// How often ports were asked for in the busiest moment, scaled to a second.
    pub(super) fn per_second(&self) -> f64 {
        f64::from(self.asked.iter().copied().max().unwrap_or(0)) / GRAIN.as_secs_f64()
    }

    /// How long a port is held, seconds (the mean); `None` where none was.
    pub(super) fn held_s(&self) -> Option<f64> {
        (self.used > 0).then(|| self.held.as_secs_f64() / self.used as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_busiest_moment_and_the_time_the_mean_of_all() {
        let mut book = PassiveBook::default();
        for at in [0, 10, 250, 260, 270, 299, 1000] {
            book.ask(Duration::from_millis(at));
        }
        assert_eq!((book.most, book.per_second()), (7, 40.0));
        book.refused("425 none");
        book.done();
        for held in [100, 300] {
            book.connected(Duration::from_millis(held));
            book.done();
        }
        assert_eq!((book.now, book.held_s()), (4, Some(0.2)));
        assert_eq!(book.first_refusal.unwrap().waiting, 7);
        assert_eq!(PassiveBook::default().held_s(), None);
    }
}
