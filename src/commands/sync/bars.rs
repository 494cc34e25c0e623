//! A progress bar per download, on stderr, once the work has taken longer than a second.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use fwdrill_client::error_chain;
use fwdrill_client::sync::{Event, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::waiting::PATIENCE;

/// Draws what a cycle tells; nothing where stderr is no terminal, or nothing is wanted.
pub(super) struct Bars {
    quiet: bool,
    begun: Instant,
    bar: Mutex<ProgressBar>,
}

impl Bars {
    pub(super) fn new(quiet: bool) -> Self {
        Bars {
            quiet,
            begun: Instant::now(),
            bar: Mutex::new(ProgressBar::hidden()),
        }
    }

    fn target(&self) -> ProgressDrawTarget {
        if self.quiet || self.begun.elapsed() < PATIENCE {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        }
    }
}

impl Progress for Bars {
    fn event(&self, event: Event<'_>) {
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Started { path, size, offset } => {
                let style =
                    ProgressStyle::with_template("{msg:32!} {bar:30} {bytes:>10}/{total_bytes} {bytes_per_sec} {eta}");
                let fresh =
                    ProgressBar::with_draw_target(Some(size), self.target()).with_message(path.as_str().to_owned());
                *bar = fresh.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar.set_position(offset);
            }
            Event::Moved { bytes } => {
                if bar.is_hidden() && !self.target().is_hidden() {
                    bar.set_draw_target(self.target());
                }
                bar.inc(bytes);
            }
            Event::Verified { .. } | Event::Switched { .. } => bar.finish_and_clear(),
            Event::Retrying { path, error, pause } => {
                tracing::warn!("{path}: {}; going on in {pause:.1?}", error_chain(error));
            }
            _ => {}
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.bar
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .finish_and_clear();
    }
}
