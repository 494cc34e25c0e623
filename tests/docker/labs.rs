//! The labs: each brought up by its compose file, its report compared with its expected.json.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use fwdrill_protocol::finding::Severity;
use fwdrill_protocol::report::Report;
use serde::Deserialize;

use crate::engine::{ended, everything, run, tell};
use crate::image::{Images, root};

/// What a lab's client shall find.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// Of the client's container.
    exit_code: i32,
    verdict: String,
    /// Ids of errors and warnings, the cause first.
    findings: Vec<String>,
}

/// Names of the directories with a compose.yaml.
pub(crate) fn all() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(root().join("docker/labs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("compose.yaml").is_file())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// By the script that users are told of.
pub(crate) fn finds_what_its_file_expects(lab: &str, images: &Images) {
    let results = tempfile::tempdir().unwrap();
    let mut command = Command::new(root().join("docker/labs/run"));
    let output = ended(with_images(&mut command, images, results.path()).arg(lab));
    compare(lab, &output, results.path());
}

/// By compose alone, without the script around it.
pub(crate) fn works_without_the_script(lab: &str, images: &Images) {
    let results = tempfile::tempdir().unwrap();
    let compose = |arguments: &[&str]| {
        let mut command = Command::new("docker-compose");
        command.current_dir(root().join("docker/labs").join(lab));
        with_images(&mut command, images, results.path()).args(["--project-name", &project()]);
        ended(command.args(arguments))
    };
    let output = compose(&["up", "--no-color", "--exit-code-from", "client"]);
    let removed = compose(&["down", "--volumes", "--timeout", "2"]);
    compare(lab, &output, results.path());
    assert!(removed.status.success(), "{}", everything(&removed));
}

/// The compose file that docs/DOCKER.md tells people to start from, its test step run as written there.
pub(crate) fn works_as_documented(images: &Images) {
    let page = std::fs::read_to_string(root().join("docs/DOCKER.md")).unwrap();
    let (_, block) = page.split_once("```yaml\nservices:\n").unwrap();
    let (services, _) = block.split_once("```").unwrap();
    let text = format!("services:\n{services}").replace("image: fwdrill", &format!("image: {}", images.fwdrill.0));
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("docker-compose.yml"), text).unwrap();
    std::fs::create_dir(directory.path().join("results")).unwrap();
    let compose = |arguments: &[&str]| {
        let mut command = Command::new("docker-compose");
        command
            .current_dir(directory.path())
            .args(["--project-name", &project()]);
        ended(command.args(arguments))
    };
    let output = compose(&["run", "--rm", "-T", "way-to-updates"]);
    let removed = compose(&["down", "--volumes", "--timeout", "2"]);
    assert_eq!(output.status.code(), Some(0), "{}", everything(&output));
    let junit = std::fs::read_to_string(directory.path().join("results/fwdrill.xml")).unwrap();
    assert!(junit.contains("<testsuite") && !junit.contains("<failure"), "{junit}");
    assert!(removed.status.success(), "{}", everything(&removed));
}

/// The storm of docs/STORM.md, smaller: three containers of fifty agents, and what each told the server.
pub(crate) fn a_storm_is_gathered(images: &Images) {
    let results = tempfile::tempdir().unwrap();
    let compose = |arguments: &[&str]| {
        let mut command = Command::new("docker-compose");
        command.current_dir(root().join("docker/storm")).env("CLIENTS", "50");
        with_images(&mut command, images, results.path()).args(["--project-name", &project()]);
        ended(command.args(arguments))
    };
    let output = compose(&["up", "--no-color", "--scale", "client=3", "client"]);
    let gathered = compose(&["run", "--rm", "-T", "gathered"]);
    let removed = compose(&["down", "--volumes", "--timeout", "2"]);
    let told = everything(&gathered);
    assert_eq!(gathered.status.code(), Some(0), "{}{told}", everything(&output));
    assert!(told.contains("3 storms: 150 of 150 updates went well"), "{told}");
    assert!(removed.status.success(), "{}", everything(&removed));
}

fn with_images<'a>(command: &'a mut Command, images: &Images, results: &Path) -> &'a mut Command {
    command
        .env("FWDRILL_IMAGE", &images.fwdrill.0)
        .env("FWDRILL_LAB_IMAGE", &images.lab.0)
        .env("FWDRILL_RESULTS", results)
        .env("FWDRILL_PROJECT", project())
}

/// Of this run alone, so that nobody else's containers are touched.
fn project() -> String {
    format!("fwdrill-test-{}", std::process::id())
}

fn compare(lab: &str, output: &Output, results: &Path) {
    let told = everything(output);
    let expected = std::fs::read(root().join("docker/labs").join(lab).join("expected.json")).unwrap();
    let expected: Expected = serde_json::from_slice(&expected).unwrap();
    let json = std::fs::read(results.join("report.json")).unwrap_or_else(|error| panic!("no report: {error}\n{told}"));
    let report: Report = serde_json::from_slice(&json).unwrap();
    let found: Vec<&str> = report
        .findings
        .iter()
        .filter(|finding| finding.severity != Severity::Info)
        .map(|finding| finding.id.name())
        .collect();
    tell(&format!("       {lab}: {:?}, {found:?}", report.verdict));
    assert_eq!(found, expected.findings, "{told}");
    assert_eq!(
        serde_json::to_value(report.verdict).unwrap(),
        expected.verdict.as_str(),
        "{told}"
    );
    assert_eq!(output.status.code(), Some(expected.exit_code), "{told}");
    assert!(report.both_ends, "the server's evidence is missing: {told}");

    // JUnit says the same in its own words: a failure for every finding that is an error.
    let junit = std::fs::read_to_string(results.join("junit.xml")).unwrap();
    let named: BTreeSet<&str> = expected
        .findings
        .iter()
        .map(String::as_str)
        .filter(|id| junit.contains(id))
        .collect();
    assert_eq!(named.len(), expected.findings.len(), "{junit}");
    assert_eq!(junit.contains("<failure"), expected.exit_code == 1, "{junit}");
}

/// Nothing of this run's labs is left.
pub(crate) fn left_nothing() {
    let label = format!("label=com.docker.compose.project={}", project());
    for list in [["ps", "--all"], ["network", "ls"], ["volume", "ls"]] {
        let left = run(Command::new("docker").args(list).args(["--quiet", "--filter", &label]));
        assert_eq!(left, "", "{list:?}");
    }
}
