use std::error::Error;
use std::time::Duration;

use super::progress::{Event, Progress};

/// What happens after a transfer was cut: it is tried again after a pause that doubles each time. Whoever gets further
/// than ever before starts counting anew, so a large file gets through a path that cuts often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How many failures in a row without a new byte are the end.
    pub failures: u32,
    /// The first pause.
    pub pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            failures: 5,
            pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(10),
        }
    }
}

/// Failures in a row of one transfer.
pub(super) struct Patience<'a> {
    retry: Retry,
    progress: &'a dyn Progress,
    failures: u32,
}

impl<'a> Patience<'a> {
    pub(super) fn new(retry: Retry, progress: &'a dyn Progress) -> Self {
        Patience {
            retry,
            progress,
            failures: 0,
        }
    }

    /// It got further than ever before.
    pub(super) fn renew(&mut self) {
        self.failures = 0;
    }

    /// Waits before the next try; gives the error back if it is not worth another one, or patience is at its end.
    pub(super) async fn after<E: Error + Send + Sync + 'static>(
        &mut self,
        path: &str,
        error: E,
        worth_it: bool,
    ) -> Result<(), E> {
        self.failures += 1;
        if !worth_it || self.failures >= self.retry.failures {
            return Err(error);
        }
        let doubled = self.retry.pause.saturating_mul(1 << (self.failures - 1).min(16));
        let pause = doubled.min(self.retry.longest_pause);
        tracing::debug!(path, %error, ?pause, "trying again");
        self.progress.event(Event::Retrying {
            path,
            error: &error,
            pause,
        });
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cut")]
    struct Cut;

    #[derive(Default)]
    struct Pauses(Mutex<Vec<u64>>);

    impl Progress for Pauses {
        fn event(&self, event: Event<'_>) {
            if let Event::Retrying { pause, .. } = event {
                self.0.lock().unwrap().push(pause.as_secs());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_a_limit_and_progress_starts_them_anew() {
        let retry = Retry {
            failures: 5,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(3),
        };
        let pauses = Pauses::default();
        let mut patience = Patience::new(retry, &pauses);
        while patience.after("/f", Cut, true).await.is_ok() {}
        assert_eq!(*pauses.0.lock().unwrap(), [1, 2, 3, 3]);
        patience.renew();
        assert!(patience.after("/f", Cut, true).await.is_ok());
        assert!(patience.after("/f", Cut, false).await.is_err());
        assert_eq!(*pauses.0.lock().unwrap(), [1, 2, 3, 3, 1]);
    }
}
