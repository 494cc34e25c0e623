//! Work that goes on beside other work until its result is wanted.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use futures_util::future::{MaybeDone, maybe_done};

/// A future that is driven only while somebody waits for something else, or for itself.
pub(super) struct Meanwhile<F: Future>(Pin<Box<MaybeDone<F>>>);

impl<F: Future> Meanwhile<F> {
    pub(super) fn new(work: F) -> Self {
        Meanwhile(Box::pin(maybe_done(work)))
    }

    /// Does `main` to its end, and meanwhile this.
    pub(super) async fn during<T>(&mut self, main: impl Future<Output = T>) -> T {
        let mut main = pin!(main);
        poll_fn(|cx| {
            let _ = self.0.as_mut().poll(cx);
            main.as_mut().poll(cx)
        })
        .await
    }

    /// Its result, when it is there.
    pub(super) async fn end(mut self) -> F::Output {
        poll_fn(|cx| match self.0.as_mut().poll(cx) {
            Poll::Ready(()) => self.0.as_mut().take_output().map_or(Poll::Pending, Poll::Ready),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn both_take_as_long_as_the_longer_one() {
        let begun = Instant::now();
        let mut beside = Meanwhile::new(async {
            sleep(Duration::from_secs(3)).await;
            "beside"
        });
        assert_eq!(
            beside
                .during(async {
                    sleep(Duration::from_secs(1)).await;
                    1
                })
                .await,
            1
        );
        assert_eq!(begun.elapsed(), Duration::from_secs(1));
        assert_eq!(
            beside
                .during(async {
                    sleep(Duration::from_secs(4)).await;
                    2
                })
                .await,
            2
        );
        assert_eq!(beside.end().await, "beside");
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }
}
