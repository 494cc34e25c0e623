//! `fwdrill.report/1`, for scripts.

use fwdrill_protocol::report::Report;

/// Pretty-printed, with the keys in the order of the contract.
pub(super) fn render(report: &Report) -> String {
    // A report holds only what serialises: no maps with odd keys, no failing implementations.
    let mut text = serde_json::to_string_pretty(report).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"));
    text.push('\n');
    text
}
