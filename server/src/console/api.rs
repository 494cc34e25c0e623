//! The same for programs: JSON under `/api`, described by `/api/openapi.json`.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::flow::{Expected, Flow};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Console;
use super::matrix::vantage;
use super::updates::publish_next;

/// What programs may ask; the document in `openapi.json` describes the same, and a test compares them.
pub(super) fn routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/api/openapi.json", get(document))
        .route("/api/state", get(state))
        .route("/api/peers", get(peers))
        .route("/api/passive-range", get(passive_range))
        .route("/api/transfers", get(transfers))
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
