use super::*;
use crate::diagnosis::testing::{blocked_range, healthy, report_of};

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn a_healthy_path_reads_as_a_pass() {
    insta::assert_snapshot!(plain(&Format::Text.render(&report_of(&healthy()))));
}

#[test]
fn a_blocked_range_reads_as_cause_fix_and_table() {
    insta::assert_snapshot!(plain(&Format::Text.render(&report_of(&blocked_range()))));
}

#[test]
fn json_reads_back_as_the_same_report() {
    let report = report_of(&blocked_range());
    let text = Format::Json.render(&report);
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    insta::assert_snapshot!(text);
}

#[test]
fn junit_has_a_case_per_flow_and_the_cause_as_failure() {
    insta::assert_snapshot!(Format::Junit.render(&report_of(&blocked_range())));
}

#[test]
fn formats_are_known_by_name_and_extension() {
    assert_eq!("junit".parse(), Ok(Format::Junit));
    assert_eq!(Format::of_file(Path::new("r/report.JSON")), Some(Format::Json));
    assert_eq!(Format::of_file(Path::new("report")), None);
    assert!("yaml".parse::<Format>().unwrap_err().contains("text"));
}
