//! Uploads to a disk that is too small: a tmpfs of its own, in a mount namespace, where a test runs that is started by
//! another one. Works as an ordinary user where user namespaces are allowed.

use std::path::PathBuf;
use std::process::Command;

use super::{ENGINES, Place, pattern, until};

const DISK: &str = "FWDRILL_TEST_SMALL_DISK";
const INNER: &str = "ftp::wire_tests::full_disk::on_a_small_disk";
const MOUNT_AND_RUN: &str =
    r#"mount -t tmpfs -o size=512k tmpfs "$FWDRILL_TEST_SMALL_DISK" && exec "$0" --exact "$1" --ignored --nocapture"#;

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    let disk = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", MOUNT_AND_RUN])
        .arg(std::env::current_exe().unwrap())
        .arg(INNER)
        .env(DISK, disk.path())
        .output()
        .expect("unshare(1) of util-linux is needed");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by a_full_disk_is_said_and_leaves_nothing"]
async fn on_a_small_disk() {
    let disk = PathBuf::from(std::env::var_os(DISK).unwrap());
    for engine in ENGINES {
        let mut place = Place::new(engine);
        place.config.state = disk.join(format!("{engine:?}"));
        let server = place.start().await;
        let dropped = |path: &str| place.config.state.join("dropbox").join(path);
        let mut client = server.anonymous().await;
        let reply = client.upload("/upload/pc/mwav.log", &pattern(1 << 20)).await;
        assert_eq!(reply.code, 452, "{reply:?}");
        until(|| std::fs::read_dir(dropped(".incoming")).unwrap().count() == 0).await;
        assert!(!dropped("pc/mwav.log").exists());
        let reply = client.upload("/upload/pc/mwav.log", &pattern(100_000)).await;
        assert_eq!(reply.code, 226, "{reply:?}");
        assert!(std::fs::read(dropped("pc/mwav.log")).unwrap() == pattern(100_000));
    }
}
