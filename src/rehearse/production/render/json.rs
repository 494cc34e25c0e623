//! Everything, for programs: schema `fwdrill.ruleset-rehearsal/1`.

use serde_json::{Value, json};

use super::untraced;
use crate::rehearse::production::topology::Family;
use crate::rehearse::production::{Outcome, Row, Seen};

pub(crate) fn render(outcome: &Outcome) -> String {
    let mut notes = outcome.notes.clone();
    notes.extend(untraced(outcome));
    let rows: Vec<Value> = outcome.rows.iter().map(row).collect();
    let document = json!({
        "schema": "fwdrill.ruleset-rehearsal/1",
        "ruleset": outcome.files[0],
        "against": outcome.files[1],
        "verdict": outcome.verdict().name(),
        "elapsed_ms": u64::try_from(outcome.elapsed.as_millis()).unwrap_or(u64::MAX),
        "notes": notes,
        "vantages": rows,
    });
    format!("{document:#}\n")
}

fn row(row: &Row) -> Value {
    json!({
        "vantage": row.view.vantage,
        "family": match row.view.family { Family::V4 => "ipv4", Family::V6 => "ipv6" },
        "client": row.view.client,
        "target": row.view.target,
        "server": row.view.server,
        "new": seen(&row.new),
        "old": row.old.as_ref().map(seen),
        "changes": row.changes,
    })
}

/// Where the client has no report there is a problem instead.
fn seen(seen: &Seen) -> Value {
    let elapsed = u64::try_from(seen.elapsed.as_millis()).unwrap_or(u64::MAX);
    match &seen.report {
        Ok(report) => json!({ "elapsed_ms": elapsed, "report": report, "decisions": seen.decisions }),
        Err(problem) => json!({ "elapsed_ms": elapsed, "problem": problem }),
    }
}
