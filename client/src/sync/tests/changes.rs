use fwdrill_protocol::estate::Mode;

use super::world::{MAIN, MODES, Seen, World, trees};
use crate::scripted::{FtpFaults, HttpFaults};
use crate::sync::{Concern, SyncError};

#[tokio::test]
async fn a_set_published_in_the_middle_is_taken_instead() {
    for mode in MODES {
        let world = World::new().await;
        let (ftp, http) = trees(&world.make(|_| {}));
        // A plain server: no session keeps its set, and the old one is gone at once. The version service follows.
        world.ftp.set_faults(FtpFaults {
            not_pinned: true,
            publish_after: Some(("/manifest.json.minisig".to_owned(), ftp)),
            ..FtpFaults::default()
        });
        let switch = match mode {
            Mode::Ftp => "/version",
            Mode::Http => "/sets/1/manifest.json.minisig",
        };
        world.http.set_faults(HttpFaults {
            publish_after: Some((switch.to_owned(), http)),
            ..HttpFaults::default()
        });
        let seen = Seen::default();
        let outcome = world.cycle(mode).run(&seen).await.unwrap();
        assert_eq!(outcome.serial, 2, "{mode:?}");
        assert_eq!(seen.count("restarted"), 1);
        assert_eq!(world.in_force(), Some(2));
    }
}

#[tokio::test]
async fn a_session_that_keeps_its_set_is_finished_with_it() {
    let world = World::new().await;
    let (ftp, _) = trees(&world.make(|_| {}));
    world.ftp.set_faults(FtpFaults {
        publish_after: Some(("/manifest.json".to_owned(), ftp)),
        ..FtpFaults::default()
    });
    let outcome = world.cycle(Mode::Ftp).run(&()).await.unwrap();
    assert_eq!(outcome.serial, 1);
}

#[tokio::test]
async fn a_new_session_after_a_cut_that_sees_another_set_starts_again() {
    let world = World::new().await;
    let (ftp, _) = trees(&world.make(|_| {}));
    // The control connection ends after the first file, and by then a new set is there.
    world.ftp.set_faults(FtpFaults {
        no_final_reply: true,
        spared: vec!["/manifest.json", "/manifest.json.minisig"],
        publish_after: Some(("/manifest.json.minisig".to_owned(), ftp)),
        ..FtpFaults::default()
    });
    let seen = Seen::default();
    let outcome = world.cycle(Mode::Ftp).run(&seen).await.unwrap();
    assert_eq!(outcome.serial, 2);
    assert_eq!(seen.count("restarted"), 1);
}

#[tokio::test]
async fn what_is_right_in_both_sets_is_not_downloaded_twice() {
    let world = World::new().await;
    let (_, http) = trees(&world.make(|_| {}));
    world.http.set_faults(HttpFaults {
        publish_after: Some(("/sets/1/policies/firewall.json".to_owned(), http)),
        ..HttpFaults::default()
    });
    world.cycle(Mode::Http).run(&()).await.unwrap();
    let mut asked = world.asked_for(Mode::Http);
    let all = asked.len();
    asked.sort();
    asked.dedup();
    // Whatever was asked for again is something that the new set has in another form.
    assert!(all - asked.len() <= 3, "{asked:?}");
}

#[tokio::test]
async fn a_file_that_is_gone_without_a_newer_set_is_an_error() {
    for mode in MODES {
        let world = World::new().await;
        let (ftp, http) = trees(&world.publish());
        let without = |tree: crate::scripted::Tree| {
            let mut files = (*tree).clone();
            files.retain(|path, _| !path.ends_with(MAIN));
            std::sync::Arc::new(files)
        };
        world.serve((without(ftp), without(http)));
        let error = world.cycle(mode).run(&()).await.unwrap_err();
        assert_eq!(error.concern(), Concern::Network);
        assert!(error.to_string().contains(MAIN), "{error}");
        assert_eq!(world.asked_for(mode).iter().filter(|path| *path == MAIN).count(), 1);
    }
}

#[tokio::test]
async fn a_server_that_changes_its_mind_for_ever_is_left_alone() {
    let world = World::new().await;
    // Two servers behind one address, each with a set of its own: every new session sees the other one.
    let (one, http) = trees(&world.publish());
    let (other, _) = trees(&world.make(|_| {}));
    world.http.set_tree(http);
    world.ftp.set_tree(one.clone());
    world.ftp.set_faults(FtpFaults {
        no_final_reply: true,
        spared: vec!["/manifest.json", "/manifest.json.minisig"],
        alternates: Some((one, other)),
        ..FtpFaults::default()
    });
    let error = world.cycle(Mode::Ftp).run(&()).await.unwrap_err();
    assert!(matches!(error, SyncError::Changed), "{error:?}");
    assert_eq!(error.concern(), Concern::Content);
    assert_eq!(world.in_force(), None);
}
