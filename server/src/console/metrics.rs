//! `/metrics` in the text format of Prometheus (exposition format 0.0.4).

use std::fmt::{self, Display, Write};
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;

use super::Console;
use crate::journal::Snapshot;

pub(super) async fn metrics(State(console): State<Arc<Console>>) -> Response {
    let serial = console.shelf.current().await.map(|set| set.serial());
    let now = console.journal.census().snapshot();
    let text = render(&now, serial, console.journal.lines_lost());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn render(now: &Snapshot, serial: Option<u64>, lines_lost: u64) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, now, serial, lines_lost);
    text
}

fn write(text: &mut String, now: &Snapshot, serial: Option<u64>, lines_lost: u64) -> fmt::Result {
    let totals = &now.totals;
    family(
        text,
        "fwdrill_connections_accepted_total",
        "counter",
        "Connections accepted, by flow.",
    )?;
    for (flow, count) in &totals.accepted {
        writeln!(text, "fwdrill_connections_accepted_total{{flow=\"{flow}\"}} {count}")?;
    }
    family(
        text,
        "fwdrill_transfers_total",
        "counter",
        "Files that moved over FTP, and over HTTP in drills.",
    )?;
    writeln!(
        text,
        "fwdrill_transfers_total{{outcome=\"complete\"}} {}",
        totals.transfers
    )?;
    writeln!(
        text,
        "fwdrill_transfers_total{{outcome=\"broken-off\"}} {}",
        totals.broken_off
    )?;
    single(
        text,
        "fwdrill_transferred_bytes_total",
        "counter",
        "Bytes of these files.",
        totals.bytes,
    )?;
    single(
        text,
        "fwdrill_transfers_running",
        "gauge",
        "Transfers in progress.",
        now.running.len(),
    )?;
    let exhausted = "Clients that were turned away because no passive port was free.";
    single(
        text,
        "fwdrill_passive_range_exhausted_total",
        "counter",
        exhausted,
        totals.exhausted,
    )?;
    family(
        text,
        "fwdrill_exposed_connections_total",
        "counter",
        "Connections from other hosts to ports that are for the server's own host alone, by flow.",
    )?;
    for (flow, count) in &totals.exposed {
        writeln!(text, "fwdrill_exposed_connections_total{{flow=\"{flow}\"}} {count}")?;
    }
    single(
        text,
        "fwdrill_addresses_seen",
        "gauge",
        "Addresses that clients came from.",
        now.peers.len(),
    )?;
    single(
        text,
        "fwdrill_journal_lines_lost_total",
        "counter",
        "Lines that the disk was too slow for.",
        lines_lost,
    )?;
    match serial {
        Some(serial) => single(
            text,
            "fwdrill_update_serial",
            "gauge",
            "The update set in force.",
            serial,
        ),
        None => Ok(()),
    }
}

fn single(text: &mut String, name: &str, kind: &str, help: &str, value: impl Display) -> fmt::Result {
    family(text, name, kind, help)?;
    writeln!(text, "{name} {value}")
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) -> fmt::Result {
    writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}")
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::flow::Flow;

    use super::*;
    use crate::console::testing::seen;

    #[test]
    fn every_sample_belongs_to_a_family_that_was_declared() {
        let text = render(&seen(&[([192, 0, 2, 1], Flow::Version)]), Some(3), 0);
        assert!(
            text.contains("fwdrill_connections_accepted_total{flow=\"version\"} 1\n"),
            "{text}"
        );
        assert!(text.ends_with("fwdrill_update_serial 3\n"));
        let mut declared = "";
        for line in text.lines() {
            match line.strip_prefix("# TYPE ") {
                Some(family) => declared = family.split(' ').next().unwrap(),
                None if line.starts_with('#') => {}
                None => assert_eq!(line.split(['{', ' ']).next(), Some(declared)),
            }
        }
    }
}
