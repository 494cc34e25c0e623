//! The same for programs: JSON under `/api`, described by `/api/openapi.json`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use fwdrill_protocol::client_name::ClientName;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::task::Order;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Console;
use super::matrix::vantage;
use super::tasks::{give_to, known};
use super::updates::publish_next;
use crate::store::{AgentRow, ClientRow, LastSync, ReportRow, StoreError, TaskRow};

/// What programs may ask; the document in `openapi.json` describes the same, and a test compares them.
pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/api/openapi.json", get(document))
        .route("/api/state", get(state))
        .route("/api/peers", get(peers))
        .route("/api/passive-range", get(passive_range))
        .route("/api/transfers", get(transfers))
        .route("/api/clients", get(clients))
        .route("/api/reports", get(reports))
        .route("/api/reports/{seq}", get(report))
        .route("/api/agents", get(agents))
        .route("/api/tasks", get(tasks).post(give))
        .route("/api/publish", post(publish))
}

/// The OpenAPI document.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

#[derive(Serialize)]
struct Summary {
    version: Option<String>,
    serial: Option<u64>,
    addresses_seen: usize,
    transfers_running: usize,
    passive_range_exhausted: u64,
    accepted: BTreeMap<Flow, u64>,
}

async fn state(State(console): State<Arc<Console>>) -> Json<Summary> {
    let now = console.journal.census().snapshot();
    let set = console.shelf.current().await;
    Json(Summary {
        version: set.as_ref().map(|set| set.manifest().version().to_owned()),
        serial: set.map(|set| set.serial()),
        addresses_seen: now.peers.len(),
        transfers_running: now.running.len(),
        passive_range_exhausted: now.totals.exhausted,
        accepted: now.totals.accepted,
    })
}

#[derive(Serialize)]
struct Peer {
    address: IpAddr,
    first: Timestamp,
    last: Timestamp,
    ttl: Option<u8>,
    flows: BTreeMap<Flow, Cell>,
}

/// Expected against seen.
#[derive(Serialize)]
struct Cell {
    expected: Expected,
    seen: u64,
    last: Option<Timestamp>,
}

async fn peers(State(console): State<Arc<Console>>) -> Json<Vec<Peer>> {
    let now = console.journal.census().snapshot();
    let peers = now.peers.into_iter().map(|(address, peer)| {
        let cell = |flow: Flow| Cell {
            expected: console.estate.expected(vantage(address), flow),
            seen: peer.flows.get(&flow).map_or(0, |visits| visits.count),
            last: peer.flows.get(&flow).map(|visits| visits.last),
        };
        Peer {
            address,
            first: peer.first,
            last: peer.last,
            ttl: peer.ttl,
            flows: console.estate.flows().map(|flow| (flow, cell(flow))).collect(),
        }
    });
    Json(peers.collect())
}

#[derive(Serialize)]
struct Range {
    handed_out: PortSet,
    ports: BTreeMap<u16, Port>,
}

#[derive(Serialize)]
struct Port {
    handed_out: u64,
    connected: u64,
}

async fn passive_range(State(console): State<Arc<Console>>) -> Json<Range> {
    let now = console.journal.census().snapshot();
    let ports = now.ports.into_iter().map(|(port, used)| {
        let (handed_out, connected) = (used.handed_out, used.connected);
        (port, Port { handed_out, connected })
    });
    Json(Range {
        handed_out: console.estate.handed_out_ports(),
        ports: ports.collect(),
    })
}

#[derive(Serialize)]
struct Transfers {
    running: Vec<Running>,
    finished: Vec<Finished>,
}

#[derive(Serialize)]
struct Running {
    since: Timestamp,
    peer: SocketAddr,
    port: u16,
    path: String,
    bytes: u64,
}

#[derive(Serialize)]
struct Finished {
    at: Timestamp,
    flow: Flow,
    peer: SocketAddr,
    path: String,
    bytes: u64,
    complete: bool,
}

async fn transfers(State(console): State<Arc<Console>>) -> Json<Transfers> {
    let now = console.journal.census().snapshot();
    let running = now.running.into_iter().map(|running| Running {
        since: running.since,
        peer: running.peer,
        port: running.local.port(),
        bytes: running.bytes(),
        path: running.path,
    });
    let finished = now.finished.into_iter().map(|finished| Finished {
        at: finished.at,
        flow: finished.flow,
        peer: finished.peer,
        path: finished.path,
        bytes: finished.bytes,
        complete: finished.complete,
    });
    Json(Transfers {
        running: running.collect(),
        finished: finished.collect(),
    })
}

#[derive(Serialize)]
struct Client {
    name: String,
    enrolled: bool,
    first_seen: Timestamp,
    last_seen: Timestamp,
    peer: SocketAddr,
    program: Option<String>,
    version: Option<String>,
    serial: Option<u64>,
    last_sync: Option<Sync>,
    last_report: Option<ReportLine>,
}

