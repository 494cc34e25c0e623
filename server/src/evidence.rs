//! The server's half of a drill, for who knows the drill's id.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::evidence::{Evidence, ServerState, SetInForce};
use http::StatusCode;

use crate::host::HostWatch;
use crate::http::{Problem, Representation};
use crate::journal::Journal;
use crate::shelf::Shelf;

/// Where drills get their evidence. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct EvidenceDesk {
    journal: Journal,
    state: Arc<ServerState>,
    host: HostWatch,
    shelf: Shelf,
}

impl EvidenceDesk {
    pub(crate) fn new(journal: Journal, state: ServerState, shelf: Shelf) -> Self {
        let ports = state.listening.values().map(|address| address.port());
        EvidenceDesk {
            host: HostWatch::new(
                ports.chain(state.estate_ports.iter()).collect(),
                state.passive_ports.clone(),
                state.renumbering(),
            ),
            journal,
            state: Arc::new(state),
            shelf,
        }
    }

    /// The evidence of a drill as it is now; `None` for a drill that the journal does not know (any more).
    pub(crate) async fn of(&self, drill: DrillId) -> Option<Evidence> {
        let sightings = self.journal.of(drill);
        let first = sightings.first()?.at;
        let peers: BTreeSet<IpAddr> = sightings.iter().map(|sighting| sighting.peer.ip()).collect();
        Some(Evidence {
            schema: Evidence::SCHEMA.to_owned(),
            server: Box::new(ServerState::clone(&self.state)),
            unnamed: self.journal.unnamed(first, &peers),
            forgotten: self.journal.forgotten(drill),
            host: self.host.state(peers).await.map(Box::new),
            set: self.set_in_force().await,
            sightings,
        })
    }

    async fn set_in_force(&self) -> Option<Box<SetInForce>> {
        let set = self.shelf.current().await?;
        let key = self.shelf.public_key().map(|key| key.to_base64());
        Some(Box::new(SetInForce::of(set.manifest(), key)))
    }

    /// The same as JSON over HTTP; 404 for a drill that is not known.
    pub(crate) async fn answer(&self, drill: Option<DrillId>) -> Result<Representation, Problem> {
        let known = match drill {
            Some(drill) => self.of(drill).await,
            None => None,
        };
        match known {
            Some(evidence) => Representation::json(&evidence),
            None => Err(Problem(StatusCode::NOT_FOUND, "no such drill is known here")),
        }
    }
}
