use std::os::unix::fs::symlink;

use fwdrill_protocol::update_set::{MANIFEST_FILE, SIGNATURE_FILE, SecretKey};

use super::*;
use crate::testing::Bench;

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[test]
fn an_empty_depot_has_no_set_and_says_so_without_an_error() {
    let bench = Bench::new();
    assert!(bench.depot.current().expect("in order").is_none());
    assert_eq!(bench.depot.serials().expect("in order"), [0; 0]);
    assert!(bench.depot.set(1).expect_err("no set").is_not_found());
}

#[test]
fn a_directory_without_a_key_is_not_a_depot() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = Depot::open(dir.path()).expect_err("no key");
    assert!(
        chain(&error).contains("failed to open") && chain(&error).contains("minisign.pub"),
        "{}",
        chain(&error)
    );
    std::fs::write(dir.path().join("minisign.pub"), "hello").expect("written");
    let error = Depot::open(dir.path()).expect_err("no key");
    assert!(
        chain(&error).ends_with("minisign.pub: not a minisign public key"),
        "{}",
        chain(&error)
    );
}

#[test]
fn a_depot_of_another_publisher_is_refused() {
    let bench = Bench::new();
    let stranger = SecretKey::generate().expect("random numbers");
    let error = Depot::create(bench.dir.path(), stranger.public()).expect_err("another key");
    assert!(matches!(error, DepotError::OtherKey { .. }), "{error}");
    assert_eq!(
        Depot::open(bench.dir.path()).expect("in order").public_key(),
        bench.key.public()
    );
}

#[test]
fn an_altered_manifest_is_refused_on_load() {
    let bench = Bench::new();
    let path = bench.publish().path().join(MANIFEST_FILE);
    let text = fs::read_to_string(&path)
        .expect("the manifest")
        .replace("\"serial\": 1", "\"serial\": 2");
    fs::write(&path, text).expect("written");
    let error = bench.depot.current().expect_err("altered");
    assert!(
        chain(&error).contains("sets/1/manifest.json.minisig: signature of key"),
        "{}",
        chain(&error)
    );
}

#[test]
fn a_signature_that_is_altered_missing_or_by_a_stranger_is_refused_on_load() {
    let bench = Bench::new();
    let set = bench.publish();
    let path = set.path().join(SIGNATURE_FILE);
    let good = set.signature().to_owned();
    let stranger = SecretKey::generate()
        .expect("random numbers")
        .sign(set.manifest_bytes(), "")
        .expect("signed");
    for (bad, expected) in [
        (good.replace("update set 1", "update set 2"), "does not match"),
        (stranger, "expected key"),
        (String::new(), "malformed"),
        ("x".repeat(100_000), "too long"),
    ] {
        fs::write(&path, bad).expect("written");
        let error = chain(&bench.depot.current().expect_err(expected));
        assert!(
            error.contains("sets/1/manifest.json.minisig: ") && error.contains(expected),
            "{error}"
        );
    }
    fs::remove_file(&path).expect("removed");
    let error = chain(&bench.depot.current().expect_err("missing"));
    assert!(
        error.contains("failed to open") && error.contains("minisig: No such file"),
        "{error}"
    );
}

#[test]
fn a_set_under_the_wrong_serial_is_refused() {
    let bench = Bench::new();
    let layout = bench.depot.layout();
    drop(bench.publish());
    fs::rename(layout.set(1), layout.set(9)).expect("renamed");
    let error = bench.depot.set(9).expect_err("another serial");
    assert!(matches!(error, DepotError::Serial { found: 1, .. }), "{error}");
}

#[test]
fn current_must_point_into_the_depot() {
    let bench = Bench::new();
    for target in ["/etc", "sets/../../x", "sets", "sets/x"] {
        let _ = fs::remove_file(bench.depot.layout().current());
        symlink(target, bench.depot.layout().current()).expect("a link");
        let error = bench.depot.current().expect_err(target);
        assert!(matches!(error, DepotError::CurrentLink { .. }), "{error}");
    }
}

#[test]
fn current_pointing_to_nothing_is_an_error_and_not_an_endless_search() {
    let bench = Bench::new();
    symlink("sets/5", bench.depot.layout().current()).expect("a link");
    assert!(bench.depot.current().expect_err("nothing there").is_not_found());
}

#[test]
fn damaged_files_of_a_set_are_found_and_named() {
    let bench = Bench::new();
    let set = bench.publish();
    assert_eq!(set.verify_files().expect("readable"), []);
    let at = |name: &str| set.path().join(name);
    fs::remove_file(at("policies/firewall.json")).expect("removed");
    fs::write(at("policies/update-schedule.ini"), "x").expect("written");
    let mut bytes = fs::read(at("signatures/main.fwdb")).expect("the database");
    bytes[2000] ^= 1;
    fs::write(at("signatures/main.fwdb"), bytes).expect("written");
    let damaged: Vec<String> = set
        .verify_files()
        .expect("readable")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(damaged.len(), 3, "{damaged:?}");
    assert_eq!(damaged[0], "policies/firewall.json is missing");
    assert!(
        damaged[1].starts_with("policies/update-schedule.ini has 1 bytes, the manifest says"),
        "{damaged:?}"
    );
    assert!(
        damaged[2].starts_with("signatures/main.fwdb has SHA-256"),
        "{damaged:?}"
    );
}
