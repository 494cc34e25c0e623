//! The outbox against a server that does as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fwdrill_protocol::event::{ClientEvent, What};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::scripted::accept;

/// What the server does with a request that it has read whole.
#[derive(Clone, Copy, PartialEq)]
enum Deed {
    /// Takes the events, and says so.
    Takes,
    /// Takes them, and dies before it says so.
    TakesAndDies,
    /// Says this; the status line's end and more fields.
    Says(&'static str),
    /// Takes all but the first, and says so.
    RefusesFirst,
}

#[derive(Default)]
struct State {
    deeds: Mutex<VecDeque<Deed>>,
    /// Events of each request that was taken.
    taken: Mutex<Vec<Vec<ClientEvent>>>,
    heads: Mutex<Vec<String>>,
}

struct Server {
    to: Destination,
    state: Arc<State>,
    _task: AbortOnDropHandle<()>,
}

async fn server(deeds: impl IntoIterator<Item = Deed>) -> Server {
    let state = Arc::new(State {
        deeds: Mutex::new(deeds.into_iter().collect()),
        ..State::default()
    });
    let shared = state.clone();
    let (address, task) = accept(move |stream| {
        let state = shared.clone();
        async move {
            let _ = serve(stream, &state).await;
        }
    })
    .await;
    Server {
        to: Destination::new("127.0.0.1", vec![address]),
        state,
        _task: task,
    }
}

async fn serve(stream: TcpStream, state: &State) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        stream.read_line(&mut head).await?;
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await?;
    let events: Vec<ClientEvent> = serde_json::from_slice(&body).unwrap();
    state.heads.lock().unwrap().push(head);
    let deed = state.deeds.lock().unwrap().pop_front().unwrap_or(Deed::Takes);
    let mut answer = "200 OK\r\n".to_owned();
    let mut receipt = format!(
        r#"{{"schema":"fwdrill.receipt/1","stored":{},"known":0,"refused":[]}}"#,
        events.len()
    );
    match deed {
        Deed::Takes => state.taken.lock().unwrap().push(events),
        Deed::TakesAndDies => {
            state.taken.lock().unwrap().push(events);
            return Ok(());
        }
        Deed::Says(says) => (answer, receipt) = (says.to_owned(), "because\n".to_owned()),
        Deed::RefusesFirst => {
            state.taken.lock().unwrap().push(events[1..].to_vec());
            receipt = receipt.replace("[]", r#"[{"index":0,"why":"no"}]"#);
        }
    }
    let text = format!("HTTP/1.1 {answer}content-length: {}\r\n\r\n{receipt}", receipt.len());
    stream.write_all(text.as_bytes()).await
}

async fn outbox(directory: &tempfile::TempDir) -> Outbox {
    Outbox::open(directory.path().to_owned(), "pc-1".parse().unwrap())
        .await
        .unwrap()
}

async fn note(outbox: &Outbox, count: u64) {
    for events in 0..count {
        outbox.note(What::Dropped { events }).await;
    }
}

fn numbers(events: &[ClientEvent]) -> Vec<u64> {
    let number = |event: &ClientEvent| match event.what {
        What::Dropped { events } => events,
        _ => unreachable!(),
    };
    events.iter().map(number).collect()
}

#[tokio::test]
async fn what_was_kept_while_the_server_was_away_goes_when_it_is_back_in_order_and_then_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let away = Destination::new("127.0.0.1", vec![closed_port()]);
    note(&outbox(&directory).await, 100).await;
    // Another process of the same client.
    let outbox = outbox(&directory).await;
    let error = outbox.deliver(&away, &Limits::default()).await.unwrap_err();
    assert!(error.to_string().contains("while connecting"), "{error}");
    assert_eq!(outbox.waiting().await, 100);
    assert_eq!(
        outbox.deliver_if_due(&away, &Limits::default()).await.unwrap(),
        None,
        "a pause comes first"
    );
    let server = server([]).await;
    let delivered = outbox.deliver(&server.to, &Limits::default()).await.unwrap();
    assert_eq!(delivered, Delivered { taken: 100, refused: 0 });
    let taken = server.state.taken.lock().unwrap().concat();
    assert_eq!(numbers(&taken), (0..100).collect::<Vec<_>>());
    assert_eq!(outbox.waiting().await, 0);
    assert!(
        outbox
            .deliver_if_due(&away, &Limits::default())
            .await
            .unwrap()
            .is_some(),
        "nothing to send"
    );
}

#[tokio::test]
async fn without_a_receipt_the_same_events_are_sent_again_with_the_same_ids() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = outbox(&directory).await;
    note(&outbox, 3).await;
    let server = server([Deed::TakesAndDies]).await;
    outbox.deliver(&server.to, &Limits::default()).await.unwrap_err();
    assert_eq!(outbox.waiting().await, 3);
    outbox.deliver(&server.to, &Limits::default()).await.unwrap();
    let taken = server.state.taken.lock().unwrap().clone();
    assert_eq!(taken[0], taken[1]);
}

#[tokio::test]
async fn a_server_that_is_busy_or_does_not_know_us_is_left_alone_for_as_long_as_it_wants() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = outbox(&directory).await;
    note(&outbox, 1).await;
    let busy = Deed::Says("503 Service Unavailable\r\nretry-after: 77\r\n");
    let server = server([busy, Deed::Says("401 Unauthorized\r\n")]).await;
    let error = outbox.deliver(&server.to, &Limits::default()).await.unwrap_err();
    let DeliveryError::Post(error) = error else {
        unreachable!()
    };
    assert_eq!(error.after(), Some(Duration::from_secs(77)));
    let error = outbox.deliver(&server.to, &Limits::default()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server does not take events: 401 Unauthorized: because"
    );
    assert_eq!(outbox.waiting().await, 1);
}

#[tokio::test]
async fn an_event_that_no_server_takes_does_not_hold_up_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = outbox(&directory).await;
    note(&outbox, 3).await;
    let bad = Deed::Says("400 Bad Request\r\n");
    let server = server([bad, bad]).await;
    let delivered = outbox.deliver(&server.to, &Limits::default()).await.unwrap();
    assert_eq!(delivered, Delivered { taken: 2, refused: 1 });
    assert_eq!(numbers(&server.state.taken.lock().unwrap().concat()), [1, 2]);
    note(&outbox, 2).await;
    server.state.deeds.lock().unwrap().push_back(Deed::RefusesFirst);
    let delivered = outbox.deliver(&server.to, &Limits::default()).await.unwrap();
    assert_eq!(delivered, Delivered { taken: 1, refused: 1 });
    assert_eq!(outbox.waiting().await, 0);
}

#[tokio::test]
async fn a_destination_shows_its_token_to_the_server_and_to_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let outbox = outbox(&directory).await;
    note(&outbox, 1).await;
    let mut server = server([]).await;
    server.to.token = Some("secret-0123456789".to_owned());
    assert!(!format!("{:?}", server.to).contains("secret"));
    outbox.deliver(&server.to, &Limits::default()).await.unwrap();
    let head = &server.state.heads.lock().unwrap()[0];
    assert!(head.starts_with("POST /events HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer secret-0123456789\r\n"), "{head}");
}

fn closed_port() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}
