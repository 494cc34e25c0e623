//! How rulesets are rehearsed in these tests, and what is read of the result.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{self, required, stderr};

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/rulesets")
        .join(name)
}

/// Runs it in the fixture's directory, so that lines are told as `bad.v4:12`; as root or as nobody.
pub(crate) fn rehearse(place: &Path, ordinary: bool, arguments: &[&str]) -> Output {
    for program in ["ip", "nft", "iptables-nft-restore"] {
        required(program);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwdrill"));
    if ordinary && rustix::process::geteuid().is_root() {
        command = Command::new(required("setpriv"));
        command.args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            env!("CARGO_BIN_EXE_fwdrill"),
        ]);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    command
        .env_clear()
        .env("PATH", path)
        .current_dir(place)
        .arg("rehearse")
        .args(arguments);
    command.output().unwrap()
}

pub(crate) fn document(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(output)))
}

/// `worse events from outside: port-dropped by bad.v4:64`.
pub(crate) fn changes(document: &Value) -> Vec<String> {
    let mut told = Vec::new();
    for row in document["vantages"].as_array().unwrap() {
        assert!(row["new"]["report"].is_object(), "{row:#}");
        for change in row["changes"].as_array().unwrap() {
            let word = |value: &Value| value.as_str().unwrap_or("nothing found").to_owned();
            let rules: Vec<String> = change["decided"]
                .as_array()
                .unwrap()
                .iter()
                .flat_map(|decided| [&decided["sent_by"], &decided["by"]])
                .filter(|by| by.is_object())
                .map(|by| format!("{}:{}", by["file"].as_str().unwrap_or("?"), by["line"]))
                .collect();
            told.push(format!(
                "{} {} from {}: {} by {}",
                word(&change["kind"]),
                word(&change["flow"]),
                word(&row["vantage"]),
                word(&change["finding"]),
                rules.join(", ")
            ));
        }
    }
    told.sort();
    told
}

/// What a command says in a network namespace of its own.
pub(crate) fn said_in_a_namespace(script: &str, stdin: &Path) -> String {
    let output = Command::new(required("unshare"))
        .args(["--user", "--map-root-user", "--net", "sh", "-ec", script])
        .stdin(std::fs::File::open(stdin).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    support::stdout(&output)
}
