use super::*;
use crate::apply_incremental;
use crate::testing::{Bench, at, bytes_of, contents, entry, options};

const MAIN: &str = "signatures/main.fwdb";

#[test]
fn the_same_inputs_make_the_same_set_byte_for_byte() {
    let (one, other) = (Bench::new(), Bench::new());
    for _ in 0..3 {
        let (left, right) = (one.publish(), other.publish());
        assert_eq!(left.manifest_bytes(), right.manifest_bytes());
        assert_eq!(contents(&left), contents(&right));
    }
}

#[test]
fn what_a_seed_produces_stays_as_it_is() {
    // Whoever changes this on purpose changes every published seed: say so in the changelog.
    let set = Bench::new().publish();
    let digest = |path: &str| entry(&set, path).sha256.to_string();
    assert_eq!(
        digest(MAIN),
        "648390fdd69004c2b8db6677e360163bdeaf6f44c809dc0a1e92e15ecceb66ad"
    );
    assert_eq!(
        digest("policies/firewall.json"),
        "94a8954a3a890feb50e0acac7fba6540ccb9ee247e497162de9d22e699eaa277"
    );
}

#[test]
fn the_main_database_has_exactly_the_size_asked_for() {
    for size in [MIN_MAIN_SIZE, 1025, 5000, 1 << 20] {
        let bench = Bench::new();
        let set = publish(
            &bench.depot,
            &bench.key,
            &PublishOptions {
                main_size: Some(size),
                ..options()
            },
        );
        assert_eq!(entry(&set.expect("published"), MAIN).size, size);
    }
    for size in [0, MIN_MAIN_SIZE - 1, MAX_MAIN_SIZE + 1] {
        let bench = Bench::new();
        let error = publish(
            &bench.depot,
            &bench.key,
            &PublishOptions {
                main_size: Some(size),
                ..options()
            },
        );
        assert!(matches!(error.expect_err("out of bounds"), PublishError::MainSize(given) if given == size));
    }
}

#[test]
fn size_and_seed_are_those_of_the_set_in_force_unless_asked_for() {
    let bench = Bench::new();
    let first = PublishOptions {
        seed: Some(42),
        main_size: Some(2048),
        ..options()
    };
    publish(&bench.depot, &bench.key, &first).expect("published");
    let unset = PublishOptions {
        seed: None,
        main_size: None,
        ..options()
    };
    let next = publish(&bench.depot, &bench.key, &unset).expect("published");
    let text = String::from_utf8(bytes_of(&next, MAIN)).expect("text");
    assert_eq!(
        text.lines().next(),
        Some("#fwdb/1 main seed=42 main-size=2048 first-serial=1")
    );
    let other = PublishOptions {
        seed: Some(43),
        ..unset
    };
    let fresh = publish(&bench.depot, &bench.key, &other).expect("published");
    let text = String::from_utf8(bytes_of(&fresh, MAIN)).expect("text");
    assert_eq!(
        text.lines().next(),
        Some("#fwdb/1 main seed=43 main-size=2048 first-serial=3")
    );
}

#[test]
fn every_incremental_update_leads_from_a_published_database_to_the_one_in_the_set() {
    let bench = Bench::new();
    let sets: Vec<SetHandle> = (0..8).map(|_| bench.publish()).collect();
    let dir = tempfile::tempdir().expect("a directory");
    let mut applied = 0;
    for (index, new) in sets.iter().enumerate() {
        for update in new.manifest().files() {
            let FileKind::Incremental { from_serial, base, of } = &update.kind else {
                continue;
            };
            let old = &sets[usize::try_from(*from_serial).expect("small") - 1];
            let full = entry(old, of.as_str());
            assert_eq!(full.sha256, *base, "{}", update.path);
            let output = dir.path().join(format!("{applied}"));
            apply_incremental(&old.file(full), &new.file(update), &output).expect("applied");
            assert_eq!(
                std::fs::read(output).expect("the result"),
                bytes_of(new, of.as_str()),
                "{}",
                update.path
            );
            applied += 1;
        }
        // Whoever has one of the last five sets gets by without any full database.
        for old in &sets[index.saturating_sub(5)..index] {
            for name in ["main", "daily", "phishing"] {
                let path = format!("signatures/{name}.fwdb").parse().expect("a path");
                let have = entry(old, &format!("signatures/{name}.fwdb")).sha256;
                let unchanged = new.manifest().file(&path).expect("a database").sha256 == have;
                let update = new.manifest().incremental_for(&path, &have);
                assert_eq!(
                    unchanged,
                    update.is_none(),
                    "{name} from {} to {}",
                    old.serial(),
                    new.serial()
                );
            }
        }
    }
    assert!(applied > 30, "{applied}");
}

