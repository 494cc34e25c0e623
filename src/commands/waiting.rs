//! Something to look at while it takes longer than a second; on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Nothing moves before work has taken this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Awaits `work`; shows a spinner with `what` on stderr if it takes longer than a second.
pub(super) async fn watched<T>(what: &str, quiet: bool, work: impl Future<Output = T>) -> T {
    let spinner = ProgressBar::hidden();
    let shown = async {
        tokio::time::sleep(PATIENCE).await;
        if !quiet {
            // indicatif draws nothing where stderr is no terminal.
            spinner.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            spinner.set_style(ProgressStyle::default_spinner());
            spinner.set_message(what.to_owned());
            spinner.enable_steady_tick(Duration::from_millis(120));
        }
        std::future::pending::<()>().await
    };
    let done = tokio::select! { done = work => done, () = shown => unreachable!("it never ends") };
    spinner.finish_and_clear();
    done
}
