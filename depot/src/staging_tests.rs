use std::os::unix::fs::{MetadataExt, symlink};

use super::*;
use crate::testing::{Bench, at, bytes_of, contents, entry};

const MAIN: &str = "signatures/main.fwdb";

#[test]
fn a_set_brought_in_file_by_file_is_the_one_published() {
    let server = Bench::new();
    let client = server.client();
    let published = server.publish();
    let fetched = client.fetch(&published).expect("committed");
    assert_eq!(fetched.manifest_bytes(), published.manifest_bytes());
    assert_eq!(contents(&fetched), contents(&published));
    assert_eq!(client.whole_serial(), Some(1));
}

#[test]
fn nothing_is_missing_only_when_all_is_placed() {
    let server = Bench::new();
    let set = server.publish();
    let client = server.client();
    let mut staging = client.begin(&set).expect("begun");
    assert_eq!(staging.missing().len(), set.manifest().files().len());
    let main = entry(&set, MAIN);
    staging.place(main, &bytes_of(&set, MAIN)[..]).expect("placed");
    assert_eq!(staging.missing().len(), set.manifest().files().len() - 1);
    assert!(!staging.missing().contains(&main));
    let error = staging.commit().expect_err("files are missing");
    assert!(
        matches!(error, StagingError::Content(ContentError::Missing { .. })),
        "{error}"
    );
    assert_eq!(client.whole_serial(), None);
}

#[test]
fn unchanged_files_are_linked_from_the_set_in_force() {
    let server = Bench::new();
    let client = server.client();
    client.fetch(&server.publish()).expect("committed");
    let next = server.publish();
    let mut staging = client.begin(&next).expect("begun");
    let schedule = entry(&next, "policies/update-schedule.ini");
    assert!(staging.reuse(schedule).expect("reused"));
    let inode = |path: PathBuf| fs::metadata(path).expect("a file").ino();
    let old = client.depot.layout().set(1).join("policies/update-schedule.ini");
    assert_eq!(
        inode(old),
        inode(schedule.path.below(staging.workspace.path())),
        "a hard link"
    );
    assert!(!staging.reuse(entry(&next, MAIN)).expect("looked"), "main has grown");
}

#[test]
fn a_damaged_file_of_the_set_in_force_is_not_reused() {
    let server = Bench::new();
    let client = server.client();
    let set = client.fetch(&server.publish()).expect("committed");
    let next = server.publish();
    let schedule = entry(&next, "policies/update-schedule.ini");
    let path = set.file(schedule);
    let mut bytes = fs::read(&path).expect("a file");
    bytes[0] ^= 1;
    fs::write(&path, bytes).expect("written");
    assert!(!client.begin(&next).expect("begun").reuse(schedule).expect("looked"));
}

#[test]
fn an_incremental_update_makes_the_new_database_out_of_the_old_one() {
    let server = Bench::new();
    let client = server.client();
    client.fetch(&server.publish()).expect("committed");
    let next = server.publish();
    let mut staging = client.begin(&next).expect("begun");
    let update = staging
        .useful_incremental(entry(&next, MAIN))
        .expect("main has grown")
        .clone();
    assert_eq!(update.path.as_str(), "signatures/incremental/main-1-2.fwinc");
    staging
        .place(&update, &bytes_of(&next, update.path.as_str())[..])
        .expect("placed");
    assert!(staging.apply_incremental(&update).expect("applied"));
    for entry in staging.missing().into_iter().cloned().collect::<Vec<_>>() {
        staging
            .place(&entry, &bytes_of(&next, entry.path.as_str())[..])
            .expect("placed");
    }
    assert_eq!(contents(&staging.commit().expect("committed")), contents(&next));
}

#[test]
fn an_incremental_update_of_a_damaged_database_is_given_up_and_the_whole_one_can_come() {
    let server = Bench::new();
    let client = server.client();
    let set = client.fetch(&server.publish()).expect("committed");
    fs::write(set.path().join(MAIN), "damaged").expect("written");
    let next = server.publish();
    let mut staging = client.begin(&next).expect("begun");
    let update = entry(&next, "signatures/incremental/main-1-2.fwinc");
    staging
        .place(update, &bytes_of(&next, update.path.as_str())[..])
        .expect("placed");
    assert!(!staging.apply_incremental(update).expect("given up"));
    staging
        .place(entry(&next, MAIN), &bytes_of(&next, MAIN)[..])
        .expect("placed");
}