#[test]
fn each_serial_changes_some_files_and_leaves_others() {
    let bench = Bench::new();
    let sets: Vec<SetHandle> = (0..4).map(|_| bench.publish()).collect();
    let changed = |path: &str| -> Vec<u64> {
        let pairs = sets.iter().zip(&sets[1..]);
        let differs = |(old, new): &(&SetHandle, &SetHandle)| entry(old, path).sha256 != entry(new, path).sha256;
        pairs.filter(differs).map(|(_, new)| new.serial()).collect()
    };
    assert_eq!(changed("signatures/daily.fwdb"), [2, 3, 4]);
    assert_eq!(changed(MAIN), [2, 4]);
    assert_eq!(changed("signatures/phishing.fwdb"), [2]);
    assert_eq!(changed("policies/scan-exclusions.json"), [2, 3, 4]);
    assert_eq!(changed("policies/update-schedule.ini"), [0; 0]);
}

#[test]
fn databases_start_anew_after_a_while_and_after_a_leap() {
    let bench = Bench::new();
    let first_serial = |serial| {
        let set = publish(
            &bench.depot,
            &bench.key,
            &PublishOptions {
                serial: Some(serial),
                ..options()
            },
        );
        database::origin_of(&set.expect("published"))
            .expect("readable")
            .expect("made here")
            .first_serial
    };
    assert_eq!(first_serial(10), 10);
    assert_eq!(first_serial(73), 10);
    assert_eq!(first_serial(74), 74);
    assert_eq!(first_serial(2_026_112_401), 2_026_112_401);
    assert_eq!(first_serial(u64::MAX), u64::MAX);
    let error = publish(&bench.depot, &bench.key, &options()).expect_err("the end of numbers");
    assert!(matches!(error, PublishError::NoSerialLeft(u64::MAX)), "{error}");
}

#[test]
fn a_serial_that_is_not_new_is_refused() {
    let bench = Bench::new();
    publish(
        &bench.depot,
        &bench.key,
        &PublishOptions {
            serial: Some(7),
            ..options()
        },
    )
    .expect("published");
    for given in [0, 1, 7] {
        let error = publish(
            &bench.depot,
            &bench.key,
            &PublishOptions {
                serial: Some(given),
                ..options()
            },
        );
        let error = error.expect_err("not new").to_string();
        assert_eq!(error, format!("serial {given} is not above 7, the newest in the depot"));
    }
    assert_eq!(bench.publish().serial(), 8);
}

#[test]
fn a_strange_key_a_bad_version_and_no_lifetime_are_refused_and_leave_nothing() {
    let bench = Bench::new();
    let stranger = SecretKey::generate().expect("random numbers");
    assert!(matches!(
        publish(&bench.depot, &stranger, &options()),
        Err(PublishError::StrangeKey { .. })
    ));
    let bad = PublishOptions {
        version: Some("two\nlines".into()),
        ..options()
    };
    assert!(matches!(
        publish(&bench.depot, &bench.key, &bad),
        Err(PublishError::Manifest(_))
    ));
    let bad = PublishOptions {
        lifetime: SignedDuration::ZERO,
        ..options()
    };
    assert!(matches!(
        publish(&bench.depot, &bench.key, &bad),
        Err(PublishError::Manifest(_))
    ));
    let bad = PublishOptions {
        lifetime: SignedDuration::MAX,
        ..options()
    };
    assert!(matches!(
        publish(&bench.depot, &bench.key, &bad),
        Err(PublishError::Lifetime(_))
    ));
    let nothing: [&str; 0] = [];
    assert_eq!(bench.names_in("staging"), nothing);
    assert_eq!(bench.names_in("sets"), nothing);
}

#[test]
fn version_and_expiry_follow_from_the_time_given() {
    let set = Bench::new().publish();
    assert_eq!(set.manifest().version(), "22.0.20261124.1");
    assert_eq!(set.manifest().published(), at("2026-11-24T10:00:00Z"));
    assert_eq!(set.manifest().expires(), at("2026-12-24T10:00:00Z"));
}

#[test]
fn the_eicar_file_is_there_only_when_asked_for() {
    let bench = Bench::new();
    let path: SetPath = "extras/eicar-test-file.com".parse().expect("a path");
    assert!(bench.publish().manifest().file(&path).is_none());
    let asked = PublishOptions {
        with_eicar: true,
        ..options()
    };
    let set = publish(&bench.depot, &bench.key, &asked).expect("published");
    assert_eq!(set.manifest().file(&path).map(|entry| entry.size), Some(68));
    assert!(bench.publish().manifest().file(&path).is_none());
}

#[test]
fn publishers_at_once_take_turns() {
    let bench = Bench::new();
    let mut serials: Vec<u64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| bench.publish().serial())).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    serials.sort_unstable();
    assert_eq!(serials, [1, 2, 3, 4, 5, 6]);
    assert_eq!(bench.whole_serial(), Some(6));
}

#[test]
fn a_reader_always_finds_a_whole_set_while_others_publish() {
    let bench = Bench::new();
    bench.publish();
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            for _ in 0..20 {
                bench.publish();
            }
        });
        let mut last = 0;
        while !publishing.is_finished() {
            let serial = bench.whole_serial().expect("a set");
            assert!(serial >= last, "{serial} after {last}");
            last = serial;
        }
    });
    assert_eq!(bench.whole_serial(), Some(21));
}
