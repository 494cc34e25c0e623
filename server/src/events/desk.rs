//! One request with events: who sends it, whether it is what it should be, and the answer once it is on the disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::event::{ClientEvent, MOST_EVENT_BYTES, MOST_EVENTS, MOST_REQUEST_BYTES, Receipt, Refused};
use fwdrill_protocol::storm::StormReport;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, StatusCode};
use hyper::body::Incoming as Received;
use serde_json::Value;
use tracing::{debug, warn};

use super::rate::Rates;
use super::token::EnrolmentToken;
use crate::http::{Ends, Refusal, Room};
use crate::store::{Incoming, Store, StoreError};

/// What all bodies that are being read may take of memory, KiB.
const BODIES_KIB: usize = 64 * 1024;

/// Where events come in. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct EventDesk(Arc<Desk>);

#[derive(Debug)]
struct Desk {
    store: Store,
    token: EnrolmentToken,
    rates: Rates,
    room: Room,
}

const BUSY: Refusal = Refusal::later(
    StatusCode::SERVICE_UNAVAILABLE,
    "so many events wait for the disk that no more can",
    Duration::from_secs(1),
);
const NOT_STORED: Refusal = Refusal::later(
    StatusCode::SERVICE_UNAVAILABLE,
    "events cannot be stored at the moment",
    Duration::from_secs(10),
);

const NOT_READ: Refusal = Refusal::later(
    StatusCode::SERVICE_UNAVAILABLE,
    "storms cannot be read at the moment",
    Duration::from_secs(10),
);
/// How many storms are shown.
const MOST_STORMS: u32 = 1000;

impl EventDesk {
    pub(crate) fn new(store: Store, token: EnrolmentToken) -> Self {
        EventDesk(Arc::new(Desk {
            store,
            token,
            rates: Rates::default(),
            room: Room::kib(BODIES_KIB),
        }))
    }

    /// Stores what a request brings. `drill` is the one it names, if the server has met it before.
    pub(crate) async fn receive(
        &self,
        request: Request<Received>,
        ends: Ends,
        drill: Option<DrillId>,
    ) -> Result<Receipt, Refusal> {
        let enrolled = self.is_enrolled(request.headers(), drill)?;
        let body = self.0.room.read(request.into_body(), MOST_REQUEST_BYTES).await?;
        let asked = read_events(&body)?;
        drop(body);
        let (mut refused, mut events, mut places) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (index, value) in asked.into_iter().enumerate() {
            match read_event(value) {
                Ok((event, json)) => {
                    places.insert(event.id, index);
                    events.push(Incoming {
                        event,
                        json,
                        peer: ends.peer,
                        enrolled,
                    });
                }
                Err(why) => refused.push(Refused { index, why }),
            }
        }
        self.heed_rates(&events)?;
        let tally = self.0.store.append(events).await.map_err(|error| {
            if matches!(error, StoreError::Busy) {
                return BUSY;
            }
            warn!(error = %crate::chain(&error), "events are refused");
            NOT_STORED
        })?;
        let no_room = tally.refused.iter().filter_map(|id| places.get(id));
        refused.extend(no_room.map(|index| Refused {
            index: *index,
            why: "the server knows too many clients already".to_owned(),
        }));
        refused.sort_by_key(|refused| refused.index);
        debug!(peer = %ends.peer, stored = tally.stored, known = tally.known, refused = refused.len(), "events");
        Ok(Receipt {
            schema: Receipt::SCHEMA.to_owned(),
            stored: tally.stored,
            known: tally.known,
            refused,
        })
    }

    /// The storms that it was told of, newest first.
    pub(crate) async fn storms(&self, headers: &HeaderMap) -> Result<Vec<StormReport>, Refusal> {
        self.is_enrolled(headers, None)?;
        self.0.store.storms(MOST_STORMS).await.map_err(|error| {
            warn!(error = %crate::chain(&error), "storms cannot be read");
            NOT_READ
        })
    }

    fn is_enrolled(&self, headers: &HeaderMap, drill: Option<DrillId>) -> Result<bool, Refusal> {
        match (headers.get(AUTHORIZATION), drill) {
            (Some(shown), _) if shown.to_str().is_ok_and(|shown| self.0.token.is_shown_by(shown)) => Ok(true),
            (Some(_), _) => Err(Refusal::is(StatusCode::UNAUTHORIZED, "this is not the enrolment token")),
            (None, Some(_)) => Ok(false),
            (None, None) => Err(Refusal::is(
                StatusCode::UNAUTHORIZED,
                "events need the enrolment token, or the id of a drill that this server knows",
            )),
        }
    }

    fn heed_rates(&self, events: &[Incoming]) -> Result<(), Refusal> {
        let mut by_client = BTreeMap::new();
        for incoming in events {
            *by_client.entry(&incoming.event.client).or_default() += 1;
        }
        let now = Instant::now();
        for (client, count) in by_client {
            self.0.rates.take(client, count, now).map_err(|wait| {
                warn!(%client, "a client sends more events than it should");
                Refusal::later(StatusCode::TOO_MANY_REQUESTS, "this client sends too many events", wait)
            })?;
        }
        Ok(())
    }
}

fn read_events(body: &[u8]) -> Result<Vec<Value>, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Array(events)) if events.len() > MOST_EVENTS => Err(Refusal::is(
            StatusCode::PAYLOAD_TOO_LARGE,
            "there are more than 256 events in the request",
        )),
        Ok(Value::Array(events)) => Ok(events),
        Ok(one @ Value::Object(_)) => Ok(vec![one]),
        Ok(_) | Err(_) => Err(Refusal::is(
            StatusCode::BAD_REQUEST,
            "the body is no JSON array of events",
        )),
    }
}

fn read_event(value: Value) -> Result<(ClientEvent, String), String> {
    let json = value.to_string();
    if json.len() > MOST_EVENT_BYTES {
        return Err(format!("the event is longer than {MOST_EVENT_BYTES} bytes"));
    }
    let event: ClientEvent = serde_json::from_value(value).map_err(|error| error.to_string())?;
    if event.schema != ClientEvent::SCHEMA {
        return Err(format!("its schema is not {}", ClientEvent::SCHEMA));
    }
    Ok((event, json))
}
