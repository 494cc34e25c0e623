use std::time::Duration;

use fwdrill_protocol::report::Outcome;

use super::*;
use crate::scripted::{HttpFaults, HttpServer, noise, says, tree};
use crate::tls::{TlsError, Trust};

const SHORT: Duration = Duration::from_millis(200);

fn request(path: &str) -> Request {
    Request::new("host.example:2221", path)
}

async fn body(mut response: Response) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    assert_eq!(response.received(), bytes.len() as u64);
    Ok(bytes)
}

#[tokio::test]
async fn a_file_comes_whole_and_the_request_says_what_it_should() {
    let content = noise(300_000);
    let server = HttpServer::start(tree([("/f", &content[..])]), HttpFaults::default()).await;
    let asked = request("/f").header("x-fwdrill-drill", "00ff");
    let response = get(server.address, &asked, &Limits::default()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.content_length(), Some(300_000));
    assert_eq!(body(response).await.unwrap(), content);
    let [seen] = &server.requests()[..] else {
        panic!("one request");
    };
    assert_eq!(seen.path, "/f");
    assert_eq!(seen.header("host"), Some("host.example:2221"));
    assert_eq!(seen.header("x-fwdrill-drill"), Some("00ff"));
    assert_eq!(seen.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_range_is_passed_on_and_its_answer_shown() {
    let server = HttpServer::start(tree([("/f", &b"0123456789"[..])]), HttpFaults::default()).await;
    let asked = request("/f").header("range", "bytes=7-");
    let response = get(server.address, &asked, &Limits::default()).await.unwrap();
    assert_eq!(response.status(), 206);
    assert_eq!(response.header("content-range"), Some("bytes 7-9/10"));
    assert_eq!(body(response).await.unwrap(), b"789");
}

#[tokio::test]
async fn a_status_is_no_error_until_the_caller_says_so() {
    let server = HttpServer::start(tree([]), HttpFaults::default()).await;
    let response = get(server.address, &request("/x"), &Limits::default()).await.unwrap();
    let error = response.unexpected();
    assert_eq!(
        error.to_string(),
        format!("{} answers GET /x with 404 Not Found", server.address)
    );
    assert_eq!(body(response).await.unwrap(), b"");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let faults = HttpFaults {
        answers: vec![(
            "/f",
            "HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\n\r\n",
        )],
        ..HttpFaults::default()
    };
    let server = HttpServer::start(tree([("/login", &b"pay"[..])]), faults).await;
    let response = get(server.address, &request("/f"), &Limits::default()).await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_short_body_is_an_error_and_says_how_far_it_came() {
    for (reset, outcome) in [(false, "Closed"), (true, "Reset")] {
        let faults = HttpFaults {
            cuts: [1_000].into(),
            cuts_reset: reset,
            ..HttpFaults::default()
        };
        let server = HttpServer::start(tree([("/f", &noise(5_000)[..])]), faults).await;
        let response = get(server.address, &request("/f"), &Limits::default()).await.unwrap();
        let error = body(response).await.unwrap_err();
        assert!(
            error.to_string().contains("receiving /f after") && error.to_string().contains("of 5000 bytes"),
            "{error}"
        );
        let source = format!("{:?}", error.connection().unwrap());
        assert!(source.starts_with(outcome), "{source}");
        assert_eq!(error.connection().unwrap().outcome(), Outcome::Reset);
    }
}

#[tokio::test]
async fn a_body_that_stops_is_stalled_and_a_server_that_never_answers_is_silent() {
    let server = HttpServer::start(tree([("/f", &b"x"[..])]), HttpFaults::default()).await;
    server.set_faults(HttpFaults {
        body_silent: true,
        ..HttpFaults::default()
    });
    let response = get(server.address, &request("/f"), &Limits::all(SHORT)).await.unwrap();
    let error = body(response).await.unwrap_err();
    assert!(matches!(error.connection(), Some(ConnectionError::Stalled(limit)) if *limit == SHORT));
    server.set_faults(HttpFaults {
        silent: true,
        ..HttpFaults::default()
    });
    let error = get(server.address, &request("/f"), &Limits::all(SHORT))
        .await
        .unwrap_err();
    assert!(matches!(error.connection(), Some(ConnectionError::Silent(limit)) if *limit == SHORT));
    assert!(
        error.to_string().ends_with("while waiting for the response to GET /f"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_not_http_is_shown() {
    for (bytes, closes, shown) in [
        (
            &b"220 ftp.example.net FTP server ready\r\n"[..],
            false,
            "220 ftp.example.net FTP server ready",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", true, "SSH-2.0-OpenSSH_9.2"),
        (b"\x15\x03\x01\x00\x02\x02\x46", true, "\u{15}\u{3}\u{1}\0\u{2}\u{2}F"),
    ] {
        let (address, _server) = says(bytes, closes).await;
        let error = get(address, &request("/f"), &Limits::all(SHORT)).await.unwrap_err();
        assert!(
            matches!(&error, HttpError::NotHttp { first, .. } if first == shown),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_connection_closed_before_the_answer_is_closed() {
    let (address, _server) = says(b"", true).await;
    let error = get(address, &request("/f"), &Limits::default()).await.unwrap_err();
    // Which of the two depends on whether the request was on its way when the server closed.
    assert_eq!(error.connection().unwrap().outcome(), Outcome::Reset, "{error:?}");
}

#[tokio::test]
async fn an_endless_head_or_broken_chunks_are_malformed_http() {
    let endless = Box::leak(format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(1 << 20)).into_boxed_str());
    let (address, _server) = says(endless.as_bytes(), false).await;
    let error = get(address, &request("/f"), &Limits::default()).await.unwrap_err();
    assert!(matches!(error, HttpError::Malformed { .. }), "{error:?}");

    let (address, _server) = says(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", false).await;
    let response = get(address, &request("/f"), &Limits::default()).await.unwrap();
    let error = body(response).await.unwrap_err();
    assert!(matches!(error, HttpError::Malformed { .. }), "{error:?}");
}

#[tokio::test]
async fn a_body_longer_than_wanted_is_refused() {
    let server = HttpServer::start(tree([("/f", &noise(5_000)[..])]), HttpFaults::default()).await;
    let response = get(server.address, &request("/f"), &Limits::default()).await.unwrap();
    assert!(matches!(
        response.bytes(4_999).await,
        Err(HttpError::TooLong { limit: 4_999, .. })
    ));
    let response = get(server.address, &request("/f"), &Limits::default()).await.unwrap();
    assert_eq!(response.bytes(5_000).await.unwrap().len(), 5_000);
}

#[tokio::test]
async fn a_path_or_header_with_a_line_break_is_refused_before_anything_is_sent() {
    for asked in [request("/a b\r\nx: y"), request("/f").header("x", "y\r\nz: 1")] {
        let (address, _server) = says(b"", false).await;
        let error = get(address, &asked, &Limits::all(SHORT)).await.unwrap_err();
        assert!(matches!(error, HttpError::Request { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn who_does_not_speak_tls_is_told_apart_from_who_says_nothing() {
    let asked = request("/f").secured(Some(Trust::Any));
    let (address, _server) = says(b"HTTP/1.1 400 Bad Request\r\n\r\n", true).await;
    let error = get(address, &asked, &Limits::default()).await.unwrap_err();
    let not_tls = matches!(&error, HttpError::Tls { source, .. } if matches!(**source, TlsError::NotTls));
    assert!(not_tls, "{error:?}");
    let (address, _server) = says(b"", false).await;
    let error = get(address, &asked, &Limits::all(SHORT)).await.unwrap_err();
    assert!(error.to_string().ends_with("while shaking hands for TLS"), "{error}");
    assert!(matches!(error.connection(), Some(ConnectionError::Silent(limit)) if *limit == SHORT));
    let (address, _server) = says(b"", true).await;
    let error = get(address, &asked, &Limits::default()).await.unwrap_err();
    assert_eq!(error.connection().unwrap().outcome(), Outcome::Reset, "{error:?}");
}

#[test]
fn the_host_of_a_request_is_named_without_its_port() {
    for (host, name) in [
        ("a.example:2221", "a.example"),
        ("192.0.2.1:1", "192.0.2.1"),
        ("[::1]:2221", "::1"),
        ("a", "a"),
    ] {
        assert_eq!(Request::new(host, "/").host(), name);
    }
}
