//! The stock minisign reads what is written here, and the other way round.

use std::path::Path;
use std::process::{Command, Output};

use fwdrill_depot::{Depot, PublishOptions, SetHandle, keys, publish};
use fwdrill_protocol::update_set::{SecretKey, verify};

fn minisign(args: &[&str], directory: &Path) -> Output {
    let output = Command::new("minisign").args(args).current_dir(directory).output();
    output.expect("failed to run minisign; install it with scripts/install-test-packages")
}

fn published(dir: &Path) -> (SecretKey, SetHandle) {
    let key = keys::load_or_create(dir).expect("a key");
    let depot = Depot::create(dir, key.public()).expect("a depot");
    let options = PublishOptions::at("2026-11-24T10:00:00Z".parse().expect("a timestamp"));
    let set = publish(&depot, &key, &options).expect("published");
    (key, set)
}

#[test]
fn the_stock_minisign_verifies_a_published_manifest_and_refuses_an_altered_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let (key, set) = published(dir.path());
    let verify = ["-V", "-P", &key.public().to_base64(), "-m", "manifest.json"];
    let output = minisign(&verify, set.path());
    assert!(output.status.success(), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("Trusted comment: fwdrill update set 1"),
        "{output:?}"
    );

    let output = minisign(&["-V", "-p", "../../minisign.pub", "-m", "manifest.json"], set.path());
    assert!(output.status.success(), "with the key file: {output:?}");

    let manifest = set.path().join("manifest.json");
    let altered = String::from_utf8_lossy(set.manifest_bytes()).replace("\"serial\": 1", "\"serial\": 2");
    std::fs::write(manifest, altered).expect("written");
    assert!(!minisign(&verify, set.path()).status.success());
}

#[test]
fn the_stock_minisign_signs_with_our_key_and_we_verify_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let key = keys::load_or_create(dir.path()).expect("a key");
    std::fs::write(dir.path().join("bytes"), "bytes").expect("written");
    let output = minisign(
        &["-S", "-s", "minisign.key", "-m", "bytes", "-t", "by the stock tool"],
        dir.path(),
    );
    assert!(output.status.success(), "{output:?}");
    let signature = std::fs::read_to_string(dir.path().join("bytes.minisig")).expect("a signature");
    assert_eq!(
        verify(b"bytes", &signature, key.public()),
        Ok("by the stock tool".into())
    );
}

#[test]
fn a_key_pair_of_the_stock_minisign_signs_sets() {
    let dir = tempfile::tempdir().expect("a directory");
    let output = minisign(&["-G", "-W", "-p", "minisign.pub", "-s", "minisign.key"], dir.path());
    assert!(output.status.success(), "{output:?}");
    let (_, set) = published(dir.path());
    let output = minisign(&["-V", "-p", "../../minisign.pub", "-m", "manifest.json"], set.path());
    assert!(output.status.success(), "{output:?}");
}
