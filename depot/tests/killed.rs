//! Publishers and clients are killed with SIGKILL at arbitrary moments, again and again; what is in force is always
//! whole, and the next one gets through.
//!
//! The victims are this very test program, run once more with the name of a directory in the environment.

#![allow(clippy::print_stdout)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fwdrill_depot::{Depot, Partial, PublishOptions, SetHandle, Staging, keys, publish};
use fwdrill_protocol::update_set::FileEntry;

const DIRECTORY: &str = "FWDRILL_TEST_VICTIM_DIRECTORY";
const ROUNDS: u32 = 40;

#[test]
fn a_publisher_killed_at_any_moment_leaves_a_whole_set_in_force() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut last = publish_next(dir.path()).serial();
    for _ in 0..ROUNDS {
        kill_somewhere(spawn("victim_publishes_for_ever", dir.path()));
        let serial = whole_serial(dir.path()).expect("there was one before");
        assert!(serial >= last, "{serial} after {last}");
        last = serial;
    }
    assert!(publish_next(dir.path()).serial() > last);
    assert_eq!(names_in(&dir.path().join("staging")), [""; 0]);
    assert_eq!(
        names_in(dir.path()),
        ["current", "minisign.key", "minisign.pub", "partial", "sets", "staging"]
    );
}

#[test]
fn a_client_killed_at_any_moment_gets_there_in_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut last = None;
    for round in 0..ROUNDS {
        if round % 4 == 0 {
            publish_next(&dir.path().join("server"));
        }
        kill_somewhere(spawn("victim_downloads_for_ever", dir.path()));
        let serial = whole_serial(&dir.path().join("client"));
        assert!(serial >= last, "{serial:?} after {last:?}");
        last = serial;
    }
    download(dir.path());
    let expected = whole_serial(&dir.path().join("server"));
    assert_eq!(whole_serial(&dir.path().join("client")), expected);
    for directory in ["staging", "partial"] {
        assert_eq!(names_in(&dir.path().join("client").join(directory)), [""; 0]);
    }
}

#[test]
#[ignore = "not a test: it is killed by another one"]
fn victim_publishes_for_ever() {
    let dir = victim_directory();
    loop {
        println!("publishing");
        publish_next(&dir);
    }
}

#[test]
#[ignore = "not a test: it is killed by another one"]
fn victim_downloads_for_ever() {
    let dir = victim_directory();
    loop {
        println!("downloading");
        download(&dir);
    }
}

fn victim_directory() -> PathBuf {
    std::env::var_os(DIRECTORY)
        .map(PathBuf::from)
        .expect("only to be run by another test, which sets the directory")
}

fn spawn(victim: &str, dir: &Path) -> Child {
    let program = std::env::current_exe().expect("our own path");
    let mut command = Command::new(program);
    command
        .args(["--exact", victim, "--ignored", "--nocapture"])
        .env(DIRECTORY, dir)
        .stdout(Stdio::piped());
    command.spawn().expect("spawned")
}

/// Waits until the victim is at work, lets it go on for anything between nothing and a few rounds, and kills it.
fn kill_somewhere(mut victim: Child) {
    let mut output = BufReader::new(victim.stdout.take().expect("piped"));
    let mut line = String::new();
    while !line.contains("ing\n") {
        line.clear();
        assert_ne!(
            output.read_line(&mut line).expect("read"),
            0,
            "the victim died on its own"
        );
    }
    // Not a wait for anything to happen: any number of turns is as good as any other.
    for _ in 0..rand::random_range(0..30_000) {
        std::thread::yield_now();
    }
    victim.kill().expect("killed");
    let status = victim.wait().expect("waited for");
    assert_eq!(status.code(), None, "the victim did not get as far as being killed");
}

fn publish_next(dir: &Path) -> SetHandle {
    let key = keys::load_or_create(dir).expect("a key");
    let depot = Depot::create(dir, key.public()).expect("a depot");
    let published = "2026-11-24T10:00:00Z".parse().expect("a timestamp");
    let options = PublishOptions {
        main_size: Some(100_000),
        ..PublishOptions::at(published)
    };
    publish(&depot, &key, &options).expect("published")
}

/// Brings the server's set into the client's depot, the way a client does: what is unchanged by link, what can be by
/// incremental update, the rest piecemeal.
fn download(dir: &Path) {
    let server = Depot::open(dir.join("server")).expect("a depot");
    let offered = server.current().expect("in order").expect("a set");
    let client = Depot::create(dir.join("client"), server.public_key()).expect("a depot");
    let mut staging = Staging::begin(&client, offered.manifest_bytes(), offered.signature()).expect("begun");
    let wanted: Vec<FileEntry> = staging.missing().into_iter().cloned().collect();
    let (updates, others): (Vec<_>, Vec<_>) = wanted
        .into_iter()
        .partition(|entry| entry.path.as_str().starts_with("signatures/incremental/"));
    for entry in updates.iter().chain(&others) {
        if !staging.missing().contains(&entry) || staging.reuse(entry).expect("looked") {
            continue;
        }
        let mut partial = Partial::open(&client, entry).expect("opened");
        let bytes = std::fs::read(offered.file(entry)).expect("a file of the set");
        let rest = &bytes[usize::try_from(partial.length()).expect("small")..];
        for piece in rest.chunks(4096) {
            partial.write_all(piece).expect("written");
        }
        staging.place_partial(entry, partial).expect("placed");
        staging.apply_incremental(entry).expect("applied or not");
    }
    staging.commit().expect("committed");
}

fn whole_serial(dir: &Path) -> Option<u64> {
    // Until the first client gets that far there is no depot at all.
    let depot = Depot::open(dir).ok()?;
    let set = depot.current().expect("in order")?;
    assert_eq!(set.verify_files().expect("readable"), []);
    Some(set.serial())
}

fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
