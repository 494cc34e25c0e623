//! SARIF 2.1.0 (OASIS), for dashboards that collect findings: each finding is a result, its page of `explain` the rule.

use fwdrill_protocol::explain::Page;
use fwdrill_protocol::finding::{Finding, FindingId, Severity};
use fwdrill_protocol::report::{Report, Verdict};
use jiff::SignedDuration;
use serde_json::{Value, json};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// One run. There is no file to point at: the places of results are logical, the flow of the target.
pub(super) fn render(report: &Report) -> String {
    let mut rules: Vec<FindingId> = report.findings.iter().map(|finding| finding.id).collect();
    rules.sort_unstable();
    rules.dedup();
    let took = SignedDuration::from_millis(i64::try_from(report.elapsed_ms).unwrap_or(i64::MAX));
    let ended = report.started.saturating_add(took).unwrap_or(report.started);
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "fwdrill",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|id| rule(*id)).collect::<Vec<_>>(),
            }},
            "automationDetails": { "id": format!("{}/{}/", report.target, report.vantage), "guid": guid(report) },
            "invocations": [{
                // Whether the measuring was done, not what came of it.
                "executionSuccessful": report.verdict != Verdict::Inconclusive,
                "exitCode": exit_code(report.verdict),
                "startTimeUtc": report.started.to_string(),
                "endTimeUtc": ended.to_string(),
            }],
            "results": report.findings.iter().map(|finding| result(report, finding, &rules)).collect::<Vec<_>>(),
            "properties": { "verdict": report.verdict.name(), "bothEnds": report.both_ends, "drill": report.drill },
        }],
    });
    format!("{log:#}\n")
}

fn rule(id: FindingId) -> Value {
    let page = Page::of(id);
    let section = |heading| page.section(heading).unwrap_or_default();
    let help = format!(
        "{}\n\n## How it is told apart\n{}\n\n## How to fix it\n{}",
        section("What it means"),
        section("How it is told apart"),
        section("How to fix it")
    );
    json!({
        "id": id.name(),
        "shortDescription": { "text": page.summary },
        "fullDescription": { "text": unwrapped(section("What it means")) },
        "help": { "text": help, "markdown": help },
        "properties": { "tags": [id.family().title()] },
    })
}

fn result(report: &Report, finding: &Finding, rules: &[FindingId]) -> Value {
    let flow = report.flows.iter().find(|flow| flow.flow == finding.flow);
    let to = flow
        .and_then(|flow| flow.to)
        .map_or_else(|| report.target.clone(), |to| to.to_string());
    let text = format!("{}. Fix: {}.", finding.summary, finding.remedy);
    json!({
        "ruleId": finding.id.name(),
        "ruleIndex": rules.iter().position(|id| *id == finding.id),
        "kind": "fail",
        "level": level(finding.severity),
        "message": { "text": text },
        "locations": [{ "logicalLocations": [{
            "name": finding.flow.name(),
            "fullyQualifiedName": format!("{to}/{}", finding.flow),
            "kind": "resource",
        }]}],
        "partialFingerprints": { "finding/v1": format!("{}/{}/{}/{}", report.target, report.vantage, finding.flow, finding.id) },
        "properties": {
            "confidence": finding.confidence,
            "where": finding.place,
            "evidence": finding.evidence,
            "remedy": finding.remedy,
            "alternatives": finding.alternatives,
        },
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

/// As the program ends (CONTRACT section 1).
fn exit_code(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Pass => 0,
        Verdict::Fail => 1,
        Verdict::Inconclusive => 3,
    }
}

/// A drill id is as long as a GUID, and as random; SARIF wants RFC 4122's form with its version and variant.
fn guid(report: &Report) -> String {
    let mut bytes = *report.drill.bytes();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(bytes);
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{}-{}-{}",
        part(0, 8),
        part(8, 12),
        part(12, 16),
        part(16, 20),
        part(20, 32)
    )
}

fn unwrapped(text: &str) -> String {
    text.replace('\n', " ")
}
