use std::time::Duration;

use fwdrill_protocol::estate::Mode;

use super::world::{MAIN, MODES, Seen, World};
use crate::scripted::{FtpFaults, HttpFaults};
use crate::sync::{Concern, SyncError};

#[tokio::test]
async fn a_cut_transfer_is_resumed_where_it_stopped() {
    for mode in MODES {
        let world = World::new().await;
        world.cut(&[50_000, 70_000], false);
        let seen = Seen::default();
        let outcome = world.cycle(mode).run(&seen).await.unwrap();
        assert_eq!(world.resumed_at(mode), [50_000, 120_000], "{mode:?}");
        assert_eq!(seen.count(&format!("retrying {MAIN}")), 2);
        // Nothing came twice.
        assert_eq!(outcome.installed.unwrap().received, total(&world));
        assert_eq!(world.in_force(), Some(1));
    }
}

#[tokio::test]
async fn over_http_the_rest_is_only_taken_from_the_same_file() {
    let world = World::new().await;
    world.cut(&[50_000], false);
    world.cycle(Mode::Http).run(&()).await.unwrap();
    let requests = world.http.requests();
    let resumed = requests
        .iter()
        .find(|request| request.header("range").is_some())
        .unwrap();
    assert!(resumed.header("if-range").unwrap().starts_with('"'));
}

#[tokio::test]
async fn a_path_that_resets_every_few_kilobytes_does_not_stop_a_large_file() {
    for mode in MODES {
        let world = World::new().await;
        // More cuts than failures are allowed in a row.
        world.cut(&[9_000; 20], true);
        world.cycle(mode).run(&()).await.unwrap();
        assert_eq!(world.in_force(), Some(1));
        assert!(world.resumed_at(mode).len() > 4, "{mode:?}");
    }
}

#[tokio::test]
async fn a_path_that_never_lets_a_byte_through_ends_in_an_error_and_keeps_what_came_before() {
    for mode in MODES {
        let world = World::new().await;
        world.cut(&[50_000, 0, 0, 0, 0, 0, 0], false);
        let error = world.cycle(mode).run(&()).await.unwrap_err();
        assert_eq!(error.concern(), Concern::Network, "{error:?}");
        assert!(error.to_string().contains(MAIN), "{error}");
        assert_eq!(world.in_force(), None);
        // The next run goes on from there.
        world.heal();
        world.forget();
        world.cycle(mode).run(&()).await.unwrap();
        assert_eq!(world.resumed_at(mode), [50_000]);
        assert_eq!(world.in_force(), Some(1));
    }
}

#[tokio::test]
async fn a_server_that_cannot_resume_sends_all_of_it_again() {
    for mode in MODES {
        let world = World::new().await;
        world.ftp.set_faults(FtpFaults {
            cuts: [50_000].into(),
            replies: vec![("REST", "502 never heard of it")],
            ..FtpFaults::default()
        });
        world.http.set_faults(HttpFaults {
            cuts: [50_000].into(),
            ignores_range: true,
            ..HttpFaults::default()
        });
        let seen = Seen::default();
        let outcome = world.cycle(mode).run(&seen).await.unwrap();
        assert_eq!(outcome.installed.unwrap().received, total(&world) + 50_000);
        assert_eq!(seen.count(&format!("started {MAIN} at 0")), 2);
        assert_eq!(world.in_force(), Some(1));
    }
}

#[tokio::test]
async fn cuts_and_a_server_that_cannot_resume_come_to_an_end() {
    let world = World::new().await;
    world.http.set_faults(HttpFaults {
        cuts: [50_000; 100].into(),
        ignores_range: true,
        ..HttpFaults::default()
    });
    let seen = Seen::default();
    let error = world.cycle(Mode::Http).run(&seen).await.unwrap_err();
    assert!(matches!(error, SyncError::Http { .. }), "{error:?}");
    // Never further than the first time: that one and three more are four failures in a row.
    assert_eq!(seen.count("retrying"), 3);
}

#[tokio::test]
async fn all_bytes_without_a_226_are_good_enough_if_they_are_the_right_ones() {
    let world = World::new().await;
    world.cycle(Mode::Ftp).run(&()).await.unwrap();
    world.publish();
    // The manifest is fetched in peace, so that only files are concerned.
    let manifest_only = world.cycle(Mode::Ftp);
    world.ftp.set_faults(FtpFaults {
        no_final_reply: true,
        spared: vec!["/manifest.json", "/manifest.json.minisig"],
        ..FtpFaults::default()
    });
    manifest_only.run(&()).await.unwrap();
    assert_eq!(world.in_force(), Some(2));
}

#[tokio::test]
async fn a_stalled_transfer_is_given_up_within_its_limit() {
    for mode in MODES {
        let world = World::new().await;
        world.ftp.set_faults(FtpFaults {
            data_silent: true,
            ..FtpFaults::default()
        });
        world.http.set_faults(HttpFaults {
            body_silent: true,
            ..HttpFaults::default()
        });
        let mut cycle = world.cycle(mode);
        cycle.limits.stall = Duration::from_millis(50);
        let error = cycle.run(&()).await.unwrap_err();
        assert_eq!(error.concern(), Concern::Network, "{error:?}");
    }
}

#[tokio::test]
async fn a_cut_while_the_version_is_asked_for_is_no_drama() {
    let world = World::new().await;
    world.http.set_faults(HttpFaults {
        cuts: [10].into(),
        ..HttpFaults::default()
    });
    let seen = Seen::default();
    world.cycle(Mode::Ftp).run(&seen).await.unwrap();
    assert_eq!(seen.count("retrying /version"), 1);
    assert_eq!(world.in_force(), Some(1));
}

fn total(world: &World) -> u64 {
    let set = fwdrill_depot::Depot::open(world.updates())
        .unwrap()
        .current()
        .unwrap()
        .unwrap();
    set.manifest().total_size()
}
