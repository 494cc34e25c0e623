//! A disk that is full, for once a real one: a small tmpfs in a mount namespace of this test's own.

use std::process::Command;

use fwdrill_protocol::estate::Mode;

use super::world::{MAIN, MODES, World, trees};
use crate::sync::Concern;

/// Names the directory of the small disk, inside the namespace.
const SMALL_DISK: &str = "FWDRILL_TEST_SMALL_DISK";

#[test]
fn a_full_disk_is_named_and_the_next_run_goes_on_from_what_fitted() {
    in_a_namespace_with_a_small_disk(
        "sync::tests::full_disk::a_full_disk_is_named_and_the_next_run_goes_on_from_what_fitted",
        || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            for mode in MODES {
                runtime.block_on(fill(mode));
            }
        },
    );
}

async fn fill(mode: Mode) {
    let small_disk = std::env::var(SMALL_DISK).unwrap();
    resize(&small_disk, "8m");
    let mut world = World::empty().await;
    let first = world.make(|options| options.main_size = Some(20_000));
    world.serve(trees(&first));
    world.home = tempfile::TempDir::new_in(&small_disk).unwrap();
    world.cycle(mode).run(&()).await.unwrap();

    let second = world.make(|options| options.main_size = Some(600_000));
    world.serve(trees(&second));
    resize(&small_disk, "400k");
    let error = world.cycle(mode).run(&()).await.unwrap_err();
    assert_eq!(error.concern(), Concern::Disk, "{error:?}");
    let partial = world
        .layout()
        .partial(&second.manifest().file(&MAIN.parse().unwrap()).unwrap().sha256);
    assert_eq!(error.to_string(), format!("failed to write {}", partial.display()));
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("No space left"), "{cause}");
    assert_eq!(world.in_force(), Some(1));

    resize(&small_disk, "8m");
    world.forget();
    world.cycle(mode).run(&()).await.unwrap();
    let [resumed] = world.resumed_at(mode)[..] else {
        panic!("{:?}", world.resumed_at(mode));
    };
    assert!(resumed > 100_000, "{resumed}");
    assert_eq!(world.in_force(), Some(2));
}

fn resize(disk: &str, size: &str) {
    let status = Command::new("mount")
        .args(["-o", &format!("remount,size={size}"), disk])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Runs `inside` in this same test binary again, where the mount is seen by nobody else and needs no privilege.
fn in_a_namespace_with_a_small_disk(test: &str, inside: fn()) {
    if std::env::var_os(SMALL_DISK).is_some() {
        return inside();
    }
    let directory = tempfile::TempDir::new().unwrap();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg(r#"mount -t tmpfs -o size=8m none "$1" && exec "$2" --exact "$3" --nocapture"#)
        .arg("sh")
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .arg(test)
        .env(SMALL_DISK, directory.path())
        .output()
        .expect("unshare(1) of util-linux runs");
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed"),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
