use fwdrill_depot::{Depot, SetHandle, publish};
use fwdrill_protocol::estate::Mode;
use fwdrill_protocol::update_set::{MANIFEST_FILE, Refusal, SIGNATURE_FILE, SecretKey, SignatureError, VersionAnswer};
use jiff::{SignedDuration, Timestamp};

use super::world::{MAIN, MODES, Trees, World, below_roots, trees};
use crate::scripted::HttpFaults;
use crate::sync::{Concern, SyncError};

/// The trees of a set with another manifest or signature in place of its own.
fn with(set: &SetHandle, name: &str, bytes: Option<&[u8]>) -> Trees {
    let (ftp, _) = trees(set);
    let files = ftp.iter().map(|(path, bytes)| (path[1..].to_owned(), bytes.clone()));
    let mut files: std::collections::BTreeMap<_, _> = files.collect();
    match bytes {
        Some(bytes) => files.insert(name.to_owned(), bytes.to_owned()),
        None => files.remove(name),
    };
    below_roots(set.serial(), VersionAnswer::of(set.manifest()), files)
}

/// Runs and expects to be refused, with the set before still in force and nothing downloaded.
async fn refused(world: &World, mode: Mode) -> SyncError {
    let before = world.in_force();
    world.forget();
    let error = world.cycle(mode).run(&()).await.unwrap_err();
    assert_eq!(error.concern(), Concern::Content, "{error:?}");
    assert_eq!(world.in_force(), before);
    assert_eq!(world.asked_for(mode), [] as [&str; 0]);
    error
}

