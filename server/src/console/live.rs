//! What happens now: a page whose parts are sent again when they change.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use maud::{Markup, html};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::sessions::SignedIn;
use super::{Console, heat, map, matrix, page, transfers};
use crate::journal::Snapshot;

/// Changes that come faster are sent together.
const PACE: Duration = Duration::from_millis(500);
/// How often running transfers are looked at.
const WHILE_BYTES_MOVE: Duration = Duration::from_secs(1);
/// How often it is looked after the session, and after what changes without a sighting (the update set).
const WHILE_NOTHING_MOVES: Duration = Duration::from_secs(5);

/// A part of the page: its id, its heading, what it says.
struct Part {
    id: &'static str,
    title: &'static str,
    content: Markup,
}

/// The page as it is now. The rest comes by [`events`].
pub(super) async fn page(State(console): State<Arc<Console>>, session: SignedIn) -> Markup {
    let parts = parts(&console, &console.journal.census().snapshot()).await;
    let content = html! {
        h1 { "Live" }
        p #live-status .status .faint role="status" { "As of the loading of this page." }
        div data-live="/live" {
            @for Part { id, title, content } in &parts {
                section aria-labelledby={ (id) "-title" } {
                    h2 id={ (id) "-title" } { (title) }
                    div id=(id) { (content) }
                }
            }
        }
    };
    page::inside("Live", "/", &session, &content)
}

/// Server-sent events (WHATWG HTML section 9.2): `part` with the id and the HTML of a part that changed; `end` when the session
/// is over.
pub(super) async fn events(
    State(console): State<Arc<Console>>,
    session: SignedIn,
    Extension(stopping): Extension<CancellationToken>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let viewer = Viewer {
        changes: console.journal.census().changes(),
        console,
        session,
        stopping,
        shown: HashMap::new(),
        queued: VecDeque::new(),
        first: true,
        over: false,
    };
    let events = unfold(viewer, |mut viewer| async move {
        let event = viewer.next().await?;
        Some((Ok(event), viewer))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

/// One browser that looks on.
struct Viewer {
    console: Arc<Console>,
    session: SignedIn,
    stopping: CancellationToken,
    changes: watch::Receiver<u64>,
    shown: HashMap<&'static str, String>,
    queued: VecDeque<Event>,
    first: bool,
    over: bool,
}

impl Viewer {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.queued.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            if !std::mem::take(&mut self.first) {
                self.wait().await?;
            }
            if self.console.sessions.is_open(&self.session) {
                self.look().await;
            } else {
                self.over = true;
                return Some(Event::default().event("end").data(""));
            }
        }
    }

    /// Until there may be news; `None` when the server stops.
    async fn wait(&mut self) -> Option<()> {
        let most = if self.console.journal.census().is_moving() {
            WHILE_BYTES_MOVE
        } else {
            WHILE_NOTHING_MOVES
        };
        let stopping = self.stopping.clone();
        let news = async {
            // The sender lives as long as the journal, which the console holds.
            let _ = tokio::time::timeout(most, self.changes.changed()).await;
            tokio::time::sleep(PACE).await;
        };
        stopping.run_until_cancelled(news).await
    }

    async fn look(&mut self) {
        self.changes.mark_unchanged();
        let now = self.console.journal.census().snapshot();
        for Part { id, content, .. } in parts(&self.console, &now).await {
            let html = content.into_string();
            if self.shown.get(id) != Some(&html) {
                let data = json!({ "id": id, "html": html }).to_string();
                self.queued.push_back(Event::default().event("part").data(data));
                self.shown.insert(id, html);
            }
        }
    }
}

async fn parts(console: &Console, now: &Snapshot) -> [Part; 5] {
    [
        Part {
            id: "state",
            title: "The server",
            content: state(console, now).await,
        },
        Part {
            id: "matrix",
            title: "Ports: expected and seen",
            content: matrix::render(&console.estate, now),
        },
        Part {
            id: "map",
            title: "Who reaches which port",
            content: map::render(&console.estate, now),
        },
        Part {
            id: "heat",
            title: "The passive range",
            content: heat::render(&console.estate, now),
        },
        Part {
            id: "transfers",
            title: "Transfers",
            content: transfers::render(now),
        },
    ]
}

async fn state(console: &Console, now: &Snapshot) -> Markup {
    let set = console.shelf.current().await;
    html! {
        dl.facts {
            div { dt { "Version" } dd { @match &set {
                Some(set) => { (set.manifest().version()) " (serial " (set.serial()) ")" }
                None => "no update set yet",
            } } }
            div { dt { "Addresses seen" } dd { (now.peers.len()) } }
            div { dt { "Transfers in progress" } dd { (now.running.len()) } }
            div { dt { "Turned away, no passive port free" } dd {
                @if now.totals.exhausted > 0 { span.bad { (now.totals.exhausted) } } @else { "0" }
            } }
        }
    }
}
