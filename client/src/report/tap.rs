//! TAP 14 (testanything.org), for CI: a line for every flow, and one for every finding with all that is known of it.

use std::fmt::{Display, Write};

use fwdrill_protocol::finding::{Finding, Severity};
use fwdrill_protocol::report::{FlowResult, Report, Verdict};

use super::words;

/// The whole report.
pub(super) fn render(report: &Report) -> String {
    let mut tap = Tap::new(format!(
        "fwdrill {}: {}, drill {}",
        words::title(report),
        report.verdict.name(),
        report.drill
    ));
    for flow in &report.flows {
        tap.case(flow_point(flow), flow.flow.title(), &flow_facts(flow));
    }
    for finding in &report.findings {
        tap.case(
            finding_point(finding),
            &format!("{}: {}", finding.id, finding.summary),
            &finding_facts(finding),
        );
    }
    if words::nothing_to_count(report) {
        // A plan of no points says that all were skipped.
        tap.case(Point::Ok, &words::meaning(report), &[]);
    }
    for step in report.life.iter().flatten() {
        let facts = [
            Fact::new("detail", &step.detail),
            Fact::number("elapsed_ms", step.elapsed_ms),
        ];
        tap.case(if step.ok { Point::Ok } else { Point::NotOk }, &step.step, &facts);
    }
    tap.finish()
}

fn flow_point(flow: &FlowResult) -> Point {
    match flow.verdict {
        Verdict::Pass => Point::Ok,
        // What could not be carried out is never counted as right.
        Verdict::Fail | Verdict::Inconclusive => Point::NotOk,
    }
}

/// A warning is no failure: TAP's word for a point that may fail is TODO.
fn finding_point(finding: &Finding) -> Point {
    match finding.severity {
        Severity::Error => Point::NotOk,
        Severity::Warning => Point::Todo("a warning"),
        Severity::Info => Point::Ok,
    }
}

fn flow_facts(flow: &FlowResult) -> Vec<Fact> {
    let mut facts = vec![
        Fact::new("flow", flow.flow.name()),
        Fact::new("verdict", flow.verdict.name()),
        Fact::new("expected", flow.expected.name()),
        Fact::new("state", flow.state.name()),
        Fact::new("outcome", flow.outcome.name()),
        Fact::new("seen_by_server", flow.seen_by_server.name()),
    ];
    facts.extend(flow.to.map(|to| Fact::new("to", &to.to_string())));
    facts.extend(flow.rtt_ms.map(|rtt| Fact::number("rtt_ms", rtt)));
    facts.extend(flow.detail.as_ref().map(|detail| Fact::new("detail", detail)));
    facts
}

fn finding_facts(finding: &Finding) -> Vec<Fact> {
    let alternatives: Vec<&str> = finding.alternatives.iter().map(|id| id.name()).collect();
    vec![
        Fact::new("id", finding.id.name()),
        Fact::new("severity", &finding.severity.to_string()),
        Fact::new("confidence", &finding.confidence.to_string()),
        Fact::new("flow", finding.flow.name()),
        Fact::new("where", finding.place.title()),
        Fact::new("remedy", &finding.remedy),
        Fact::list("evidence", finding.evidence.iter().map(String::as_str)),
        Fact::list("alternatives", alternatives.into_iter()),
    ]
}

/// How a test point ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// It holds.
    Ok,
    /// It does not.
    NotOk,
    /// It does not, and that fails nothing, for this reason.
    Todo(&'static str),
    /// It was not tried, for this reason.
    Skip(&'static str),
}

/// A line of a YAML diagnostic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact(String);

impl Fact {
    /// A text.
    pub fn new(key: &str, text: &str) -> Self {
        Fact(format!("{key}: {}", quoted(text)))
    }

    /// A number.
    pub fn number(key: &str, number: impl Display) -> Self {
        Fact(format!("{key}: {number}"))
    }

    /// Some texts.
    pub fn list<'a>(key: &str, texts: impl Iterator<Item = &'a str>) -> Self {
        let items: Vec<String> = texts.map(|text| format!("\n    - {}", quoted(text))).collect();
        match items.as_slice() {
            [] => Fact(format!("{key}: []")),
            items => Fact(format!("{key}:{}", items.concat())),
        }
    }
}

/// A text in JSON's quotes is one in YAML's.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// A TAP document in the making.
#[derive(Debug)]
pub struct Tap {
    head: String,
    points: usize,
    body: String,
}

impl Tap {
    /// A document with this comment at its head.
    pub fn new(comment: impl AsRef<str>) -> Self {
        Tap {
            head: format!("TAP version 14\n# {}\n", words::printable(comment.as_ref())),
            points: 0,
            body: String::new(),
        }
    }

    /// Adds a test point; what is known of it follows it.
    pub fn case(&mut self, point: Point, description: &str, facts: &[Fact]) {
        self.points += 1;
        let ok = match point {
            Point::Ok | Point::Skip(_) => "ok",
            Point::NotOk | Point::Todo(_) => "not ok",
        };
        let directive = match point {
            Point::Ok | Point::NotOk => String::new(),
            Point::Todo(why) => format!(" # TODO {why}"),
            Point::Skip(why) => format!(" # SKIP {why}"),
        };
        // Writing to a string does not fail.
        let _ = writeln!(self.body, "{ok} {} - {}{directive}", self.points, escaped(description));
        if !facts.is_empty() {
            let lines: Vec<String> = facts.iter().map(|Fact(fact)| format!("  {fact}\n")).collect();
            let _ = write!(self.body, "  ---\n{}  ...\n", lines.concat());
        }
    }

    /// The document.
    pub fn finish(self) -> String {
        format!("{}1..{}\n{}", self.head, self.points, self.body)
    }
}

/// In a description a number sign would begin a directive.
fn escaped(description: &str) -> String {
    words::printable(description).replace('\\', "\\\\").replace('#', "\\#")
}
