//! The server's half of a drill, for who knows the drill's id.

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::evidence::{Evidence, ServerState};
use http::StatusCode;

use crate::http::{Problem, Representation};
use crate::journal::Journal;

/// The evidence of a drill as JSON; 404 for a drill that the journal does not know (any more).
pub(crate) fn of(drill: Option<DrillId>, journal: &Journal, state: &ServerState) -> Result<Representation, Problem> {
    let sightings = drill.map(|drill| journal.of(drill)).unwrap_or_default();
    if sightings.is_empty() {
        return Err(Problem(StatusCode::NOT_FOUND, "no such drill is known here"));
    }
    let evidence = Evidence {
        schema: Evidence::SCHEMA.to_owned(),
        server: state.clone(),
        sightings,
    };
    Representation::json(&evidence)
}