#[tokio::test]
async fn an_older_set_is_refused() {
    for mode in MODES {
        let world = World::new().await;
        let old = trees(&world.publish());
        world.publish();
        world.cycle(mode).run(&()).await.unwrap();
        world.serve(old);
        let error = refused(&world, mode).await;
        assert!(
            matches!(error, SyncError::Refused(Refusal::Rollback { have: 3, offered: 2 })),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn an_expired_set_is_refused() {
    for mode in MODES {
        let world = World::new().await;
        world.cycle(mode).run(&()).await.unwrap();
        let expired = world.make(|options| options.lifetime = SignedDuration::from_mins(5));
        world.serve(trees(&expired));
        let error = refused(&world, mode).await;
        assert!(
            matches!(error, SyncError::Refused(Refusal::Expired { serial: 2, .. })),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn nothing_new_is_no_comfort_once_the_set_at_hand_has_expired() {
    let world = World::empty().await;
    let short = world.make(|options| {
        options.published = Timestamp::now();
        options.lifetime = SignedDuration::from_secs(2);
    });
    world.serve(trees(&short));
    world.cycle(Mode::Ftp).run(&()).await.unwrap();
    let expires = short.manifest().expires();
    // Not a wait for something to happen elsewhere: time has to pass.
    while Timestamp::now() < expires {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let error = refused(&world, Mode::Ftp).await;
    assert!(
        matches!(error, SyncError::Refused(Refusal::Expired { serial: 1, .. })),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_unsigned_an_altered_and_a_strangers_set_are_refused_and_told_apart() {
    for mode in MODES {
        let world = World::new().await;
        world.cycle(mode).run(&()).await.unwrap();
        let set = world.publish();

        world.serve(with(&set, SIGNATURE_FILE, Some(b"")));
        let error = refused(&world, mode).await;
        assert!(
            matches!(error, SyncError::Signature(SignatureError::Malformed(_))),
            "{error:?}"
        );

        let mut altered = set.manifest_bytes().to_owned();
        *altered.last_mut().unwrap() = b' ';
        world.serve(with(&set, MANIFEST_FILE, Some(&altered)));
        let error = refused(&world, mode).await;
        assert!(
            matches!(error, SyncError::Signature(SignatureError::Mismatch { .. })),
            "{error:?}"
        );

        let stranger = SecretKey::generate()
            .unwrap()
            .sign(set.manifest_bytes(), "mine")
            .unwrap();
        world.serve(with(&set, SIGNATURE_FILE, Some(stranger.as_bytes())));
        let error = refused(&world, mode).await;
        assert!(
            matches!(error, SyncError::Signature(SignatureError::WrongKey { .. })),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_set_without_signature_is_not_taken() {
    for mode in MODES {
        let world = World::new().await;
        world.cycle(mode).run(&()).await.unwrap();
        let set = world.publish();
        world.serve(with(&set, SIGNATURE_FILE, None));
        let error = world.cycle(mode).run(&()).await.unwrap_err();
        assert!(error.to_string().contains("manifest.json.minisig"), "{error}");
        assert_eq!(world.in_force(), Some(1));
    }
}

#[tokio::test]
async fn two_sets_of_one_serial_are_one_too_many() {
    for mode in MODES {
        let world = World::new().await;
        world.cycle(mode).run(&()).await.unwrap();
        // The same publisher, having forgotten everything.
        let directory = tempfile::TempDir::new().unwrap();
        let depot = Depot::create(directory.path(), world.key.public()).unwrap();
        let mut options = fwdrill_depot::PublishOptions::at(Timestamp::now());
        options.seed = Some(99);
        let other = publish(&depot, &world.key, &options).unwrap();
        world.serve(trees(&other));
        let error = refused(&world, mode).await;
        assert!(matches!(error, SyncError::SerialTaken { serial: 1 }), "{error:?}");
    }
}

#[tokio::test]
async fn a_newer_set_that_is_announced_but_not_there_is_not_called_up_to_date() {
    let world = World::new().await;
    world.cycle(Mode::Ftp).run(&()).await.unwrap();
    let (old_ftp, _) = trees(&Depot::open(world.updates()).unwrap().current().unwrap().unwrap());
    world.publish();
    world.ftp.set_tree(old_ftp);
    let error = refused(&world, Mode::Ftp).await;
    assert!(
        matches!(
            error,
            SyncError::Stale {
                announced: 2,
                offered: 1
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_file_with_wrong_bytes_is_fetched_twice_and_then_refused() {
    for mode in MODES {
        let world = World::new().await;
        world.serve_wrong(MAIN, 1);
        let error = world.cycle(mode).run(&()).await.unwrap_err();
        assert_eq!(error.concern(), Concern::Content);
        assert!(
            error.to_string().starts_with("signatures/main.fwdb has SHA-256"),
            "{error}"
        );
        let times = world.asked_for(mode).iter().filter(|path| *path == MAIN).count();
        assert_eq!(times, 2);
        assert_eq!(world.in_force(), None);
        world.heal();
        world.cycle(mode).run(&()).await.unwrap();
        assert_eq!(world.in_force(), Some(1));
    }
}

#[tokio::test]
async fn a_page_in_place_of_the_version_or_of_a_file_is_refused() {
    const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 24\r\n\r\n<html>Please log in.....";
    let world = World::new().await;
    world.http.set_faults(HttpFaults {
        answers: vec![("/version", PAGE)],
        ..HttpFaults::default()
    });
    let error = refused(&world, Mode::Http).await;
    assert!(matches!(error, SyncError::VersionAnswer(_)), "{error:?}");

    world.http.set_faults(HttpFaults {
        answers: vec![("/sets/1/signatures/main.fwdb", PAGE)],
        ..HttpFaults::default()
    });
    let error = world.cycle(Mode::Http).run(&()).await.unwrap_err();
    assert!(matches!(error, SyncError::WrongLength { offered: 24, .. }), "{error:?}");
}

#[tokio::test]
async fn not_modified_without_being_asked_is_no_answer() {
    let world = World::new().await;
    world.http.set_faults(HttpFaults {
        answers: vec![("/version", "HTTP/1.1 304 Not Modified\r\n\r\n")],
        ..HttpFaults::default()
    });
    let error = world.cycle(Mode::Ftp).run(&()).await.unwrap_err();
    assert!(matches!(error, SyncError::Version(_)), "{error:?}");
}
