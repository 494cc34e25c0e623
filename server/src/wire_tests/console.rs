//! The console as a browser and as programs meet it, over TLS.

use rustls::version::TLS13;
use serde_json::Value;
use tokio_rustls::client::TlsStream;

use super::tls::{secure, talk};
use super::*;

const ORIGIN: &str = "Origin: https://console.example.net\r\n";

/// A server with a set, and who talks to its console.
struct Console {
    place: Place,
    server: Running,
}

impl Console {
    async fn start() -> Self {
        Console::of(Place::new()).await
    }

    async fn of(mut place: Place) -> Self {
        place.depot.publish(1, &[("signatures/a", b"one")]);
        place.config.estate.ftp.limits.failure_delay = Duration::from_millis(1);
        let server = place.start().await;
        Console { place, server }
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.server.address(Flow::Console)).await.unwrap();
        secure(&self.place, stream, &TLS13).await
    }

    /// Request line and header fields, less Host and what ends the connection.
    async fn ask(&self, head: &str, body: &str) -> Answer {
        let mut stream = self.connect().await;
        let length = body.len();
        let request = format!(
            "{head}\r\nHost: console.example.net\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let said = talk(&mut stream, &request).await;
        let end = said.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
        let mut answer = Answer::parse(std::str::from_utf8(&said[..end]).unwrap());
        answer.body = said[end..].to_vec();
        answer
    }

    async fn get(&self, path: &str, fields: &str) -> Answer {
        self.ask(format!("GET {path} HTTP/1.1\r\n{fields}").trim_end(), "")
            .await
    }

    async fn post(&self, path: &str, fields: &str, body: &str) -> Answer {
        let form = "Content-Type: application/x-www-form-urlencoded";
        self.ask(&format!("POST {path} HTTP/1.1\r\n{fields}{form}"), body).await
    }

    async fn try_password(&self, password: &str) -> Answer {
        self.post("/sign-in", ORIGIN, &format!("password={password}")).await
    }

    /// The cookie field of a new session.
    async fn sign_in(&self) -> String {
        let answer = self
            .try_password(self.server.console_password.as_deref().unwrap())
            .await;
        assert_eq!((answer.status, answer.field("location")), (303, Some("/")));
        let cookie = answer.field("set-cookie").unwrap();
        assert!(
            cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"),
            "{cookie}"
        );
        format!("Cookie: {}\r\n", cookie.split(';').next().unwrap())
    }

    /// The token in a page's forms.
    async fn csrf(&self, cookie: &str) -> String {
        let page = self.get("/updates", cookie).await;
        let (_, rest) = page.text().split_once("name=\"csrf\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    fn token(&self) -> String {
        let token = std::fs::read_to_string(self.place.state.path().join("console/token")).unwrap();
        format!("Authorization: Bearer {}\r\n", token.trim())
    }
}

#[tokio::test]
async fn whoever_is_not_signed_in_is_led_to_the_sign_in() {
    let console = Console::start().await;
    for path in ["/", "/live", "/updates", "/clients", "/reports", "/reports/1", "/tasks"] {
        let answer = console.get(path, "").await;
        assert_eq!(
            (answer.status, answer.field("location")),
            (303, Some("/sign-in")),
            "{path}"
        );
        let forged = console.get(path, "Cookie: __Host-fwdrill=0000\r\n").await;
        assert_eq!(forged.status, 303);
    }
    let page = console.get("/sign-in", "").await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("type=\"password\""), "{}", page.text());
}

