//! An agent's event: made once, sent until it is acknowledged or the agent's patience is over.

use std::time::{Duration, Instant};

use fwdrill_protocol::event::{ClientEvent, What};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::storm::{Cause, Step};
use fwdrill_protocol::update_set::Manifest;
use http::StatusCode;
use uuid::Uuid;

use super::agent::Agent;
use super::trouble::{Failure, Trouble};
use crate::events::{Backoff, Destination, PostError};

/// What became of an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    pub(super) id: Uuid,
    pub(super) acknowledged: bool,
    /// The server will never take it.
    pub(super) refused: bool,
    /// How many times it was sent after the first.
    pub(super) repeated: u64,
}

/// Tells the server how the update went.
pub(super) async fn tell(
    agent: &mut Agent<'_>,
    updated: &Result<Manifest, Trouble>,
    took: Duration,
) -> (Told, Option<Trouble>) {
    let event = ClientEvent::now(agent.name.clone(), what(agent, updated, took));
    let mut told = Told {
        id: event.id,
        acknowledged: false,
        refused: false,
        repeated: 0,
    };
    let (began, at) = (agent.site.tally.now(), Instant::now());
    let sent = match serde_json::to_vec(&event) {
        Ok(json) => send(agent, &json, &mut told).await,
        Err(error) => Err(Failure::new(Cause::OwnOther, error.to_string())),
    };
    let untold = agent.ended(Step::Event, began, at, sent).err();
    (told, untold)
}

fn what(agent: &Agent<'_>, updated: &Result<Manifest, Trouble>, took: Duration) -> What {
    let elapsed_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    match updated {
        Ok(manifest) => What::SyncDone {
            version: manifest.version().to_owned(),
            serial: manifest.serial(),
            before: None,
            mode: agent.site.storm.estate.mode,
            received: agent.received,
            elapsed_ms,
        },
        Err(trouble) => What::SyncFailed {
            concern: match trouble.cause {
                Cause::WrongContent | Cause::NotUnderstood => "content",
                _ if trouble.step == Step::Upload => "upload",
                _ => "network",
            }
            .to_owned(),
            error: format!("{}: {}", trouble.step.name(), trouble.words),
            elapsed_ms,
        },
    }
}

async fn send(agent: &mut Agent<'_>, json: &[u8], told: &mut Told) -> Result<(), Failure> {
    let (site, until) = (agent.site, Instant::now() + agent.site.storm.patience);
    let to = site.at(site.storm.estate.ports.events);
    let mut destination = Destination::new(&site.storm.server.host, vec![to]);
    destination.token.clone_from(&site.storm.estate.agent.token);
    destination.drill = destination.token.is_none().then_some(agent.drill);
    let mut backoff = Backoff::default();
    loop {
        let began = site.tally.now();
        let posted = destination.post([json].into_iter(), &site.storm.limits).await;
        let error = match posted {
            Ok(receipt) => {
                drop(site.tally.stood(Flow::Events, to.port(), began));
                told.refused = !receipt.refused.is_empty();
                told.acknowledged = !told.refused;
                let refusal = receipt.refused.into_iter().next();
                return refusal.map_or(Ok(()), |refused| Err(Failure::new(Cause::RefusedByServer, refused.why)));
            }
            Err(error) => error,
        };
        if matches!(&error, PostError::Refused { status, .. } if *status == StatusCode::UNAUTHORIZED)
            && destination.token.is_none()
        {
            // A server that was started anew does not know the drill any more. What else goes wrong, the next attempt tells.
            let _ = agent.ask_version().await;
        }
        let pause = backoff.failed(Instant::now(), error.after());
        let failure = Failure::from(error);
        if failure.cause.never_stood() {
            site.tally.did_not_stand(Flow::Events, to.port(), began, failure.cause);
        }
        if Instant::now() + pause >= until {
            return Err(failure);
        }
        tokio::time::sleep(pause).await;
        told.repeated += 1;
    }
}
