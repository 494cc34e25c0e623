use fwdrill_protocol::report::Road;
use serde_json::Value;

use super::*;
use crate::diagnosis::testing::{blocked_range, healthy, report_of};

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

/// With a way that is known.
fn blocked() -> Report {
    Report {
        path: Some(Road {
            client: Some([192, 168, 50, 10].into()),
            client_seen_as: Some([198, 51, 100, 2].into()),
            hops: vec![Some([198, 51, 100, 1].into()), None, Some([203, 0, 113, 2].into())],
            complete: true,
            server: Some([10, 20, 0, 10].into()),
        }),
        ..report_of(&blocked_range())
    }
}

/// Somebody on the way who knows what renderers are made of.
fn hostile() -> Report {
    const WORDS: &str =
        "</title></text><script>alert(1)</script> \" ' & | # `x` *y* \\ \u{1b}[2J\r\nnot ok 9 - x\n  ...";
    let mut report = blocked();
    report.target = WORDS.to_owned();
    report.vantage = WORDS.to_owned();
    for flow in &mut report.flows {
        flow.detail = Some(WORDS.to_owned());
    }
    for finding in &mut report.findings {
        finding.summary = WORDS.to_owned();
        finding.remedy = WORDS.to_owned();
        finding.evidence.push(WORDS.to_owned());
    }
    report
}

#[test]
fn a_healthy_path_reads_as_a_pass() {
    insta::assert_snapshot!(plain(&Format::Text.render(&report_of(&healthy()))));
}

/// What a `lint` says that found nothing.
#[test]
fn what_was_read_and_is_right_is_one_case_that_passes() {
    let report = Report {
        flows: Vec::new(),
        findings: Vec::new(),
        ..report_of(&healthy())
    };
    assert!(Format::Tap.render(&report).ends_with("1..1\nok 1 - no contradiction\n"));
    let junit = Format::Junit.render(&report);
    assert!(
        junit.contains("tests=\"1\"") && junit.contains("no contradiction"),
        "{junit}"
    );
}

#[test]
fn a_warning_is_a_case_of_junit_that_passes_and_says_what_to_do() {
    let mut report = report_of(&blocked_range());
    report.flows.clear();
    report.findings.truncate(1);
    report.findings[0].severity = fwdrill_protocol::finding::Severity::Warning;
    let junit = Format::Junit.render(&report);
    assert!(
        junit.contains("tests=\"1\"") && junit.contains("failures=\"0\""),
        "{junit}"
    );
    assert!(junit.contains("warning: ") && junit.contains("fix: "), "{junit}");
}

#[test]
fn a_blocked_range_reads_as_cause_fix_and_table() {
    insta::assert_snapshot!(plain(&Format::Text.render(&blocked())));
}

#[test]
fn json_reads_back_as_the_same_report() {
    let report = blocked();
    let text = Format::Json.render(&report);
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    insta::assert_snapshot!(text);
}

#[test]
fn junit_has_a_case_per_flow_and_the_cause_as_failure() {
    insta::assert_snapshot!(Format::Junit.render(&report_of(&blocked_range())));
}

#[test]
fn tap_has_a_point_per_flow_and_per_finding() {
    insta::assert_snapshot!(Format::Tap.render(&blocked()));
}

#[test]
fn markdown_is_fit_for_a_ticket() {
    insta::assert_snapshot!(Format::Markdown.render(&blocked()));
}

#[test]
fn sarif_has_a_result_per_finding_and_its_page_as_the_rule() {
    insta::assert_snapshot!(Format::Sarif.render(&blocked()));
}

#[test]
fn html_draws_the_path_and_needs_nothing_from_anywhere() {
    let html = Format::Html.render(&blocked());
    for word in ["http://", "https://", "src=", "url(", "@import", "<script", "<link"] {
        // Pages of `explain` may show an address to type.
        let outside_of_pages: String = html
            .split("<pre>")
            .map(|part| part.split("</pre>").last().unwrap_or(""))
            .collect();
        assert!(!outside_of_pages.contains(word), "{word}");
    }
    let (_, body) = html.split_once("</style>").unwrap();
    insta::assert_snapshot!(body);
}

#[test]
fn what_strangers_say_stays_text_in_every_form() {
    let report = hostile();
    let html = Format::Html.render(&report);
    assert!(!html.contains("<script") && !html.contains("</title></text>"));
    let tap = Format::Tap.render(&report);
    let points = tap
        .lines()
        .filter(|line| line.starts_with("ok ") || line.starts_with("not ok "))
        .count();
    assert!(tap.contains(&format!("1..{points}\n")), "{tap}");
    assert!(
        tap.lines()
            .filter(|line| line.trim() == "...")
            .all(|line| line == "  ...")
    );
    let markdown = Format::Markdown.render(&report);
    assert!(!markdown.contains("<script"));
    let rows = markdown.lines().filter(|line| line.starts_with("| ")).count();
    assert_eq!(rows, report.flows.len() + 1 + report.clients.len() + 1);
    for format in Format::ALL {
        let text = format.render(&report);
        assert!(
            !plain(&text).contains('\u{1b}') && !text.contains("\u{1b}[2J"),
            "{}",
            format.name()
        );
    }
    serde_json::from_str::<Value>(&Format::Sarif.render(&report)).unwrap();
}

#[test]
fn every_form_ends_with_a_line_end() {
    for format in Format::ALL {
        for report in [blocked(), report_of(&healthy())] {
            assert!(format.render(&report).ends_with('\n'), "{}", format.name());
        }
    }
}

/// What the schema of SARIF 2.1.0 requires of each object that we write.
#[test]
fn sarif_has_what_its_schema_requires() {
    let log: Value = serde_json::from_str(&Format::Sarif.render(&blocked())).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    let driver = &run["tool"]["driver"];
    assert!(driver["name"].is_string());
    let rules = driver["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert!(!results.is_empty());
    for result in results {
        assert!(result["message"]["text"].is_string());
        assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        for text in ["shortDescription", "fullDescription", "help"] {
            assert!(!rule[text]["text"].as_str().unwrap().is_empty(), "{text}");
        }
    }
    for invocation in run["invocations"].as_array().unwrap() {
        assert!(invocation["executionSuccessful"].is_boolean());
    }
    let guid = run["automationDetails"]["guid"].as_str().unwrap();
    assert_eq!((guid.len(), guid.as_bytes()[14]), (36, b'4'));
}

#[test]
fn formats_are_known_by_name_and_extension() {
    assert_eq!("junit".parse(), Ok(Format::Junit));
    assert_eq!(Format::of_file(Path::new("r/report.JSON")), Some(Format::Json));
    assert_eq!(Format::of_file(Path::new("ticket.md")), Some(Format::Markdown));
    assert_eq!(Format::of_file(Path::new("report")), None);
    assert!("yaml".parse::<Format>().unwrap_err().contains("text"));
}
