//! Where tasks are given, handed out, and their results come in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use fwdrill_protocol::client_name::ClientName;
use fwdrill_protocol::task::{CheckIn, MOST_DETAIL_BYTES, MOST_RESULTS, MOST_TASK_BYTES, Order, Orders};
use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::push::push;
use crate::events::EnrolmentToken;
use crate::http::{Ends, Refusal, Room};
use crate::store::{AgentRow, Store, StoreError, TaskRow, TaskState};

/// What all check-ins that are being read may take of memory, KiB.
const BODIES_KIB: usize = 16 * 1024;
/// So many agents are dialled at once, whoever gave how many tasks.
const AT_ONCE: usize = 32;
/// Who gives a task waits so long for it to be delivered; the rest goes on behind their back.
const WAITING: Duration = Duration::from_secs(4);

/// Gives tasks to clients, and knows what became of them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TaskDesk(Arc<Desk>);

#[derive(Debug)]
struct Desk {
    store: Store,
    token: EnrolmentToken,
    room: Room,
    dials: Semaphore,
}

/// A body and its signature.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) json: Vec<u8>,
    pub(crate) signature: String,
}

const NOT_STORED: Refusal = Refusal::later(
    StatusCode::SERVICE_UNAVAILABLE,
    "check-ins cannot be kept at the moment",
    Duration::from_secs(10),
);

impl TaskDesk {
    pub(crate) fn new(store: Store, token: EnrolmentToken) -> Self {
        TaskDesk(Arc::new(Desk {
            store,
            token,
            room: Room::kib(BODIES_KIB),
            dials: Semaphore::new(AT_ONCE),
        }))
    }

    /// Gives an order to one client, or to all that have ever checked in, and posts it to each. Returns the tasks as they stand
    /// after a few seconds at most: one that could not be delivered waits for its client. None: there is no such client.
    ///
    /// Must be called within a tokio runtime.
    pub async fn give(&self, order: Order, to: Option<ClientName>) -> Result<Vec<TaskRow>, StoreError> {
        let given = self.0.store.give(order, to).await?;
        info!(%order, clients = given.len(), "tasks given");
        let ids: Vec<Uuid> = given.iter().map(|(_, row)| row.task.id).collect();
        let desk = self.0.clone();
        let pushing = tokio::spawn(async move {
            let pushes = given.into_iter().map(|(agent, row)| desk.deliver(agent, row));
            futures_util::stream::iter(pushes)
                .buffer_unordered(AT_ONCE)
                .collect::<()>()
                .await;
        });
        // Whatever has not come yet goes on.
        let _ = timeout(WAITING, pushing).await;
        self.rows(ids).await
    }

    async fn rows(&self, ids: Vec<Uuid>) -> Result<Vec<TaskRow>, StoreError> {
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            rows.extend(self.0.store.task(id).await?);
        }
        Ok(rows)
    }

    /// One task as it stands; `None`: there is no such task (any more).
    pub async fn task(&self, id: Uuid) -> Result<Option<TaskRow>, StoreError> {
        self.0.store.task(id).await
    }

    /// Keeps what an agent says of itself and of its tasks, and answers with those that it has not done.
    pub(crate) async fn check_in(&self, request: Request<Incoming>, ends: Ends) -> Result<Signed, Refusal> {
        let shown = request.headers().get(AUTHORIZATION);
        if !shown.is_some_and(|shown| shown.to_str().is_ok_and(|shown| self.0.token.is_shown_by(shown))) {
            return Err(Refusal::is(
                StatusCode::UNAUTHORIZED,
                "only who has the enrolment token checks in",
            ));
        }
        let body = self.0.room.read(request.into_body(), MOST_TASK_BYTES).await?;
        let check_in = read(&body)?;
        debug!(client = %check_in.client, peer = %ends.peer, results = check_in.results.len(), "checked in");
        let tasks = self.0.store.check_in(check_in, ends.peer, ends.local).await;
        let tasks = tasks.map_err(|error| {
            warn!(error = %crate::chain(&error), "a check-in is refused");
            NOT_STORED
        })?;
        let orders = Orders {
            schema: Orders::SCHEMA.to_owned(),
            tasks: tasks.ok_or(Refusal::is(
                StatusCode::INSUFFICIENT_STORAGE,
                "the server knows too many agents already",
            ))?,
        };
        let json = serde_json::to_vec(&orders).map_err(|_| NOT_STORED)?;
        Ok(Signed {
            signature: self.0.token.sign(&json),
            json,
        })
    }
}

impl Desk {
    async fn deliver(self: &Arc<Self>, agent: AgentRow, row: TaskRow) {
        let Ok(_seat) = self.dials.acquire().await else { return };
        let (id, client) = (row.task.id, row.task.client.clone());
        let pushed = push(&self.token, &agent, &row.task).await;
        debug!(%client, %id, order = %row.task.order, ?pushed, "a task was posted");
        let kept = match pushed {
            Ok((_, Some(result))) => self.store.finished(client, result).await,
            Ok((to, None)) => {
                self.store
                    .pushed(id, TaskState::Delivered, format!("posted to {to}"))
                    .await
            }
            Err(why) => self.store.pushed(id, TaskState::Waiting, why).await,
        };
        if let Err(error) = kept {
            warn!(error = %crate::chain(&error), "what became of a task is not kept");
        }
    }
}

fn read(body: &[u8]) -> Result<CheckIn, Refusal> {
    let no_check_in = Refusal::is(StatusCode::BAD_REQUEST, "the body is no check-in (fwdrill.check-in/1)");
    let mut check_in: CheckIn = serde_json::from_slice(body).map_err(|_| no_check_in)?;
    if check_in.schema != CheckIn::SCHEMA || check_in.results.len() > MOST_RESULTS || check_in.task_port == Some(0) {
        return Err(no_check_in);
    }
    // Of several results of one task the last counts.
    let results: BTreeMap<Uuid, _> = check_in.results.drain(..).map(|result| (result.id, result)).collect();
    check_in.results = results.into_values().collect();
    for result in &mut check_in.results {
        let end = result.detail.floor_char_boundary(MOST_DETAIL_BYTES);
        result.detail.truncate(end);
    }
    Ok(check_in)
}