#[test]
fn a_tampered_file_is_refused_when_placed_and_when_committed() {
    let server = Bench::new();
    let client = server.client();
    let set = server.publish();
    let good = bytes_of(&set, MAIN);
    let mut staging = client.begin(&set).expect("begun");
    let longer = [&good[..], b"x"].concat();
    let mut other = good.clone();
    other[100] ^= 1;
    for bad in [&good[1..], &longer, &other] {
        let error = staging.place(entry(&set, MAIN), bad).expect_err("tampered");
        assert!(matches!(error, StagingError::Content(_)), "{error}");
    }
    for entry in set.manifest().files() {
        staging
            .place(entry, &bytes_of(&set, entry.path.as_str())[..])
            .expect("placed");
    }
    fs::write(staging.workspace.path().join(MAIN), &other).expect("tampered with after it was placed");
    let error = staging.commit().expect_err("tampered");
    assert!(
        error.to_string().starts_with("signatures/main.fwdb has SHA-256"),
        "{error}"
    );
    assert_eq!(client.whole_serial(), None);
}

#[test]
fn a_file_that_the_set_does_not_have_is_refused() {
    let server = Bench::new();
    let (old, new) = (server.publish(), server.publish());
    let mut staging = server.client().begin(&new).expect("begun");
    let error = staging
        .place(entry(&old, MAIN), &bytes_of(&old, MAIN)[..])
        .expect_err("not listed");
    assert!(matches!(error, StagingError::NotListed { serial: 2, .. }), "{error}");
}

#[test]
fn a_manifest_that_the_depots_key_did_not_sign_is_refused_at_once() {
    let (server, stranger) = (Bench::new(), Bench::new());
    let error = stranger.begin(&server.publish()).expect_err("another key");
    assert!(
        matches!(error, StagingError::Signature(SignatureError::WrongKey { .. })),
        "{error}"
    );
    assert_eq!(stranger.names_in("staging"), [""; 0], "nothing is left");
}

#[test]
fn an_older_set_is_refused_when_begun_and_when_overtaken_while_it_came_in() {
    let server = Bench::new();
    let client = server.client();
    let (first, second) = (server.publish(), server.publish());
    let mut slow = client.begin(&first).expect("begun");
    for entry in first.manifest().files() {
        slow.place(entry, &bytes_of(&first, entry.path.as_str())[..])
            .expect("placed");
    }
    client.fetch(&second).expect("committed");
    for error in [
        slow.commit().expect_err("overtaken"),
        client.begin(&first).map(drop).expect_err("older"),
    ] {
        assert!(
            matches!(error, StagingError::Rollback { have: 2, offered: 1 }),
            "{error}"
        );
    }
    assert_eq!(client.whole_serial(), Some(2));
}

#[test]
fn the_very_same_set_again_is_fine_and_repairs_a_damaged_one() {
    let server = Bench::new();
    let client = server.client();
    let published = server.publish();
    let held = client.fetch(&published).expect("committed");
    client.fetch(&published).expect("the same again");
    fs::write(held.path().join(MAIN), "damaged").expect("written");
    client.fetch(&published).expect("repaired while somebody holds it");
    assert_eq!(client.whole_serial(), Some(1));
    fs::write(held.path().join(MANIFEST_FILE), "damaged").expect("written");
    assert!(client.depot.current().is_err());
    client.fetch(&published).expect("repaired");
    assert_eq!(client.whole_serial(), Some(1));
    assert_eq!(
        (client.names_in("staging"), client.names_in("sets")),
        (vec![], vec!["1".to_owned()])
    );
}

#[test]
fn another_set_of_the_same_serial_is_refused() {
    let server = Bench::new();
    let client = server.client();
    client.fetch(&server.publish()).expect("committed");
    let old = server.depot.current().expect("in order").expect("a set");
    let (time, end) = (at("2027-01-01T00:00:00Z"), at("2027-02-01T00:00:00Z"));
    let other = Manifest::new("other".into(), 1, time, end, vec![]).expect("a manifest");
    let (bytes, signature) = server.sign(&other);
    let staging = Staging::begin(&client.depot, &bytes, &signature).expect("begun");
    let error = staging.commit().expect_err("taken");
    assert!(matches!(error, StagingError::SerialTaken { serial: 1 }), "{error}");
    assert_eq!(
        client
            .depot
            .current()
            .expect("in order")
            .expect("a set")
            .manifest_bytes(),
        old.manifest_bytes()
    );
}