#[derive(Serialize)]
struct Sync {
    at: Timestamp,
    error: Option<String>,
}

#[derive(Serialize)]
struct ReportLine {
    seq: i64,
    client: String,
    at: Timestamp,
    verdict: String,
    finding: Option<String>,
}

impl From<ReportRow> for ReportLine {
    fn from(row: ReportRow) -> Self {
        ReportLine {
            seq: row.seq,
            client: row.client,
            at: row.at,
            verdict: row.verdict,
            finding: row.finding,
        }
    }
}

async fn clients(State(console): State<Arc<Console>>) -> Response {
    let found = match &console.store {
        Some(store) => store.clients().await,
        None => Ok(Vec::new()),
    };
    let clients = |rows: Vec<ClientRow>| -> Vec<Client> {
        let client = |row: ClientRow| Client {
            name: row.name,
            enrolled: row.enrolled,
            first_seen: row.first_seen,
            last_seen: row.last_seen,
            peer: row.peer,
            program: row.program,
            version: row.version,
            serial: row.serial,
            last_sync: row.last_sync.map(|LastSync { at, error }| Sync { at, error }),
            last_report: row.last_report.map(ReportLine::from),
        };
        rows.into_iter().map(client).collect()
    };
    or_trouble(found.map(clients))
}

/// How many reports a list has.
const MOST_REPORTS: u32 = 1_000;

async fn reports(State(console): State<Arc<Console>>) -> Response {
    let found = match &console.store {
        Some(store) => store.reports(MOST_REPORTS).await,
        None => Ok(Vec::new()),
    };
    or_trouble(found.map(|rows| rows.into_iter().map(ReportLine::from).collect::<Vec<_>>()))
}

async fn report(State(console): State<Arc<Console>>, Path(seq): Path<i64>) -> Response {
    let found = match &console.store {
        Some(store) => store.report(seq).await,
        None => Ok(None),
    };
    match found {
        Ok(None) => (StatusCode::NOT_FOUND, "no such report, or not kept any more\n").into_response(),
        found => or_trouble(found.map(|found| found.map(|(_, report)| report))),
    }
}

#[derive(Serialize)]
struct Agent {
    name: ClientName,
    seen: Timestamp,
    peer: SocketAddr,
    program: String,
    version: Option<String>,
    serial: Option<u64>,
    task_port: Option<u16>,
}

async fn agents(State(console): State<Arc<Console>>) -> Response {
    let agent = |row: AgentRow| Agent {
        name: row.name,
        seen: row.seen,
        peer: row.peer,
        program: row.program,
        version: row.version,
        serial: row.serial,
        task_port: row.task_port,
    };
    let found = known(&console).await;
    or_trouble(found.map(|(agents, _)| agents.into_iter().map(agent).collect::<Vec<_>>()))
}

#[derive(Serialize)]
struct Given {
    id: Uuid,
    client: ClientName,
    task: Order,
    at: Timestamp,
    state: &'static str,
    since: Timestamp,
    detail: String,
}

impl From<TaskRow> for Given {
    fn from(row: TaskRow) -> Self {
        Given {
            id: row.task.id,
            client: row.task.client,
            task: row.task.order,
            at: row.task.at,
            state: row.state.name(),
            since: row.changed,
            detail: row.detail,
        }
    }
}

async fn tasks(State(console): State<Arc<Console>>) -> Response {
    let found = known(&console).await;
    or_trouble(found.map(|(_, tasks)| tasks.into_iter().map(Given::from).collect::<Vec<_>>()))
}

#[derive(Deserialize)]
struct Give {
    task: String,
    client: Option<String>,
}

async fn give(State(console): State<Arc<Console>>, Json(wanted): Json<Give>) -> Response {
    match give_to(&console, &wanted.task, wanted.client.as_deref()).await {
        Ok(given) => {
            let given: Vec<Given> = given.into_iter().map(Given::from).collect();
            (StatusCode::ACCEPTED, Json(given)).into_response()
        }
        Err((status, why)) => (status, format!("{why}\n")).into_response(),
    }
}

/// JSON, or what is wrong with the database.
fn or_trouble<T: Serialize>(found: Result<T, StoreError>) -> Response {
    match found {
        Ok(found) => Json(found).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{}\n", crate::chain(&error))).into_response(),
    }
}

#[derive(Deserialize)]
struct Publish {
    version: Option<String>,
}

#[derive(Serialize)]
struct Published {
    serial: u64,
}

async fn publish(State(console): State<Arc<Console>>, Json(wanted): Json<Publish>) -> Response {
    match publish_next(&console, wanted.version).await {
        Ok(serial) => (StatusCode::CREATED, Json(Published { serial })).into_response(),
        Err(why) => (StatusCode::UNPROCESSABLE_ENTITY, format!("{why}\n")).into_response(),
    }
}
