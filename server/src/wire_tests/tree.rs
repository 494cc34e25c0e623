use std::fs;
use std::os::unix::fs::symlink;

use fwdrill_protocol::flow::Flow;
use sha2::Digest;

use super::*;

fn date(timestamp: jiff::Timestamp) -> String {
    let seconds = Duration::from_secs(timestamp.as_second() as u64);
    httpdate::fmt_http_date(std::time::SystemTime::UNIX_EPOCH + seconds)
}

fn etag(bytes: &[u8]) -> String {
    let digest: [u8; 32] = sha2::Sha256::digest(bytes).into();
    format!("\"{}\"", fwdrill_protocol::update_set::Sha256::from_bytes(digest))
}

#[tokio::test]
async fn every_name_of_the_set_is_there_with_what_caches_and_clients_need() {
    let place = Place::new();
    let big = pattern(300_000);
    place.depot.publish(
        1,
        &[
            ("signatures/main.fwdb", &big),
            ("policies/a.json", b"{}"),
            ("extras/empty", b""),
        ],
    );
    let server = place.start().await;
    let set = place.depot.path().join("current");
    for (path, file, content_type) in [
        ("manifest.json", "manifest.json", "application/json"),
        (
            "manifest.json.minisig",
            "manifest.json.minisig",
            "text/plain; charset=utf-8",
        ),
        (
            "signatures/main.fwdb",
            "signatures/main.fwdb",
            "application/octet-stream",
        ),
        ("policies/a.json", "policies/a.json", "application/json"),
        ("extras/empty", "extras/empty", "application/octet-stream"),
        ("%6danifest%2Ejson?fresh=1", "manifest.json", "application/json"),
    ] {
        for (root, caching) in [("", "no-cache"), ("sets/1/", "public, max-age=31536000, immutable")] {
            let answer = server.get(&format!("/{root}{path}")).await;
            let expected = fs::read(set.join(file)).unwrap();
            assert_eq!(answer.status, 200, "{root}{path}");
            assert!(answer.body == expected, "{root}{path}");
            assert_eq!(answer.field("content-type"), Some(content_type));
            assert_eq!(answer.field("etag"), Some(etag(&expected).as_str()));
            assert_eq!(
                answer.field("last-modified"),
                Some(date(place.depot.published(1)).as_str())
            );
            assert_eq!(answer.field("cache-control"), Some(caching));
            assert_eq!(answer.field("accept-ranges"), Some("bytes"));
            assert_eq!(answer.field("vary"), None);
            assert!(answer.field("date").is_some());
        }
    }
    let key = server.get("/minisign.pub").await;
    assert_eq!(key.body, fs::read(place.depot.path().join("minisign.pub")).unwrap());
    assert_eq!(key.field("etag"), Some(etag(&key.body).as_str()));
    assert_eq!(server.get("/healthz").await.text(), "ok\n");
}

#[tokio::test]
async fn what_the_manifest_does_not_name_does_not_exist() {
    let place = Place::new();
    place.depot.publish(1, &[("signatures/a", b"one")]);
    place.depot.publish(2, &[("signatures/a", b"two")]);
    let set = place.depot.stage(3, &[("signatures/a", b"three")]);
    fs::write(place.depot.path().join("current/unlisted"), "secret").unwrap();
    fs::write(place.depot.path().join("current/.hidden"), "secret").unwrap();
    symlink("/etc/passwd", place.depot.path().join("current/link")).unwrap();
    drop(set);
    let server = place.start().await;
    let deep = format!("/{}x", "a/".repeat(2000));
    for path in [
        "/",
        "/signatures",
        "/signatures/",
        "//signatures/a",
        "/signatures//a",
        "/signatures/a/",
        "/signatures/A",
        "/unlisted",
        "/.hidden",
        "/link",
        "/../minisign.key",
        "/signatures/../signatures/a",
        "/./signatures/a",
        "/%2e%2e/minisign.key",
        "/signatures%2fa",
        "/signatures%2Fa",
        "/signatures/a%00",
        "/signatures/%",
        "/signatures/%zz",
        "/%c3%a9",
        "/sets",
        "/sets/",
        "/sets/1",
        "/sets/1/",
        "/sets/01/manifest.json",
        "/sets/+1/manifest.json",
        "/sets/0/manifest.json",
        "/sets/3/manifest.json",
        "/sets/99999999999999999999/manifest.json",
        "/sets/1/minisign.pub",
        "/sets/1/sets/1/manifest.json",
        "/current/manifest.json",
        "/staging/",
        "/version",
        &deep,
    ] {
        let answer = server.get(path).await;
        assert_eq!(
            (answer.status, answer.field("cache-control")),
            (404, Some("no-store")),
            "{path}"
        );
    }
    assert_eq!(server.get("/sets/1/signatures/a").await.text(), "one");
    assert_eq!(server.get("/signatures/a").await.text(), "two");
}