#[test]
fn a_staging_that_is_dropped_or_fails_half_way_leaves_the_set_in_force_alone() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::ConnectionReset))
        }
    }
    let server = Bench::new();
    let client = server.client();
    client.fetch(&server.publish()).expect("committed");
    let next = server.publish();
    let mut staging = client.begin(&next).expect("begun");
    let main = entry(&next, MAIN);
    staging.place(main, &bytes_of(&next, MAIN)[..]).expect("placed");
    drop(staging);
    assert_eq!((client.whole_serial(), client.names_in("staging")), (Some(1), vec![]));
    let mut staging = client.begin(&next).expect("begun");
    staging
        .place(main, bytes_of(&next, MAIN)[..500].chain(Broken))
        .expect_err("cut");
    assert!(staging.missing().contains(&main));
    drop(staging);
    assert_eq!((client.whole_serial(), client.names_in("staging")), (Some(1), vec![]));
    client.fetch(&next).expect("committed");
    assert_eq!(client.whole_serial(), Some(2));
}

#[test]
fn what_a_process_killed_at_any_step_leaves_behind_is_harmless_and_cleared_away() {
    let server = Bench::new();
    let client = server.client();
    client.fetch(&server.publish()).expect("committed");
    let next = server.publish();
    let layout = client.depot.layout();
    // Killed while files came in, and while an old set was being deleted.
    fs::create_dir_all(layout.staging().join("0123/signatures")).expect("made");
    fs::write(layout.staging().join("0123/manifest.json"), "{").expect("written");
    fs::create_dir_all(layout.staging().join("4567.old/policies")).expect("made");
    fs::write(layout.staging().join("stray"), "").expect("written");
    // Killed when the set stood under its name but was not in force yet: whole, or even with other contents.
    fs::create_dir(layout.set(2)).expect("made");
    fs::write(layout.set(2).join("manifest.json"), "{}").expect("written");
    // Killed between making the link and renaming it.
    symlink("sets/2", layout.next_current()).expect("a link");
    assert_eq!(client.whole_serial(), Some(1));
    client.fetch(&next).expect("committed");
    assert_eq!(client.whole_serial(), Some(2));
    assert_eq!(client.names_in("staging"), [""; 0]);
    assert_eq!(
        client.names_in("."),
        ["current", "minisign.pub", "partial", "sets", "staging"]
    );
}

#[test]
fn the_staging_of_a_live_process_is_not_cleared_away() {
    let server = Bench::new();
    let set = server.publish();
    let client = server.client();
    let mut slow = client.begin(&set).expect("begun");
    slow.place(entry(&set, MAIN), &bytes_of(&set, MAIN)[..])
        .expect("placed");
    client.fetch(&set).expect("a faster one");
    assert_eq!(client.names_in("staging").len(), 1);
    for entry in slow.missing().into_iter().cloned().collect::<Vec<_>>() {
        slow.place(&entry, &bytes_of(&set, entry.path.as_str())[..])
            .expect("placed");
    }
    assert_eq!(slow.commit().expect("the very same set").serial(), 1);
    assert_eq!(client.names_in("staging"), [""; 0]);
}

#[test]
fn old_sets_are_pruned_but_never_one_that_somebody_holds() {
    let server = Bench::new();
    let held = server.publish();
    for _ in 0..4 {
        server.publish();
    }
    assert_eq!(server.depot.serials().expect("in order"), [1, 3, 4, 5]);
    assert_eq!(held.verify_files().expect("readable"), []);
    drop(held);
    server.publish();
    assert_eq!(server.depot.serials().expect("in order"), [4, 5, 6]);
    assert_eq!(server.names_in("staging"), [""; 0]);
}

#[test]
fn a_leftover_newer_than_the_set_in_force_is_pruned() {
    let server = Bench::new();
    let client = server.client();
    let set = server.publish();
    fs::create_dir_all(client.depot.layout().set(40)).expect("made");
    client.fetch(&set).expect("committed");
    assert_eq!(client.depot.serials().expect("in order"), [1]);
}

#[test]
fn of_clients_that_switch_at_once_the_newest_set_wins_and_the_older_ones_are_refused() {
    let server = Bench::new();
    let sets: Vec<SetHandle> = (0..6).map(|_| server.publish()).collect();
    for _ in 0..10 {
        let client = server.client();
        let start = std::sync::Barrier::new(sets.len());
        std::thread::scope(|scope| {
            for set in &sets {
                let mut staging = client.begin(set).expect("begun");
                for entry in set.manifest().files() {
                    let file = File::open(set.file(entry)).expect("a file of the set");
                    staging.place(entry, file).expect("placed");
                }
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    match staging.commit() {
                        Ok(committed) => assert_eq!(committed.serial(), set.serial()),
                        Err(StagingError::Rollback { have, .. }) => assert!(have > set.serial()),
                        Err(error) => panic!("{error}"),
                    }
                });
            }
        });
        assert_eq!(client.whole_serial(), Some(6));
        assert_eq!(client.names_in("staging"), [""; 0]);
    }
}
