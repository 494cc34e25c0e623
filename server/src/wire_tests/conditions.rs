use fwdrill_protocol::flow::Flow;

use super::*;

/// Of what the rows below speak.
struct Terms {
    etag: String,
    date: String,
}

impl Terms {
    fn fill(&self, text: &str) -> String {
        text.replace("TAG", &self.etag)
            .replace("DATE", &self.date)
            .replace("EARLIER", "Thu, 01 Jan 2026 00:00:00 GMT")
            .replace("LATER", "Fri, 01 Jan 2100 00:00:00 GMT")
    }
}

/// Condition fields, and the status under a name that changes and under a pinned one.
const ROWS: &[(&str, u16, u16)] = &[
    ("", 200, 200),
    ("If-None-Match: TAG\r\n", 304, 304),
    ("If-None-Match: W/TAG\r\n", 304, 304),
    ("If-None-Match: *\r\n", 304, 304),
    ("If-None-Match: \"x\", TAG\r\n", 304, 304),
    ("If-None-Match: \"x\"\r\nIf-Modified-Since: LATER\r\n", 200, 200),
    ("If-Modified-Since: DATE\r\n", 304, 304),
    ("If-Modified-Since: LATER\r\n", 304, 304),
    ("If-Modified-Since: EARLIER\r\n", 200, 200),
    ("If-Modified-Since: rubbish\r\n", 200, 200),
    ("If-Match: TAG\r\n", 200, 200),
    ("If-Match: *\r\n", 200, 200),
    ("If-Match: W/TAG\r\n", 412, 412),
    ("If-Match: \"x\"\r\n", 412, 412),
    ("If-Match: \"x\"\r\nIf-None-Match: TAG\r\n", 412, 412),
    ("If-Match: TAG\r\nIf-Unmodified-Since: EARLIER\r\n", 200, 200),
    ("If-Unmodified-Since: EARLIER\r\n", 412, 412),
    ("If-Unmodified-Since: DATE\r\n", 200, 200),
    ("Range: bytes=1-2\r\n", 206, 206),
    ("Range: bytes=1-2\r\nIf-Range: TAG\r\n", 206, 206),
    ("Range: bytes=1-2\r\nIf-Range: \"x\"\r\n", 200, 200),
    ("Range: bytes=1-2\r\nIf-Range: W/TAG\r\n", 200, 200),
    ("Range: bytes=1-2\r\nIf-Range: LATER\r\n", 200, 200),
    // Two sets may be published in one second, so a date is good for names that never change only.
    ("Range: bytes=1-2\r\nIf-Range: DATE\r\n", 200, 206),
    ("Range: bytes=1-2\r\nIf-None-Match: TAG\r\n", 304, 304),
    ("Range: bytes=1-2\r\nIf-Match: \"x\"\r\n", 412, 412),
    ("Range: bytes=9-\r\n", 416, 416),
    ("Range: bytes=9-\r\nIf-Range: \"x\"\r\n", 200, 200),
];

#[tokio::test]
async fn conditions_are_weighed_in_the_order_of_the_rfc() {
    let place = Place::new();
    place.depot.publish(1, &[("signatures/a", b"abcde")]);
    let server = place.start().await;
    let plain = server.get("/signatures/a").await;
    let terms = Terms {
        etag: plain.field("etag").unwrap().to_owned(),
        date: plain.field("last-modified").unwrap().to_owned(),
    };
    let mut wire = server.connect(Flow::Http).await;
    for (fields, changing, pinned) in ROWS {
        for (path, expected) in [("/signatures/a", *changing), ("/sets/1/signatures/a", *pinned)] {
            let fields = terms.fill(fields);
            let get = wire.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}")).await;
            assert_eq!(get.status, expected, "GET {path} {fields}");
            match get.status {
                200 => assert_eq!(get.text(), "abcde"),
                206 => assert_eq!((get.text(), get.field("content-range")), ("bc", Some("bytes 1-2/5"))),
                304 => {
                    assert_eq!(get.field("etag"), Some(terms.etag.as_str()));
                    assert!(get.field("cache-control").is_some());
                    assert_eq!((get.field("content-length"), get.field("content-type")), (None, None));
                }
                416 => assert_eq!(get.field("content-range"), Some("bytes */5")),
                _ => {}
            }
            // Range is for GET alone.
            let expected = if matches!(expected, 206 | 416) { 200 } else { expected };
            let head = wire.ask(&format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n{fields}")).await;
            assert_eq!(head.status, expected, "HEAD {path} {fields}");
        }
    }
}

#[tokio::test]
async fn the_version_answers_304_until_there_is_something_new() {
    let place = Place::new();
    place.depot.publish(1, &[]);
    let server = place.start().await;
    let mut wire = server.connect(Flow::Version).await;
    let first = wire.ask("GET /version HTTP/1.1\r\nHost: a\r\n").await;
    let answer = fwdrill_protocol::update_set::VersionAnswer::parse(&first.body).unwrap();
    assert_eq!((answer.serial, answer.manifest.as_str()), (1, "/sets/1/manifest.json"));
    assert_eq!(first.field("content-type"), Some("application/json"));
    assert_eq!(first.field("cache-control"), Some("no-cache"));
    assert_eq!(first.field("etag"), Some(answer.etag().as_str()));
    let again = format!(
        "GET /version HTTP/1.1\r\nHost: a\r\nIf-None-Match: {}\r\n",
        answer.etag()
    );
    assert_eq!(wire.ask(&again).await.status, 304);
    place.depot.publish(2, &[]);
    let news = wire.ask(&again).await;
    assert_eq!(news.status, 200);
    assert!(news.text().contains("\"/sets/2/manifest.json\""), "{}", news.text());
    let head = wire.ask("HEAD /version HTTP/1.1\r\nHost: a\r\n").await;
    assert_eq!((head.status, head.field("etag")), (200, news.field("etag")));
    for path in ["/", "/manifest.json", "/versions", "/version/"] {
        let answer = wire.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n")).await;
        assert_eq!(answer.status, 404, "{path}");
    }
}