#[tokio::test]
async fn every_answer_binds_the_browser() {
    let console = Console::start().await;
    let cookie = console.sign_in().await;
    for path in ["/", "/sign-in", "/console.css", "/console.js", "/nothing", "/api/state"] {
        let answer = console.get(path, &cookie).await;
        let policy = answer.field("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
            "{path}: {policy}"
        );
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.field("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.field("referrer-policy"), Some("no-referrer"), "{path}");
        assert!(answer.field("cache-control").is_some(), "{path}");
        // What the policy forbids would not work, so there must be none of it.
        let text = answer.text();
        assert!(!text.contains(" style=") && !text.contains(" onclick="), "{path}");
        assert!(
            !text.contains("http://") || path == "/nothing" || !path.ends_with('/'),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_password_opens_a_session_and_signing_out_ends_it() {
    let console = Console::start().await;
    let cookie = console.sign_in().await;
    assert_eq!(console.get("/", &cookie).await.status, 200);
    let csrf = console.csrf(&cookie).await;
    let without = console
        .post("/sign-out", &format!("{cookie}{ORIGIN}"), "csrf=guessed")
        .await;
    assert_eq!(without.status, 403);
    assert_eq!(console.get("/", &cookie).await.status, 200);
    let out = console
        .post("/sign-out", &format!("{cookie}{ORIGIN}"), &format!("csrf={csrf}"))
        .await;
    assert_eq!(out.field("location"), Some("/sign-in"));
    assert!(out.field("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(console.get("/", &cookie).await.status, 303, "the session is over");
}

#[tokio::test]
async fn wrong_passwords_are_refused_and_too_many_of_them_lock_the_address_out() {
    let mut place = Place::new();
    place.config.estate.ftp.limits.login_failures = 3;
    let console = Console::of(place).await;
    for _ in 0..3 {
        let answer = console.try_password("wrong").await;
        assert_eq!(answer.status, 401);
        assert!(answer.field("set-cookie").is_none() && answer.text().contains("not the password"));
    }
    let right = console.server.console_password.clone().unwrap();
    let answer = console.try_password(&right).await;
    assert_eq!((answer.status, answer.field("retry-after")), (429, Some("60")));
    assert!(answer.field("set-cookie").is_none());
}

#[tokio::test]
async fn forms_of_other_sites_are_turned_away() {
    let console = Console::start().await;
    let password = format!("password={}", console.server.console_password.as_deref().unwrap());
    for elsewhere in [
        "Origin: https://evil.example.org\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Origin: null\r\n",
    ] {
        let answer = console.post("/sign-in", elsewhere, &password).await;
        assert_eq!(answer.status, 403, "{elsewhere}");
    }
    for here in [ORIGIN, "Sec-Fetch-Site: same-origin\r\n", ""] {
        assert_eq!(console.post("/sign-in", here, &password).await.status, 303, "{here}");
    }
}

#[tokio::test]
async fn a_set_is_published_by_a_form_of_the_session_only() {
    let console = Console::start().await;
    let cookie = console.sign_in().await;
    let fields = format!("{cookie}{ORIGIN}");
    assert_eq!(console.post("/updates", &fields, "csrf=x&version=9").await.status, 403);
    let csrf = console.csrf(&cookie).await;
    // The depot of this test is signed with a key that the state directory does not have.
    let answer = console
        .post("/updates", &fields, &format!("csrf={csrf}&version=9"))
        .await;
    assert_eq!(answer.status, 422);
    assert!(answer.text().contains("Nothing was published"), "{}", answer.text());
}

#[tokio::test]
async fn a_task_is_given_by_a_form_of_the_session_or_by_the_token_only() {
    let console = Console::start().await;
    let cookie = console.sign_in().await;
    let fields = format!("{cookie}{ORIGIN}");
    let csrf = console.csrf(&cookie).await;
    let give = async |form: &str| console.post("/tasks", &fields, form).await;
    assert_eq!(give("csrf=x&task=sync").await.status, 403);
    for (form, status, words) in [
        ("task=sync", 404, "no such agent"),
        ("task=sync&client=pc-1", 404, "no such agent"),
        ("task=reboot", 422, "is no task"),
        ("task=sync&client=..", 422, "is not a client name"),
    ] {
        let answer = give(&format!("csrf={csrf}&{form}")).await;
        assert_eq!(answer.status, status, "{form}");
        assert!(answer.text().contains(words), "{form}: {}", answer.text());
    }
    let json = "Content-Type: application/json\r\n";
    let ask = async |fields: &str, body: &str| {
        let head = format!("POST /api/tasks HTTP/1.1\r\n{fields}{json}");
        console.ask(head.trim_end(), body).await.status
    };
    assert_eq!(ask(&fields, r#"{"task":"sync"}"#).await, 401);
    assert_eq!(ask(&console.token(), r#"{"task":"sync"}"#).await, 404);
    assert_eq!(ask(&console.token(), r#"{"task":"reboot"}"#).await, 422);
    let tasks = console.server.tasks.as_ref().unwrap();
    assert!(
        tasks
            .give(fwdrill_protocol::task::Order::Sync, None)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn programs_need_the_token_and_get_what_the_document_says() {
    let console = Console::start().await;
    let document: Value = serde_json::from_str(include_str!("../console/openapi.json")).unwrap();
    let token = console.token();
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in paths {
        if methods.get("get").is_some() && !path.contains('{') {
            assert_eq!(console.get(path, "").await.status, 401, "{path}");
            assert_eq!(
                console.get(path, "Authorization: Bearer 00\r\n").await.status,
                401,
                "{path}"
            );
            let answer = console.get(path, &token).await;
            assert_eq!(
                (answer.status, answer.field("content-type")),
                (200, Some("application/json")),
                "{path}"
            );
            serde_json::from_slice::<Value>(&answer.body).unwrap();
        }
    }
    assert_eq!(console.get("/api/reports/1", &token).await.status, 404);
    // A browser may look, and change nothing that way.
    let cookie = console.sign_in().await;
    assert_eq!(console.get("/api/peers", &cookie).await.status, 200);
    let publish = console.post("/api/publish", &format!("{cookie}{ORIGIN}"), "{}").await;
    assert_eq!(publish.status, 401);
    let metrics = console.get("/metrics", &token).await;
    assert!(
        metrics
            .text()
            .contains("fwdrill_connections_accepted_total{flow=\"console\"}"),
        "{}",
        metrics.text()
    );
    let routes: Vec<&str> = include_str!("../console/api.rs")
        .split(".route(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert_eq!(routes.len(), paths.len());
    assert!(routes.iter().all(|route| paths.contains_key(*route)), "{routes:?}");
}

#[tokio::test]
async fn whoever_looks_on_sees_a_client_come_and_does_not_hold_up_the_end() {
    let console = Console::start().await;
    let cookie = console.sign_in().await;
    let mut stream = console.connect().await;
    let request = format!("GET /live HTTP/1.1\r\nHost: console.example.net\r\n{cookie}\r\n");
    in_time(stream.write_all(request.as_bytes())).await.unwrap();
    let mut said = Vec::new();
    until(&mut stream, &mut said, "event: part").await;
    assert!(!text(&said).contains(" once</span>"));
    let version = console
        .server
        .ask(Flow::Version, "GET /version HTTP/1.1\r\nHost: a\r\n")
        .await;
    assert_eq!(version.status, 200);
    said.clear();
    until(&mut stream, &mut said, " once</span>").await;
    assert_eq!(console.server.stop().await, 0, "nobody had to be cut");
    in_time(stream.read_to_end(&mut said)).await.unwrap();
}

#[tokio::test]
async fn a_session_that_ends_ends_what_it_looks_at() {
    let console = Console::start().await;
    let cookie = console.sign_in().await;
    let csrf = console.csrf(&cookie).await;
    let mut stream = console.connect().await;
    let request = format!("GET /live HTTP/1.1\r\nHost: console.example.net\r\n{cookie}\r\n");
    in_time(stream.write_all(request.as_bytes())).await.unwrap();
    console
        .post("/sign-out", &format!("{cookie}{ORIGIN}"), &format!("csrf={csrf}"))
        .await;
    until(&mut stream, &mut Vec::new(), "event: end").await;
}

/// Reads until this has been said.
async fn until(stream: &mut TlsStream<TcpStream>, said: &mut Vec<u8>, words: &str) {
    while !text(said).contains(words) {
        let mut piece = [0; 16 * 1024];
        let read = in_time(stream.read(&mut piece)).await.unwrap();
        assert!(read > 0, "it ended: {}", text(said));
        said.extend_from_slice(&piece[..read]);
    }
}

fn text(said: &[u8]) -> String {
    String::from_utf8_lossy(said).into_owned()
}
