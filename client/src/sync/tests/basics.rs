use fwdrill_protocol::drill::{DRILL_HEADER, DrillId};
use fwdrill_protocol::estate::Mode;

use super::world::{MAIN, MODES, Seen, World};
use crate::ftp::Passive;
use crate::scripted::FtpFaults;
use crate::sync::{Concern, SyncError, Uploads};

#[tokio::test]
async fn the_first_cycle_brings_in_everything_and_the_second_nothing() {
    for mode in MODES {
        let world = World::new().await;
        let seen = Seen::default();
        let outcome = world.cycle(mode).run(&seen).await.unwrap();
        assert_eq!((outcome.serial, outcome.before), (1, None));
        assert_eq!(outcome.uploads, Uploads::NotWanted);
        let tally = outcome.installed.unwrap();
        assert_eq!(tally.downloaded, seen.count("downloaded"));
        assert_eq!(tally.received, *seen.moved.lock().unwrap());
        assert!(tally.received > 200_000 && tally.reused == 0 && tally.built == 0);
        assert_eq!(world.in_force(), Some(1));
        assert_eq!(seen.lines().first().unwrap(), "offered 1");
        assert_eq!(seen.lines().last().unwrap(), "switched 1");

        world.forget();
        let outcome = world.cycle(mode).run(&()).await.unwrap();
        assert_eq!((outcome.serial, outcome.before, outcome.installed), (1, Some(1), None));
        // One question, answered with "not modified".
        assert_eq!(world.ftp.commands(), [] as [&str; 0]);
        let [asked] = &world.http.requests()[..] else {
            panic!("{:?}", world.http.requests());
        };
        assert!(asked.path == "/version" && asked.header("if-none-match").is_some());
    }
}

#[tokio::test]
async fn the_next_set_comes_by_incremental_updates_and_what_did_not_change_is_reused() {
    for mode in MODES {
        let world = World::new().await;
        world.cycle(mode).run(&()).await.unwrap();
        world.publish();
        world.forget();
        let seen = Seen::default();
        let outcome = world.cycle(mode).run(&seen).await.unwrap();
        assert_eq!((outcome.serial, outcome.before), (2, Some(1)));
        let tally = outcome.installed.unwrap();
        assert!(tally.built > 0 && tally.reused > 0, "{tally:?}");
        assert!(tally.received < 100_000, "{tally:?}");
        assert!(seen.lines().contains(&format!("built {MAIN}")), "{:?}", seen.lines());
        assert!(!world.asked_for(mode).contains(&MAIN.to_owned()));
        assert_eq!(seen.count("started"), seen.count("downloaded"));
        let planned = format!("planned {}", seen.count("started"));
        assert!(seen.lines().contains(&planned), "{:?}", seen.lines());
        assert_eq!(world.in_force(), Some(2));
    }
}

#[tokio::test]
async fn several_sets_behind_or_ahead_of_any_incremental_update_still_works() {
    let world = World::new().await;
    world.cycle(Mode::Ftp).run(&()).await.unwrap();
    for _ in 0..3 {
        world.publish();
    }
    assert!(world.cycle(Mode::Ftp).run(&()).await.unwrap().installed.unwrap().built > 0);
    for _ in 0..8 {
        world.publish();
    }
    let outcome = world.cycle(Mode::Http).run(&()).await.unwrap();
    assert_eq!(outcome.serial, 12);
    assert_eq!(outcome.installed.unwrap().built, 0);
    assert_eq!(world.in_force(), Some(12));
}

#[tokio::test]
async fn epsv_refused_or_blocked_is_tried_once_and_pasv_from_then_on() {
    let refused = FtpFaults {
        replies: vec![("EPSV", "502 not here")],
        ..FtpFaults::default()
    };
    let blocked = FtpFaults {
        epsv_leads_nowhere: true,
        ..FtpFaults::default()
    };
    for faults in [refused, blocked] {
        let world = World::new().await;
        world.ftp.set_faults(faults);
        world.cycle(Mode::Ftp).run(&()).await.unwrap();
        assert_eq!(world.in_force(), Some(1));
        let commands = world.ftp.commands();
        assert_eq!(commands.iter().filter(|line| *line == "EPSV").count(), 1);
        assert_eq!(commands.iter().filter(|line| line.starts_with("USER")).count(), 1);
    }
}

#[tokio::test]
async fn a_wrong_address_in_the_227_stops_who_only_knows_pasv_and_is_named() {
    let world = World::new().await;
    world.ftp.set_faults(FtpFaults {
        replies: vec![("PASV", "227 Entering Passive Mode (127,0,0,2,0,1)")],
        ..FtpFaults::default()
    });
    let mut cycle = world.cycle(Mode::Ftp);
    cycle.passive = Passive::Pasv;
    let error = cycle.run(&()).await.unwrap_err();
    assert_eq!(error.concern(), Concern::Network);
    let SyncError::Ftp { what, source } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(what, "/manifest.json");
    assert!(source.to_string().contains("127.0.0.2:1"), "{source}");
    // No second try: what never worked is reported at once.
    assert_eq!(world.ftp.commands().iter().filter(|line| *line == "PASV").count(), 1);
    assert_eq!(world.in_force(), None);
    // EPSV needs no address.
    cycle.passive = Passive::Auto;
    cycle.run(&()).await.unwrap();
}

#[tokio::test]
async fn a_drill_id_goes_with_every_request_and_is_the_password() {
    let world = World::new().await;
    let drill = DrillId::random();
    let id = drill.to_string();
    let cycle = world.cycle(Mode::Http).in_drill(drill);
    cycle.run(&()).await.unwrap();
    let requests = world.http.requests();
    assert!(requests.len() > 3);
    assert!(requests.iter().all(|request| request.header(DRILL_HEADER) == Some(&id)));

    world.publish();
    let cycle = world.cycle(Mode::Ftp).in_drill(drill);
    cycle.run(&()).await.unwrap();
    let commands = world.ftp.commands();
    assert_eq!(commands[..2], ["USER drill".to_owned(), format!("PASS {id}")]);
}

#[tokio::test]
async fn the_second_address_of_a_name_is_used_where_the_first_is_not_served() {
    let world = World::new().await;
    let mut cycle = world.cycle(Mode::Ftp);
    cycle.server.addresses.insert(0, "127.0.0.2".parse().unwrap());
    cycle.run(&()).await.unwrap();
    assert_eq!(world.in_force(), Some(1));
}

#[tokio::test]
async fn what_a_relay_serves_is_byte_for_byte_what_was_published() {
    let world = World::new().await;
    let set = world.publish();
    world.cycle(Mode::Ftp).run(&()).await.unwrap();
    let kept = fwdrill_depot::Depot::open(world.updates())
        .unwrap()
        .current()
        .unwrap()
        .unwrap();
    assert_eq!(super::world::trees(&kept), super::world::trees(&set));
}
