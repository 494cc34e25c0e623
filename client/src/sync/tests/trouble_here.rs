//! What this side does wrong, and being stopped at any moment.

use std::fs;
use std::time::Duration;

use fwdrill_depot::DepotError;
use fwdrill_protocol::estate::Mode;
use fwdrill_protocol::update_set::SecretKey;

use super::world::{MAIN, MODES, Seen, World};
use crate::scripted::says;
use crate::sync::{Concern, SyncError};

#[tokio::test]
async fn a_first_sync_without_a_key_says_what_is_missing_and_a_later_one_needs_none() {
    let world = World::new().await;
    let mut cycle = world.cycle(Mode::Ftp);
    cycle.key = None;
    let error = cycle.run(&()).await.unwrap_err();
    assert!(matches!(error, SyncError::NoKey(_)), "{error:?}");
    assert_eq!(error.concern(), Concern::Configuration);
    world.cycle(Mode::Ftp).run(&()).await.unwrap();
    world.publish();
    assert_eq!(cycle.run(&()).await.unwrap().serial, 2);
}

#[tokio::test]
async fn a_directory_of_another_publisher_is_left_alone() {
    let world = World::new().await;
    world.cycle(Mode::Ftp).run(&()).await.unwrap();
    let mut cycle = world.cycle(Mode::Ftp);
    cycle.key = Some(SecretKey::generate().unwrap().public().clone());
    let error = cycle.run(&()).await.unwrap_err();
    assert!(
        matches!(error, SyncError::Depot(DepotError::OtherKey { .. })),
        "{error:?}"
    );
    assert_eq!(error.concern(), Concern::Configuration);
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let world = World::new().await;
    let file = world.updates().with_extension("file");
    fs::write(&file, "in the way").unwrap();
    let mut cycle = world.cycle(Mode::Ftp);
    cycle.into = file.join("updates");
    let error = cycle.run(&()).await.unwrap_err();
    assert_eq!(error.concern(), Concern::Disk);
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

#[tokio::test]
async fn what_is_not_http_or_ftp_is_a_matter_of_the_network() {
    let world = World::new().await;
    let (ssh, _server) = says(b"SSH-2.0-OpenSSH_9.2\r\n", false).await;
    let mut cycle = world.cycle(Mode::Ftp);
    cycle.server.version = ssh.port();
    let error = cycle.run(&()).await.unwrap_err();
    assert_eq!(error.concern(), Concern::Network);
    let mut cycle = world.cycle(Mode::Ftp);
    cycle.server.ftp = Some(ssh.port());
    let error = cycle.run(&()).await.unwrap_err();
    assert_eq!(error.concern(), Concern::Network);
    cycle.server.ftp = None;
    let error = cycle.run(&()).await.unwrap_err();
    assert!(matches!(error, SyncError::NoFtp), "{error:?}");
}

#[tokio::test]
async fn a_damaged_file_of_the_set_in_force_is_repaired() {
    for mode in MODES {
        let world = World::new().await;
        world.cycle(mode).run(&()).await.unwrap();
        let file = world.layout().set(1).join(MAIN);
        let mut bytes = fs::read(&file).unwrap();
        bytes[1000] ^= 1;
        fs::write(&file, bytes).unwrap();
        world.forget();
        let outcome = world.cycle(mode).run(&()).await.unwrap();
        assert_eq!((outcome.serial, outcome.before), (1, Some(1)));
        assert_eq!(world.asked_for(mode), [MAIN]);
        assert_eq!(world.in_force(), Some(1));
    }
}

#[tokio::test]
async fn a_set_in_force_that_lost_its_manifest_is_replaced() {
    let world = World::new().await;
    world.cycle(Mode::Ftp).run(&()).await.unwrap();
    fs::write(world.layout().set(1).join("manifest.json"), "{}").unwrap();
    world.cycle(Mode::Ftp).run(&()).await.unwrap();
    assert_eq!(world.in_force(), Some(1));
}

#[tokio::test]
async fn the_leftovers_of_an_earlier_run_that_are_wrong_are_thrown_away_once() {
    for mode in MODES {
        let world = World::new().await;
        let set = world.publish();
        let main = set.manifest().file(&MAIN.parse().unwrap()).unwrap();
        fs::create_dir_all(world.layout().partials()).unwrap();
        fs::write(world.layout().partial(&main.sha256), vec![7; 1_000]).unwrap();
        let seen = Seen::default();
        world.cycle(mode).run(&seen).await.unwrap();
        assert_eq!(world.resumed_at(mode), [1_000]);
        let started: Vec<_> = seen
            .lines()
            .into_iter()
            .filter(|line| line.starts_with(&format!("started {MAIN}")))
            .collect();
        assert_eq!(
            started,
            [format!("started {MAIN} at 1000"), format!("started {MAIN} at 0")]
        );
        assert_eq!(world.in_force(), Some(2));
    }
}

#[tokio::test]
async fn an_incremental_update_that_leads_elsewhere_costs_the_full_database_only() {
    let world = World::new().await;
    world.cycle(Mode::Ftp).run(&()).await.unwrap();
    let set = world.publish();
    // A publisher's mistake: well signed, and still wrong.
    let forged = super::world::with_wrong_increment(&set, &world.key);
    world.serve(forged);
    let seen = Seen::default();
    world.cycle(Mode::Ftp).run(&seen).await.unwrap();
    assert!(
        seen.lines().contains(&format!("downloaded {MAIN}")),
        "{:?}",
        seen.lines()
    );
    assert_eq!(world.in_force(), Some(2));
}

#[tokio::test]
async fn two_cycles_on_one_directory_take_turns_or_the_second_gives_up() {
    let world = World::new().await;
    let one = world.cycle(Mode::Ftp);
    let other = world.cycle(Mode::Http);
    let (one, other) = tokio::join!(one.run(&()), other.run(&()));
    assert_eq!(one.unwrap().serial, 1);
    assert_eq!(other.unwrap().serial, 1);

    let lock = fs::File::open(world.layout().partials()).unwrap();
    lock.lock().unwrap();
    let error = world.cycle(Mode::Ftp).run(&()).await.unwrap_err();
    assert!(matches!(error, SyncError::Busy(_)), "{error:?}");
    assert_eq!(error.concern(), Concern::Configuration);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cycle_can_be_a_task_of_its_own() {
    let world = World::new().await;
    let cycle = world.cycle(Mode::Ftp);
    let outcome = tokio::spawn(async move { cycle.run(&()).await }).await.unwrap();
    assert_eq!(outcome.unwrap().serial, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_at_any_moment_it_leaves_a_whole_set_and_the_next_run_finishes() {
    for mode in MODES {
        let world = World::new().await;
        world.cycle(mode).run(&()).await.unwrap();
        for round in 0..40_u64 {
            let set = world.publish();
            // From before the first packet to after the switch.
            let time = Duration::from_micros(round * round * 40);
            let cycle = world.cycle(mode);
            let stopped = tokio::time::timeout(time, cycle.run(&())).await;
            let in_force = world.in_force().unwrap();
            assert!(in_force == set.serial() || in_force < set.serial(), "{stopped:?}");
            if round % 4 == 3 {
                let outcome = world.cycle(mode).run(&()).await.unwrap();
                assert_eq!(outcome.serial, set.serial());
                assert_eq!(world.in_force(), Some(set.serial()));
            }
        }
    }
}
