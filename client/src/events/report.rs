use std::time::Duration;

use fwdrill_protocol::client_name::ClientName;
use fwdrill_protocol::event::{ClientEvent, What};
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Report;

use super::{Destination, PostError, fits};
use crate::limits::Limits;
use crate::observation::Observations;
use crate::plan::Plan;

/// How long it may take: the measurement is over, and somebody waits for it.
const LONGEST: Duration = Duration::from_secs(2);

/// Sends a report to the server that it is about, if its events port proved to this drill that it is that server's: once,
/// and nobody waits long for it. Returns whether it went.
pub async fn send_report(
    plan: &Plan,
    seen: &Observations,
    report: &Report,
    client: ClientName,
) -> Result<bool, PostError> {
    let proved = seen.greetings.get(&Flow::Events).is_some_and(|greeting| greeting.ours);
    let Some(attempt) = seen.attempts.get(&Flow::Events).filter(|_| proved) else {
        return Ok(false);
    };
    let event = ClientEvent::now(
        client,
        What::ProbeReport {
            report: Box::new(report.clone()),
        },
    );
    let json = serde_json::to_vec(&event).map_err(PostError::NoReceipt)?;
    if !fits(&json) {
        return Ok(false);
    }
    let mut to = Destination::new(attempt.to.ip().to_string(), vec![attempt.to]);
    to.drill = Some(plan.drill);
    to.token.clone_from(&plan.estate.agent.token);
    let limits = Limits::all(LONGEST.min(plan.limit));
    let posted = tokio::time::timeout(LONGEST, to.post([json.as_slice()].into_iter(), &limits)).await;
    posted.map_or(Ok(false), |posted| posted.map(|receipt| receipt.refused.is_empty()))
}
