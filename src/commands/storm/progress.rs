//! The line that moves while a storm goes on; on a terminal only, and only if it takes longer than a second.

use std::time::Duration;

use fwdrill_client::storm::Live;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::waiting::PATIENCE;

/// How often the line is written anew.
const TICK: Duration = Duration::from_millis(200);

/// Awaits `work`, and shows what `live` says meanwhile.
pub(super) async fn shown<T>(live: &Live, clients: u32, quiet: bool, work: impl Future<Output = T>) -> T {
    let bar = ProgressBar::hidden();
    let showing = async {
        tokio::time::sleep(PATIENCE).await;
        if !quiet {
            // indicatif draws nothing where stderr is no terminal.
            bar.set_draw_target(ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        }
        loop {
            bar.set_message(line(live, clients));
            bar.tick();
            tokio::time::sleep(TICK).await;
        }
    };
    let done = tokio::select! { done = work => done, () = showing => unreachable!("it never ends") };
    bar.finish_and_clear();
    done
}

fn line(live: &Live, clients: u32) -> String {
    let (begun, lived, failed, received) = live.now();
    format!(
        "{clients} clients: {} at work, {lived} updates went well, {failed} did not; {} received",
        begun.saturating_sub(lived + failed),
        HumanBytes(received)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_how_it_stands() {
        let line = line(&Live::default(), 20);
        assert_eq!(
            line,
            "20 clients: 0 at work, 0 updates went well, 0 did not; 0 B received"
        );
    }
}
