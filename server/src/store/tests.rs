use fwdrill_protocol::estate::Mode;
use fwdrill_protocol::event::{ClientEvent, What};
use jiff::SignedDuration;

use super::*;

fn event(client: &str, what: What) -> ClientEvent {
    ClientEvent::now(client.parse().unwrap(), what)
}

fn started(client: &str) -> ClientEvent {
    event(
        client,
        What::Started {
            program: "0.1.0".to_owned(),
            role: "agent".to_owned(),
        },
    )
}

fn synced(client: &str, serial: u64) -> ClientEvent {
    event(
        client,
        What::SyncDone {
            version: format!("1.{serial}"),
            serial,
            before: None,
            mode: Mode::Ftp,
            received: 1,
            elapsed_ms: 1,
        },
    )
}

fn incoming(event: &ClientEvent, enrolled: bool) -> Incoming {
    Incoming {
        json: serde_json::to_string(event).unwrap(),
        event: event.clone(),
        peer: ([127, 0, 0, 1], 4000).into(),
        enrolled,
    }
}

async fn put(store: &Store, events: &[ClientEvent]) -> Tally {
    let events = events.iter().map(|event| incoming(event, true)).collect();
    store.append(events).await.unwrap()
}

fn open(state: &tempfile::TempDir, limits: Limits) -> Store {
    Store::open(state.path(), limits).unwrap()
}

#[tokio::test]
async fn an_event_that_comes_again_is_stored_once_also_when_the_server_was_restarted_between() {
    let state = tempfile::tempdir().unwrap();
    let (first, second) = (started("a"), started("a"));
    let store = open(&state, Limits::default());
    let tally = put(&store, &[first.clone(), second.clone(), first.clone()]).await;
    assert_eq!((tally.stored, tally.known), (2, 1));
    store.close().await;
    let store = open(&state, Limits::default());
    let tally = put(&store, std::slice::from_ref(&second)).await;
    assert_eq!((tally.stored, tally.known), (0, 1));
    let kept = store.events(None, None, 10).await.unwrap();
    let kept: Vec<_> = kept.into_iter().map(|stored| stored.event).collect();
    assert_eq!(kept, [second, first]);
}

#[tokio::test]
async fn an_event_that_was_forgotten_is_known_none_the_less() {
    let state = tempfile::tempdir().unwrap();
    let limits = Limits {
        per_client: 2,
        ..Limits::default()
    };
    let store = open(&state, limits);
    let events: Vec<_> = (0..3).map(|_| started("a")).collect();
    put(&store, &events).await;
    put(&store, &[started("b")]).await;
    assert_eq!(store.count().await.unwrap(), 3);
    assert_eq!(put(&store, &events[..1]).await.known, 1);
    let of_a = store.events(Some("a"), None, 10).await.unwrap();
    assert_eq!(of_a[1].event, events[1]);
    let older = store.events(Some("a"), Some(of_a[0].seq), 10).await.unwrap();
    assert_eq!(older, of_a[1..]);
}

#[tokio::test]
async fn one_client_more_than_there_is_room_for_is_refused_and_those_known_are_not() {
    let state = tempfile::tempdir().unwrap();
    let limits = Limits {
        clients: 1,
        ..Limits::default()
    };
    let store = open(&state, limits);
    let (ours, theirs) = (started("a"), started("b"));
    let tally = put(&store, &[ours, theirs.clone()]).await;
    assert_eq!((tally.stored, tally.refused), (1, vec![theirs.id]));
    assert_eq!(put(&store, &[started("a")]).await.stored, 1);
}

#[tokio::test]
async fn a_client_is_what_its_newest_events_say_whatever_the_order_they_come_in() {
    let state = tempfile::tempdir().unwrap();
    let store = open(&state, Limits::default());
    let mut late = event(
        "a",
        What::SyncFailed {
            concern: "network".to_owned(),
            error: "refused".to_owned(),
            elapsed_ms: 1,
        },
    );
    late.at -= SignedDuration::from_secs(60);
    put(&store, &[started("a"), synced("a", 7)]).await;
    put(&store, &[late]).await;
    let row = store.client("a").await.unwrap().unwrap();
    assert_eq!((row.program.as_deref(), row.serial), (Some("0.1.0"), Some(7)));
    assert_eq!((row.last_sync.unwrap().error, row.enrolled), (None, true));
    assert_eq!(store.client("b").await.unwrap(), None);
}

#[tokio::test]
async fn who_has_no_token_says_nothing_of_a_client_that_has_and_cannot_push_out_its_events() {
    let state = tempfile::tempdir().unwrap();
    let limits = Limits {
        not_enrolled: 2,
        ..Limits::default()
    };
    let store = open(&state, limits);
    put(&store, &[synced("a", 1)]).await;
    let strangers: Vec<_> = (0..5).map(|_| incoming(&synced("a", 99), false)).collect();
    store.append(strangers).await.unwrap();
    let row = &store.clients().await.unwrap()[0];
    assert_eq!((row.serial, row.enrolled), (Some(1), true));
    let kept = store.events(None, None, 10).await.unwrap();
    let enrolled: Vec<bool> = kept.iter().map(|stored| stored.enrolled).collect();
    assert_eq!(enrolled, [false, false, true]);
}

#[tokio::test]
async fn who_subscribes_hears_of_each_event_once_it_is_stored() {
    let state = tempfile::tempdir().unwrap();
    let store = open(&state, Limits::default());
    let mut live = store.subscribe();
    let event = started("a");
    put(&store, &[event.clone(), event.clone()]).await;
    put(&store, &[started("b")]).await;
    assert_eq!(live.recv().await.unwrap().event, event);
    assert_eq!(live.recv().await.unwrap().event.client.as_str(), "b");
}

#[tokio::test]
async fn what_is_no_database_or_one_of_a_later_version_is_named_and_left_alone() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join(FILE);
    std::fs::write(&file, [b'x'; 4096]).unwrap();
    let error = Store::open(state.path(), Limits::default()).unwrap_err();
    assert!(error.to_string().contains(FILE), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), [b'x'; 4096]);
    std::fs::remove_file(&file).unwrap();
    Connection::open(&file)
        .unwrap()
        .pragma_update(None, "user_version", 9)
        .unwrap();
    let error = Store::open(state.path(), Limits::default()).unwrap_err();
    assert!(matches!(error, StoreError::Version { found: 9, .. }), "{error}");
}

#[tokio::test]
async fn a_database_of_the_version_before_keeps_its_events_and_learns_of_tasks() {
    let state = tempfile::tempdir().unwrap();
    let store = open(&state, Limits::default());
    put(&store, &[started("a")]).await;
    store.close().await;
    let version_1 = "DROP TABLE agent; DROP TABLE task; PRAGMA user_version = 1;";
    Connection::open(state.path().join(FILE))
        .unwrap()
        .execute_batch(version_1)
        .unwrap();
    let store = open(&state, Limits::default());
    assert_eq!(store.count().await.unwrap(), 1);
    assert_eq!(
        (store.agents().await.unwrap(), store.tasks(1).await.unwrap()),
        (vec![], vec![])
    );
}

#[tokio::test]
async fn a_closed_store_takes_nothing_and_can_be_read() {
    let state = tempfile::tempdir().unwrap();
    let store = open(&state, Limits::default());
    put(&store, &[started("a")]).await;
    store.close().await;
    let error = store.append(vec![incoming(&started("a"), true)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Closed), "{error}");
    assert_eq!(store.count().await.unwrap(), 1);
}
