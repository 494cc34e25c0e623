//! libunftp's log (slog) as tracing events of the session's span.

use std::panic::AssertUnwindSafe;

use slog::{Drain, Level, Logger, Never, OwnedKVList, Record};
use tracing::{Span, debug, info, trace, warn};

/// A logger whose lines belong to `span`. Its warnings are about what clients do, so they are no warnings to us.
pub(super) fn logger(span: Span) -> Logger {
    Logger::root(
        ToTracing {
            span: AssertUnwindSafe(span),
        },
        slog::o!(),
    )
}

struct ToTracing {
    span: AssertUnwindSafe<Span>,
}

impl Drain for ToTracing {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _values: &OwnedKVList) -> Result<(), Never> {
        let (span, message) = (&*self.span, record.msg());
        match record.level() {
            Level::Critical | Level::Error => warn!(parent: span, "libunftp: {message}"),
            Level::Warning => info!(parent: span, "libunftp: {message}"),
            Level::Info | Level::Debug => debug!(parent: span, "libunftp: {message}"),
            Level::Trace => trace!(parent: span, "libunftp: {message}"),
        }
        Ok(())
    }
}
