use fwdrill_protocol::flow::Flow;

use super::*;

/// Longer than what is read at once, and no multiple of it.
const LENGTH: usize = 1_000_003;

async fn big() -> (Place, Running, Vec<u8>) {
    let (place, bytes) = (Place::new(), pattern(LENGTH));
    place.depot.publish(1, &[("signatures/a", &bytes)]);
    let server = place.start().await;
    (place, server, bytes)
}

async fn ask(server: &Running, range: &str) -> Answer {
    let head = format!("GET /signatures/a HTTP/1.1\r\nHost: a\r\nRange: {range}\r\n");
    server.ask(Flow::Http, &head).await
}

#[tokio::test]
async fn one_range_of_a_large_file_is_exactly_those_bytes() {
    let (_place, server, bytes) = big().await;
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=262143-262144", 262_143, 262_145),
        ("bytes=100-900000", 100, 900_001),
        ("bytes=1000002-", LENGTH - 1, LENGTH),
        ("bytes=-5", LENGTH - 5, LENGTH),
        ("bytes=-99999999", 0, LENGTH),
        ("bytes=999999-99999999999", 999_999, LENGTH),
    ] {
        let answer = ask(&server, range).await;
        let content_range = format!("bytes {start}-{}/{LENGTH}", end - 1);
        assert_eq!(
            (answer.status, answer.field("content-range")),
            (206, Some(content_range.as_str())),
            "{range}"
        );
        assert!(answer.body == bytes[start..end], "{range}");
    }
    let whole = server.get("/signatures/a").await;
    assert!(whole.status == 200 && whole.body == bytes);
}

#[tokio::test]
async fn several_ranges_come_as_parts_that_say_where_they_belong() {
    let (_place, server, bytes) = big().await;
    let answer = ask(&server, "bytes=0-9, 500000-799999, -3").await;
    assert_eq!((answer.status, answer.field("content-range")), (206, None));
    let content_type = answer.field("content-type").unwrap();
    let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut expected = Vec::new();
    for (start, end) in [(0, 10), (500_000, 800_000), (LENGTH - 3, LENGTH)] {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {start}-{}/{LENGTH}\r\n\r\n",
            end - 1
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&bytes[start..end]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(answer.body == expected);
}

#[tokio::test]
async fn what_is_malformed_or_asks_for_too_much_gets_the_whole() {
    let (_place, server, _) = big().await;
    let many = format!(
        "bytes={}",
        (0..50).map(|n| format!("{n}-{n}")).collect::<Vec<_>>().join(",")
    );
    for range in ["bytes=2-1", "bytes=a", "lines=1-2", "bytes=0-,0-", many.as_str()] {
        let answer = ask(&server, range).await;
        assert_eq!((answer.status, answer.body.len()), (200, LENGTH), "{range}");
    }
    let answer = ask(&server, "bytes=1000003-").await;
    assert_eq!(
        (answer.status, answer.field("content-range")),
        (416, Some("bytes */1000003"))
    );
}
