//! JUnit XML, for CI: a scenario is a test case. A known gap is a skipped one, with its reason.

use quick_junit::{NonSuccessKind, Report as Document, TestCase, TestCaseStatus, TestSuite};

use super::complaints;
use crate::rehearse::Rehearsed;
use crate::rehearse::verdict::Judgement;

pub(super) fn render(rehearsed: &[Rehearsed]) -> String {
    let mut suite = TestSuite::new("fwdrill rehearse");
    for one in rehearsed {
        let mut case = TestCase::new(one.name(), status(one));
        case.set_classname("fwdrill.rehearse");
        case.set_time(one.both.elapsed);
        suite.add_test_case(case);
    }
    let mut document = Document::new("fwdrill");
    document.add_test_suite(suite);
    let mut text = document.to_string().unwrap_or_default();
    text.push('\n');
    text
}

fn status(one: &Rehearsed) -> TestCaseStatus {
    let judgement = one.judgement();
    let mut status = match judgement {
        Judgement::Right => return TestCaseStatus::success(),
        Judgement::Gap => TestCaseStatus::skipped(),
        Judgement::Wrong | Judgement::GapClosed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Judgement::Undone => TestCaseStatus::non_success(NonSuccessKind::Error),
    };
    status.set_message(one.gap().unwrap_or(judgement.name()));
    status.set_description(complaints(one).join("\n"));
    status
}