#[tokio::test]
async fn head_says_what_get_says_without_a_body() {
    let place = Place::new();
    place.depot.publish(1, &[("signatures/a", &pattern(100_000))]);
    let server = place.start().await;
    let mut wire = server.connect(Flow::Http).await;
    for path in ["/signatures/a", "/manifest.json", "/minisign.pub", "/nothing"] {
        let get = wire.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n")).await;
        // The same connection goes on: no byte of a body was sent.
        let head = wire.ask(&format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n")).await;
        let without_date = |answer: &Answer| -> Vec<_> {
            answer
                .fields
                .iter()
                .filter(|(name, _)| name != "date")
                .cloned()
                .collect()
        };
        assert_eq!(
            (head.status, without_date(&head)),
            (get.status, without_date(&get)),
            "{path}"
        );
    }
}

#[tokio::test]
async fn other_methods_are_told_which_there_are() {
    let place = Place::new();
    place.depot.publish(1, &[("signatures/a", b"one")]);
    let server = place.start().await;
    for flow in [Flow::Http, Flow::Version] {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"] {
            let head = format!("{method} /manifest.json HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n");
            let answer = server.ask(flow, &head).await;
            assert_eq!(
                (answer.status, answer.field("allow")),
                (405, Some("GET, HEAD")),
                "{method}"
            );
        }
    }
}

#[tokio::test]
async fn a_file_that_became_something_else_is_an_error_at_once_and_never_followed_or_waited_for() {
    let place = Place::new();
    place
        .depot
        .publish(1, &[("signatures/a", b"one"), ("signatures/b", &pattern(100_000))]);
    let server = place.start().await;
    let set = place.depot.path().join("sets/1/signatures");
    let fifo = |path: &std::path::Path| {
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap()
    };
    for (name, harm) in [
        ("a", "link out"),
        ("a", "fifo"),
        ("b", "fifo"),
        ("b", "directory"),
        ("b", "short"),
        ("a", "gone"),
    ] {
        let path = set.join(name);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        match harm {
            "link out" => symlink("/etc/passwd", &path).unwrap(),
            "fifo" => fifo(&path),
            "directory" => fs::create_dir(&path).unwrap(),
            "short" => fs::write(&path, "1").unwrap(),
            _ => {}
        }
        let answer = server.get(&format!("/signatures/{name}")).await;
        assert_eq!(
            (answer.status, answer.text()),
            (500, "the file is damaged on the server\n"),
            "{harm}"
        );
    }
}

#[tokio::test]
async fn a_precompressed_variant_goes_to_who_accepts_it_under_a_tag_of_its_own() {
    let place = Place::new();
    place.depot.publish(
        1,
        &[
            ("policies/a.json", b"{ }"),
            ("policies/a.json.gz", b"gz"),
            ("policies/a.json.br", b"br"),
        ],
    );
    let server = place.start().await;
    for (accepted, body, coding) in [
        ("identity", "{ }", None),
        ("gzip", "gz", Some("gzip")),
        ("gzip, br", "br", Some("br")),
        ("zstd", "{ }", None),
        ("br;q=0, *", "gz", Some("gzip")),
    ] {
        let head = format!("GET /policies/a.json HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accepted}\r\n");
        let answer = server.ask(Flow::Http, &head).await;
        assert_eq!(
            (answer.text(), answer.field("content-encoding")),
            (body, coding),
            "{accepted}"
        );
        assert_eq!(answer.field("content-type"), Some("application/json"));
        assert_eq!(answer.field("vary"), Some("accept-encoding"));
        assert_eq!(answer.field("etag"), Some(etag(body.as_bytes()).as_str()));
    }
    let itself = server.get("/policies/a.json.gz").await;
    assert_eq!((itself.text(), itself.field("content-encoding")), ("gz", None));
}

#[tokio::test]
async fn an_update_agent_without_a_set_asks_for_patience_until_one_arrives() {
    let mut place = Place::new();
    place.config.role = Role::UpdateAgent;
    place.config.estate.mode = fwdrill_protocol::estate::Mode::Http;
    let server = place.start().await;
    let version = "GET /version HTTP/1.1\r\nHost: a\r\n";
    for answer in [
        server.get("/manifest.json").await,
        server.ask(Flow::Version, version).await,
    ] {
        assert_eq!((answer.status, answer.field("retry-after")), (503, Some("10")));
    }
    place.depot.publish(7, &[]);
    assert_eq!(server.get("/manifest.json").await.status, 200);
    assert!(
        server
            .ask(Flow::Version, version)
            .await
            .text()
            .contains("\"serial\": 7")
    );
}
