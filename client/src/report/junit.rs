//! JUnit XML, for CI: a flow is a test case; the findings about it are its failure.

use fwdrill_protocol::finding::{Finding, Severity};
use fwdrill_protocol::report::{FlowResult, Report, Verdict};
use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use super::words;

/// One suite. A check that could not be carried out is an error, not a failure.
pub(super) fn render(report: &Report) -> String {
    let mut suite = TestSuite::new(format!("fwdrill {}", words::title(report)));
    suite.set_timestamp(chrono_of(report));
    suite.set_time(std::time::Duration::from_millis(report.elapsed_ms));
    for flow in &report.flows {
        suite.add_test_case(flow_case(flow, report));
    }
    // A finding about a flow that passes (or that the estate lacks) has a case of its own, or it would be lost.
    for finding in &report.findings {
        let told = report
            .flows
            .iter()
            .any(|flow| flow.flow == finding.flow && flow.verdict != Verdict::Pass);
        if !told {
            suite.add_test_case(finding_case(finding));
        }
    }
    if words::nothing_to_count(report) {
        // Servers of CI take a suite without cases for one that did not run.
        suite.add_test_case(case(&words::meaning(report), None, &[], String::new()));
    }
    for step in report.life.iter().flatten() {
        let kind = (!step.ok).then_some(NonSuccessKind::Failure);
        let mut case = case(&step.step, kind, &[], step.detail.clone());
        case.set_classname("fwdrill.life");
        case.set_time(std::time::Duration::from_millis(step.elapsed_ms));
        suite.add_test_case(case);
    }
    let mut document = Document::new("fwdrill");
    document.add_test_suite(suite);
    let mut text = document.to_string().unwrap_or_default();
    text.push('\n');
    text
}

fn flow_case(flow: &FlowResult, report: &Report) -> TestCase {
    let kind = match flow.verdict {
        Verdict::Pass => None,
        Verdict::Fail => Some(NonSuccessKind::Failure),
        Verdict::Inconclusive => Some(NonSuccessKind::Error),
    };
    let findings: Vec<&Finding> = report
        .findings
        .iter()
        .filter(|finding| finding.flow == flow.flow)
        .collect();
    let summary = format!(
        "expected {}, {} ({})",
        flow.expected.name(),
        flow.state.name(),
        flow.outcome.name()
    );
    let mut case = case(flow.flow.name(), kind, &findings, summary);
    if let Some(rtt) = flow.rtt_ms {
        case.set_time(std::time::Duration::from_secs_f64(rtt / 1e3));
    }
    case
}

/// A warning fails nothing: what there is to say stands in the case's output.
fn finding_case(finding: &Finding) -> TestCase {
    let kind = (finding.severity == Severity::Error).then_some(NonSuccessKind::Failure);
    let mut case = case(finding.id.name(), kind, &[finding], finding.summary.clone());
    if kind.is_none() {
        let heading = format!("{}: {}", finding.severity, finding.summary);
        case.set_system_out(
            [heading]
                .into_iter()
                .chain(told(finding))
                .collect::<Vec<_>>()
                .join("\n"),
        );
    }
    case
}

/// Its evidence and its cure, a line each.
fn told(finding: &Finding) -> impl Iterator<Item = String> {
    let evidence = finding.evidence.iter().map(|line| format!("- {line}"));
    evidence.chain([format!("fix: {}", finding.remedy)])
}

fn case(name: &str, kind: Option<NonSuccessKind>, findings: &[&Finding], summary: String) -> TestCase {
    let status = match kind {
        None => TestCaseStatus::success(),
        Some(kind) => {
            let mut status = TestCaseStatus::non_success(kind);
            status.set_message(
                findings
                    .first()
                    .map_or_else(|| summary.clone(), |finding| finding.summary.clone()),
            );
            status.set_type(findings.first().map_or("flow", |finding| finding.id.name()));
            let lines = findings.iter().flat_map(|finding| told(finding));
            status.set_description([summary].into_iter().chain(lines).collect::<Vec<_>>().join("\n"));
            status
        }
    };
    let mut case = TestCase::new(name.to_owned(), status);
    case.set_classname("fwdrill");
    case
}

/// `quick-junit` speaks chrono.
fn chrono_of(report: &Report) -> chrono::DateTime<chrono::FixedOffset> {
    chrono::DateTime::from_timestamp(report.started.as_second(), 0)
        .unwrap_or_default()
        .fixed_offset()
}
