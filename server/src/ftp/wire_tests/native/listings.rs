//! What is said about files, from wherever the client is.

use super::{place, place_with};

#[tokio::test]
async fn mlst_and_stat_honour_the_current_directory() {
    let place = place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    client.expect(250, "CWD /signatures").await;
    let facts = client.expect(250, "MLST small").await;
    assert!(facts.lines[1].starts_with(" type=file;size=5;modify="), "{facts:?}");
    assert!(facts.lines[1].ends_with("perm=r; /signatures/small"), "{facts:?}");
    let here = client.expect(250, "MLST").await;
    assert!(
        here.lines[1].starts_with(" type=dir;") && here.lines[1].ends_with(" /signatures"),
        "{here:?}"
    );
    let status = client.expect(213, "STAT small").await;
    assert!(status.lines[1].ends_with(" small"), "{status:?}");
    client.expect(550, "MLST none").await;
    client.expect(550, "STAT none").await;
}

#[tokio::test]
async fn facts_are_those_that_were_asked_for() {
    let place = place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let features = client.expect(211, "FEAT").await;
    assert!(
        features.lines.contains(&" MLST type*;size*;modify*;perm*;".to_owned()),
        "{features:?}"
    );
    let told = client.expect(200, "OPTS MLST Size;unix.mode;").await;
    assert_eq!(told.text(), "MLST OPTS size;");
    assert_eq!(client.listing("MLSD /signatures").await, "size=5; small\r\n");
}

#[tokio::test]
async fn a_pattern_lists_what_it_matches_as_mget_needs_it() {
    let place = place_with(&[
        ("signatures/a.fwdb", b"a"),
        ("signatures/b.fwdb", b"b"),
        ("signatures/c.txt", b"c"),
    ]);
    let server = place.start().await;
    let mut client = server.anonymous().await;
    let both = "signatures/a.fwdb\r\nsignatures/b.fwdb\r\n";
    assert_eq!(client.listing("NLST signatures/*.fwdb").await, both);
    client.expect(250, "CWD /signatures").await;
    assert_eq!(client.listing("NLST *.fwdb").await, "a.fwdb\r\nb.fwdb\r\n");
    assert_eq!(client.listing("NLST ?.txt").await, "c.txt\r\n");
    assert_eq!(client.listing("LIST -la *.txt").await.lines().count(), 1);
    assert_eq!(client.listing("NLST c.txt").await, "c.txt\r\n");
    client.expect(550, "NLST *.none").await;
}

#[tokio::test]
async fn a_listing_is_refused_before_any_preliminary_reply() {
    let place = place();
    let server = place.start().await;
    let mut client = server.anonymous().await;
    for command in ["LIST /none", "NLST /none", "MLSD /none", "LIST /upload/pc/x"] {
        let _data = client.passive().await;
        client.expect(550, command).await;
    }
}
