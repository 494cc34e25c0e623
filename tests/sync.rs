//! A client's update cycle against the real server: killed, interrupted, refused, out of space.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use fwdrill_depot::Depot;
use fwdrill_protocol::flow::Flow;
use rand::RngExt;
use rustix::process::Signal;
use support::{Server, exit_within, fwdrill, signal, stderr, stdout};

fn sync(server: &Server, into: &Path) -> Command {
    let mut command = fwdrill();
    command
        .args(["sync", "127.0.0.1", "--into"])
        .arg(into)
        .args(["--public-key", server.public_key()]);
    command.args(server.settings()).stdin(Stdio::null());
    command
}

fn assert_verified(into: &Path, serial: u64) {
    let set = Depot::open(into).unwrap().current().unwrap().unwrap();
    assert_eq!(set.serial(), serial);
    assert!(set.verify_files().unwrap().is_empty());
}

#[test]
fn killed_at_random_fifty_times_a_sync_still_ends_in_a_verified_set() {
    let server = Server::start_in(support::published(&["--size=8MiB"]), &[], |_| {});
    let client = tempfile::tempdir().unwrap();
    let into = client.path().join("updates");
    let (mut serial, mut killed) = (1, 0);
    for round in 0..200 {
        if killed == 50 {
            break;
        }
        let mode = if round % 2 == 0 { "ftp" } else { "http" };
        let mut child = sync(&server, &into)
            .args(["--mode", mode, "--quiet"])
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(rand::rng().random_range(0..120_000)));
        let _ = child.kill();
        if exit_within(&mut child, Duration::from_secs(5)).success() {
            // It got to its end: give it something to do again. Another seed starts the databases anew.
            serial += 1;
            server.publish(&["--size=8MiB", &format!("--seed={serial}")]);
        } else {
            killed += 1;
        }
        // Whatever was there is whole, at every moment.
        let current = Depot::open(&into).ok().and_then(|depot| depot.current().unwrap());
        if let Some(set) = current {
            assert!(set.verify_files().unwrap().is_empty());
        }
    }
    assert_eq!(killed, 50);
    let output = sync(&server, &into).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_verified(&into, serial);
    assert!(
        std::fs::read_dir(into.join("staging")).unwrap().next().is_none(),
        "nothing is left in staging"
    );
}

#[test]
fn both_modes_end_in_the_same_files_and_upload_whole_ones() {
    let server = Server::start(&[]);
    let client = tempfile::tempdir().unwrap();
    for mode in ["ftp", "http"] {
        let into = client.path().join(mode);
        let output = sync(&server, &into)
            .args(["--mode", mode, "--client", mode])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stdout(&output).contains("serial 1"), "{}", stdout(&output));
        assert_verified(&into, 1);
        assert_eq!(
            support::tree(&std::fs::canonicalize(into.join("current")).unwrap()),
            support::tree(&server.current_set())
        );
        let uploaded = support::tree(&server.dropbox().join(mode));
        assert_eq!(uploaded.keys().collect::<Vec<_>>(), ["mwav.log", "sysinfo.json"]);
        assert!(serde_json::from_slice::<serde_json::Value>(&uploaded["sysinfo.json"]).is_ok());
    }
}

#[test]
fn each_passive_mode_alone_is_enough() {
    for (engine, passive) in [
        ("native", "epsv"),
        ("native", "pasv"),
        ("libunftp", "epsv"),
        ("libunftp", "pasv"),
    ] {
        let server = Server::start_with(&[], |command| {
            command.args(["--ftp-engine", engine]);
        });
        let client = tempfile::tempdir().unwrap();
        let output = sync(&server, client.path())
            .args(["--passive", passive])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_verified(client.path(), 1);
    }
}

#[test]
fn ctrl_c_in_the_middle_leaves_the_set_in_force_and_the_next_sync_goes_on() {
    let server = Server::start_in(support::published(&["--size=64MiB"]), &[], |_| {});
    let client = tempfile::tempdir().unwrap();
    let mut child = sync(&server, client.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // The first byte of a download is the middle.
    let partial = client.path().join("partial");
    let begun = std::time::Instant::now();
    while std::fs::read_dir(&partial).map_or(0, Iterator::count) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "no download began");
        std::thread::yield_now();
    }
    signal(&child, Signal::INT);
    let code = exit_within(&mut child, Duration::from_secs(5)).code();
    assert!(matches!(code, Some(3)), "{code:?}");
    assert!(Depot::open(client.path()).unwrap().current().unwrap().is_none());
    let output = sync(&server, client.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_verified(client.path(), 1);
}

