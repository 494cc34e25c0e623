use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::testing::TestDepot;

async fn serial(shelf: &Shelf) -> Option<u64> {
    shelf.current().await.map(|set| set.serial())
}

#[tokio::test]
async fn a_published_set_is_noticed_and_who_holds_the_former_keeps_it() {
    let depot = TestDepot::new();
    let shelf = Shelf::new(depot.path());
    assert_eq!(serial(&shelf).await, None);
    depot.publish(1, &[("signatures/a", b"one")]);
    let held = shelf.current().await.unwrap();
    depot.publish(2, &[("signatures/a", b"other")]);
    assert_eq!(serial(&shelf).await, Some(2));
    let entry = &held.manifest().files()[0];
    assert_eq!(held.read(entry).unwrap(), b"one".as_slice());
}

#[tokio::test]
async fn a_depot_that_is_not_there_yet_is_noticed_when_it_comes() {
    let depot = TestDepot::new();
    let later = depot.path().join("later");
    let shelf = Shelf::new(&later);
    assert_eq!(serial(&shelf).await, None);
    assert!(shelf.public_key().is_none());
    depot.publish(3, &[]);
    symlink(depot.path(), &later).unwrap();
    assert_eq!(serial(&shelf).await, Some(3));
    assert!(shelf.public_key().is_some());
}

#[tokio::test]
async fn a_set_that_fails_verification_leaves_the_one_before_in_service() {
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 5] = [
        ("changed bytes", |set| {
            fs::write(set.join("signatures/a"), "XXX").unwrap()
        }),
        ("missing file", |set| fs::remove_file(set.join("signatures/a")).unwrap()),
        ("changed manifest", |set| {
            let text = fs::read_to_string(set.join("manifest.json")).unwrap();
            fs::write(set.join("manifest.json"), text.replace("\"version\"", "\"version\" ")).unwrap();
        }),
        ("symbolic link out", |set| {
            fs::remove_file(set.join("signatures/a")).unwrap();
            symlink("/etc/hostname", set.join("signatures/a")).unwrap();
        }),
        ("fifo", |set| {
            fs::remove_file(set.join("signatures/a")).unwrap();
            make_fifo(&set.join("signatures/a"));
        }),
    ];
    for (name, harm) in harms {
        let depot = TestDepot::new();
        let shelf = Shelf::new(depot.path());
        depot.publish(1, &[("signatures/a", b"one")]);
        assert_eq!(serial(&shelf).await, Some(1));
        harm(&depot.stage(2, &[("signatures/a", b"two")]));
        depot.put_in_force(2);
        assert_eq!(serial(&shelf).await, Some(1), "{name}");
        let started_now = Shelf::new(depot.path());
        assert!(started_now.load().await.is_err(), "{name}");
        depot.publish(3, &[("signatures/a", b"three")]);
        assert_eq!(serial(&shelf).await, Some(3), "{name}: the next one is fine");
    }
}

fn make_fifo(path: &Path) {
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
}

#[tokio::test]
async fn older_sets_can_be_had_by_serial_and_sets_not_yet_in_force_cannot() {
    let depot = TestDepot::new();
    depot.publish(1, &[]);
    depot.publish(2, &[]);
    depot.stage(3, &[]);
    let shelf = Shelf::new(depot.path());
    for (wanted, there) in [
        (0, false),
        (1, true),
        (1, true),
        (2, true),
        (3, false),
        (u64::MAX, false),
    ] {
        let set = shelf.set(wanted).await;
        assert_eq!(set.map(|set| set.serial()), there.then_some(wanted), "{wanted}");
    }
}

#[tokio::test]
async fn many_who_notice_at_once_get_one_and_the_same_set() {
    let depot = TestDepot::new();
    depot.publish(1, &[("signatures/a", b"one")]);
    let shelf = Shelf::new(depot.path());
    let sets = futures_util::future::join_all((0..50).map(|_| shelf.current())).await;
    let first = sets[0].clone().unwrap();
    assert!(sets.iter().all(|set| Arc::ptr_eq(set.as_ref().unwrap(), &first)));
}

#[tokio::test]
async fn a_set_nobody_reads_any_more_may_be_pruned() {
    let depot = TestDepot::new();
    let shelf = Shelf::new(depot.path());
    depot.publish(1, &[]);
    let held = shelf.current().await.unwrap();
    depot.publish(2, &[]);
    assert_eq!(serial(&shelf).await, Some(2));
    let directory = fs::File::open(depot.path().join("sets/1")).unwrap();
    assert!(directory.try_lock().is_err(), "held by a reader");
    drop(held);
    directory.try_lock().unwrap();
}
