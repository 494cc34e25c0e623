//! Everything, for programs: schema `fwdrill.rehearsal/1`.

use serde_json::{Value, json};

use super::complaints;
use crate::rehearse::{Rehearsed, Side};

pub(super) fn render(rehearsed: &[Rehearsed]) -> String {
    let paths: Vec<Value> = rehearsed.iter().map(path).collect();
    let document = json!({ "schema": "fwdrill.rehearsal/1", "paths": paths });
    format!("{document:#}\n")
}

fn path(one: &Rehearsed) -> Value {
    let scenario = &one.rehearsal.scenario;
    json!({
        "file": one.rehearsal.file,
        "title": scenario.title,
        "judgement": one.judgement().name(),
        "expected": scenario.expect,
        "known_gap": one.gap(),
        "complaints": complaints(one),
        "again": one.again,
        "both_ends": side(&one.both),
        "client_alone": one.alone.as_ref().map(side),
    })
}

/// A lab whose client has no report has a problem instead.
fn side(side: &Side) -> Value {
    let elapsed = u64::try_from(side.elapsed.as_millis()).unwrap_or(u64::MAX);
    match &side.report {
        Ok(report) => json!({ "elapsed_ms": elapsed, "report": report, "programs": side.programs }),
        Err(problem) => json!({ "elapsed_ms": elapsed, "problem": problem }),
    }
}