#[test]
fn without_the_key_or_with_another_nothing_is_taken() {
    let server = Server::start(&[]);
    let client = tempfile::tempdir().unwrap();
    let mut command = fwdrill();
    command
        .args(["sync", "127.0.0.1", "--into"])
        .arg(client.path())
        .args(server.settings());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("--public-key"), "{}", stderr(&output));

    let other = Server::start(&[]);
    let mut command = fwdrill();
    command
        .args(["sync", "127.0.0.1", "--into"])
        .arg(client.path())
        .args(["--public-key", other.public_key()])
        .args(server.settings());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("signature"), "{}", stderr(&output));
    assert!(Depot::open(client.path()).unwrap().current().unwrap().is_none());
}

#[test]
fn a_wrong_password_is_named_as_such() {
    let server = Server::start(&["ftp.users=[{ name = \"scan\", password = \"right\" }]"]);
    let client = tempfile::tempdir().unwrap();
    let try_with = |password: &str| {
        sync(&server, client.path())
            .args(["--user=scan", "--password", password])
            .output()
            .unwrap()
    };
    let refused = try_with("wrong");
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    assert!(
        stderr(&refused).contains("530") && !stderr(&refused).contains("wrong"),
        "{}",
        stderr(&refused)
    );
    assert_eq!(try_with("right").status.code(), Some(0));
}

#[test]
fn an_older_set_is_refused() {
    let server = Server::start(&[]);
    let client = tempfile::tempdir().unwrap();
    server.publish(&[]);
    assert_eq!(sync(&server, client.path()).output().unwrap().status.code(), Some(0));
    assert_verified(client.path(), 2);
    // The server's depot goes back in time: by hand, since no command of ours does that.
    let current = server.depot().join("current");
    std::fs::remove_file(&current).unwrap();
    std::os::unix::fs::symlink("sets/1", &current).unwrap();
    let output = sync(&server, client.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_verified(client.path(), 2);
}

/// In a mount namespace of its own with a file system of a few MiB, as root or not.
fn on_a_small_disk(directory: &Path, command: &Command) -> Command {
    let mut inside = Command::new(support::required("unshare"));
    inside.args(["--user", "--map-root-user", "--mount", "sh", "-ec"]);
    inside
        .arg("mount -t tmpfs -o size=3m,mode=0755 none \"$1\"; shift; exec \"$@\"")
        .arg("sh")
        .arg(directory);
    inside.arg(command.get_program()).args(command.get_args());
    inside
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    inside
}

#[test]
fn a_full_disk_while_syncing_is_named_and_nothing_half_is_in_place() {
    let server = Server::start_in(support::published(&["--size=8MiB"]), &[], |_| {});
    let client = tempfile::tempdir().unwrap();
    let output = on_a_small_disk(client.path(), &sync(&server, &client.path().join("updates")))
        .output()
        .unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(3), "{told}");
    assert!(
        told.contains("No space left on device") && told.contains("updates"),
        "{told}"
    );
    // And with room it goes on.
    let output = sync(&server, client.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_verified(client.path(), 1);
}

#[test]
fn a_full_disk_at_the_server_refuses_an_upload_and_leaves_nothing() {
    use std::io::{BufRead, BufReader, Read, Write};
    let directory = tempfile::tempdir().unwrap();
    let mut serve = fwdrill();
    serve.args(["serve", "--announce"]);
    for setting in support::FREE_PORTS {
        serve.args(["--set", setting]);
    }
    serve
        .arg("--state")
        .arg(directory.path())
        .args(["--depot"])
        .arg(tempfile::tempdir().unwrap().path().join("depot"));
    let mut child = on_a_small_disk(directory.path(), &serve)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let control = support::announced(&mut child).unwrap().addresses[&Flow::FtpControl];

    let mut stream = std::net::TcpStream::connect(control).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap());
    let mut reply = || {
        let mut line = String::new();
        replies.read_line(&mut line).unwrap();
        line
    };
    let mut line = reply();
    for command in ["USER anonymous", "PASS x", "TYPE I", "EPSV"] {
        stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        line = reply();
    }
    let port: u16 = line.split('|').nth(3).unwrap().parse().unwrap();
    let mut data = std::net::TcpStream::connect((control.ip(), port)).unwrap();
    stream.write_all(b"STOR /upload/pc1/mwav.log\r\n").unwrap();
    assert!(reply().starts_with("150"));
    let chunk = vec![b'x'; 1 << 20];
    // The server cuts the data connection when its disk is full; until then everything is taken.
    for _ in 0..8 {
        if data.write_all(&chunk).is_err() {
            break;
        }
    }
    let _ = data.shutdown(std::net::Shutdown::Write);
    let _ = data.read(&mut [0]);
    let refused = reply();
    assert!(refused.starts_with("452") || refused.starts_with("552"), "{refused}");
    // The namespace's file system is seen through the server itself: the file is not there to be renamed or listed.
    let root = std::path::PathBuf::from(format!(
        "/proc/{}/root{}",
        child.id(),
        directory.path().join("dropbox").display()
    ));
    let files = support::tree(&root);
    assert!(
        files.keys().all(|name| !name.ends_with("mwav.log")),
        "{:?}",
        files.keys()
    );
    child.kill().unwrap();
    child.wait().unwrap();
}
