//! The files that make a storm of several machines say what the program understands: the same ports, names and commands. No
//! cluster is asked; `scripts/test-docker` runs the compose file.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::flow::Flow;
use serde_json::Value;
use support::{fwdrill, run, stderr};

fn documents(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}

fn of_kind<'a>(documents: &'a [Value], kind: &str) -> &'a Value {
    let mut found = documents.iter().filter(|document| document["kind"] == kind);
    let one = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    one
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}

/// The command line is one that the program takes: an argument that it does not know comes before the help.
fn is_understood(arguments: &[&str]) {
    let output = run(arguments.iter().copied().chain(["--help"]));
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
}

/// The ports of a list by their names, which are those of flows.
fn ports(list: &Value, key: &str) -> BTreeMap<String, u64> {
    let ports = list.as_array().unwrap().iter();
    ports
        .map(|port| (port["name"].as_str().unwrap().to_owned(), port[key].as_u64().unwrap()))
        .collect()
}

#[test]
fn a_command_line_that_the_program_does_not_know_is_noticed() {
    let output = run(["storm", "fwdrill", "--agents=500", "--help"]);
    assert_eq!(output.status.code(), Some(2));
    let output = run(["storm", "fwdrill", "--clients=many", "--help"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_kubernetes_manifest_has_the_programs_ports_names_and_commands() {
    let all = documents("docker/kubernetes/storm.yaml");
    let (service, deployment) = (of_kind(&all, "Service"), of_kind(&all, "Deployment"));
    let (job, secret) = (of_kind(&all, "Job"), of_kind(&all, "Secret"));

    let estate = Estate::default();
    let offered = ports(&service["spec"]["ports"], "port");
    for (name, port) in &offered {
        let flow = Flow::ALL.into_iter().find(|flow| flow.name() == name);
        let flow = flow.unwrap_or_else(|| panic!("{name} is no flow"));
        assert_eq!(estate.port(flow).map(u64::from), Some(*port), "{name}");
    }
    let used = [Flow::FtpControl, Flow::Http, Flow::Version, Flow::Events];
    assert_eq!(offered.len(), used.len(), "what a storm goes to, and nothing else");
    assert!(used.iter().all(|flow| offered.contains_key(flow.name())));
    assert_eq!(service["spec"]["clusterIP"], "None", "a 227 names the pod's address");

    let pod = &deployment["spec"]["template"];
    let server = &pod["spec"]["containers"][0];
    assert_eq!(ports(&server["ports"], "containerPort"), offered);
    for labels in [
        &deployment["spec"]["selector"]["matchLabels"],
        &service["spec"]["selector"],
    ] {
        assert_eq!(labels, &pod["metadata"]["labels"]);
    }
    is_understood(&texts(&server["args"]));
    let probe = texts(&server["readinessProbe"]["exec"]["command"]);
    assert_eq!(probe[0], "fwdrill");
    is_understood(&probe[1..]);

    let spec = &job["spec"];
    assert_eq!(spec["completionMode"], "Indexed");
    assert_eq!(
        spec["completions"], spec["parallelism"],
        "a storm is all of them at once"
    );
    assert_eq!(spec["backoffLimitPerIndex"], 0, "a result is not tried again");
    let template = &spec["template"]["spec"];
    assert_eq!(template["restartPolicy"], "Never");
    let storm = &template["containers"][0];
    let arguments = texts(&storm["args"]);
    is_understood(&arguments);
    assert_eq!(
        (arguments[0], arguments[1]),
        ("storm", service["metadata"]["name"].as_str().unwrap())
    );
    // Agents' names begin with the pod's, which ends in its index.
    assert!(!arguments.iter().any(|argument| argument.starts_with("--client=")));
    assert_eq!(storm["image"], server["image"]);

    // Both ends have the same token, of the secret that is there.
    for container in [server, storm] {
        let variable = &container["env"][0];
        assert_eq!(variable["name"], "FWDRILL_AGENT_TOKEN");
        let reference = &variable["valueFrom"]["secretKeyRef"];
        assert_eq!(reference["name"], secret["metadata"]["name"]);
        let token = secret["stringData"][reference["key"].as_str().unwrap()]
            .as_str()
            .unwrap();
        let output = fwdrill()
            .arg("lint")
            .env("FWDRILL_AGENT_TOKEN", token)
            .output()
            .unwrap();
        assert_ne!(output.status.code(), Some(2), "{}", stderr(&output));
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    }
}

#[test]
fn the_compose_file_has_the_programs_names_and_commands() {
    let all = documents("docker/storm/compose.yaml");
    let services = all[0]["services"].as_object().unwrap();
    for (name, service) in services {
        // As compose does with variables that are not set: the default.
        let plain = |text: &str| match text
            .split_once("${")
            .map(|(before, rest)| (before, rest.split_once('}').unwrap()))
        {
            Some((before, (variable, after))) => format!("{before}{}{after}", variable.split_once(":-").unwrap().1),
            None => text.to_owned(),
        };
        if let Some(command) = service.get("command") {
            let arguments: Vec<String> = texts(command).into_iter().map(plain).collect();
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            assert!(arguments[0] == "storm" && services.contains_key(arguments[1]), "{name}");
            is_understood(&arguments);
        }
        let mut lint = fwdrill();
        for (variable, value) in service["environment"].as_object().unwrap() {
            let value = value.as_str().map_or_else(|| value.to_string(), plain);
            lint.env(variable, value);
        }
        let output = lint.args(["lint", "--clients=1"]).output().unwrap();
        assert_ne!(output.status.code(), Some(2), "{name}: {}", stderr(&output));
    }
    assert!(
        services["gathered"]["command"]
            .as_array()
            .unwrap()
            .contains(&"--gathered".into())
    );
}
