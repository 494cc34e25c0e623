use std::io::Read;

use super::*;
use crate::error::ContentError;
use crate::staging::StagingError;
use crate::testing::{Bench, bytes_of, entry};

const MAIN: &str = "signatures/main.fwdb";

#[test]
fn a_download_goes_on_where_the_last_process_stopped() {
    let server = Bench::new();
    let set = server.publish();
    let client = server.client();
    let (main, bytes) = (entry(&set, MAIN), bytes_of(&set, MAIN));
    let mut partial = Partial::open(&client.depot, main).expect("opened");
    assert_eq!((partial.length(), partial.is_complete()), (0, false));
    partial.write_all(&bytes[..1000]).expect("written");
    drop(partial);
    let mut partial = Partial::open(&client.depot, main).expect("opened");
    assert_eq!(partial.length(), 1000);
    partial.write_all(&bytes[1000..]).expect("written");
    assert!(partial.is_complete());
    let mut staging = client.begin(&set).expect("begun");
    staging.place_partial(main, partial).expect("placed");
    assert!(!staging.missing().contains(&main));
}

#[test]
fn a_finished_download_survives_a_staging_that_does_not_and_goes_with_the_commit() {
    let server = Bench::new();
    let set = server.publish();
    let client = server.client();
    let main = entry(&set, MAIN);
    Partial::open(&client.depot, main)
        .expect("opened")
        .write_all(&bytes_of(&set, MAIN))
        .expect("written");
    for last in [false, true] {
        let partial = Partial::open(&client.depot, main).expect("opened");
        assert!(partial.is_complete());
        let mut staging = client.begin(&set).expect("begun");
        staging.place_partial(main, partial).expect("placed");
        for entry in staging.missing().into_iter().cloned().collect::<Vec<_>>() {
            staging
                .place(&entry, &bytes_of(&set, entry.path.as_str())[..])
                .expect("placed");
        }
        if last {
            staging.commit().expect("committed");
        }
    }
    assert_eq!(client.whole_serial(), Some(1));
    assert_eq!(client.names_in("partial"), [""; 0]);
}

#[test]
fn a_download_with_the_wrong_contents_is_deleted_and_an_unfinished_one_is_kept() {
    let server = Bench::new();
    let set = server.publish();
    let client = server.client();
    let (main, mut bytes) = (entry(&set, MAIN), bytes_of(&set, MAIN));
    let mut staging = client.begin(&set).expect("begun");
    let mut partial = Partial::open(&client.depot, main).expect("opened");
    partial.write_all(&bytes[..1000]).expect("written");
    let error = staging.place_partial(main, partial).expect_err("unfinished");
    assert!(
        matches!(error, StagingError::Content(ContentError::Size { found: 1000, .. })),
        "{error}"
    );
    bytes[2000] ^= 1;
    let mut partial = Partial::open(&client.depot, main).expect("opened");
    partial.write_all(&bytes[1000..]).expect("written");
    let error = staging.place_partial(main, partial).expect_err("wrong contents");
    assert!(
        matches!(error, StagingError::Content(ContentError::Digest { .. })),
        "{error}"
    );
    assert_eq!(Partial::open(&client.depot, main).expect("opened").length(), 0);
}

#[test]
fn more_than_was_announced_is_refused_and_a_file_that_is_too_long_starts_afresh() {
    let server = Bench::new();
    let set = server.publish();
    let client = server.client();
    let main = entry(&set, MAIN);
    let mut partial = Partial::open(&client.depot, main).expect("opened");
    let error = partial.write_all(&vec![0; 4097]).expect_err("too much");
    assert_eq!(error.to_string(), "more bytes than the 4096 announced");
    drop(partial);
    fs::write(client.depot.layout().partial(&main.sha256), vec![0; 5000]).expect("written");
    assert_eq!(Partial::open(&client.depot, main).expect("opened").length(), 0);
}

#[test]
fn starting_over_does_not_touch_a_set_that_has_the_file_already() {
    let server = Bench::new();
    let set = server.publish();
    let client = server.client();
    let main = entry(&set, MAIN);
    Partial::open(&client.depot, main)
        .expect("opened")
        .write_all(&bytes_of(&set, MAIN))
        .expect("written");
    let mut staging = client.begin(&set).expect("begun");
    let again = Partial::open(&client.depot, main).expect("opened");
    staging.place_partial(main, again).expect("placed");
    let mut again = Partial::open(&client.depot, main).expect("opened");
    again.restart().expect("restarted");
    again.write_all(b"something else").expect("written");
    assert_eq!(again.length(), 14);
    for entry in staging.missing().into_iter().cloned().collect::<Vec<_>>() {
        staging
            .place(&entry, &bytes_of(&set, entry.path.as_str())[..])
            .expect("placed");
    }
    staging.commit().expect("committed");
    assert_eq!(client.whole_serial(), Some(1));
    let mut kept = String::new();
    File::open(again.path())
        .expect("kept, somebody is at it")
        .read_to_string(&mut kept)
        .expect("read");
    assert_eq!(kept, "something else");
}

#[test]
fn two_at_one_download_do_not_mix_their_bytes() {
    let server = Bench::new();
    let set = server.publish();
    let client = server.client();
    let main = entry(&set, MAIN);
    let first = Partial::open(&client.depot, main).expect("opened");
    let error = Partial::open(&client.depot, main).expect_err("busy");
    assert!(matches!(error, PartialError::Busy { .. }), "{error}");
    drop(first);
    assert!(Partial::open(&client.depot, main).is_ok());
}
