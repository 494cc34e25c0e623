//! What the server saw of a storm, and what the hosts at both ends counted.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use fwdrill_protocol::drill::{DRILL_HEADER, DrillId, EVIDENCE_PATH};
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::evidence::Evidence;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::host::Counters;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::sighting::Event;
use fwdrill_protocol::storm::{Cause, Step};
use jiff::Timestamp;
use tokio::time::timeout;

use super::agent::Site;
use super::tally::Books;
use crate::connection::connect;
use crate::http::{Request, get};
use crate::limits::Limits;
use crate::probe::counters_here;

/// How long one question may take, and all of them.
const ANSWER: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(20);
/// More than the server keeps of a drill.
const LONGEST_EVIDENCE: usize = 16 << 20;

/// The far half of a storm. What the server does not tell is `None`.
#[derive(Debug, Clone, Default)]
pub(super) struct Witness {
    /// Whether it told anything after the storm.
    pub(super) joined: bool,
    /// The ports that it hands out.
    pub(super) range: Option<PortSet>,
    /// Ports of the range on which another program of its host listens.
    pub(super) taken: Option<PortSet>,
    /// What its host counted meanwhile.
    pub(super) counted: Option<Counters>,
    /// Control connections that it accepted and that never said who they were.
    pub(super) unnamed: Option<u64>,
    /// Of the agents that were refused a passive port: how many it was asked about and knew, and for how many of these it
    /// notes that its range was exhausted.
    pub(super) refused: (usize, usize),
    /// How long passive ports were lent, by its clock.
    pub(super) held: Vec<Duration>,
    /// What this machine counted meanwhile.
    pub(super) here: Option<Counters>,
    /// How each service answers when all is over.
    pub(super) afterwards: BTreeMap<Flow, Outcome>,
    drill: Option<DrillId>,
    before: Option<Box<Evidence>>,
    here_before: Option<Counters>,
}

impl Witness {
    /// Before the storm; `drill` is one that the server has met.
    pub(super) async fn begin(site: &Site, drill: DrillId) -> Self {
        let before = evidence(site, drill).await.map(Box::new);
        Witness {
            range: before.as_ref().map(|before| before.server.passive_ports.clone()),
            drill: Some(drill),
            before,
            here_before: counters_here(),
            ..Witness::default()
        }
    }

    /// After it.
    pub(super) async fn end(&mut self, site: &Site, books: &Books) {
        self.here = counters_here()
            .zip(self.here_before)
            .map(|(now, before)| now.since(&before));
        self.afterwards = afterwards(site).await;
        // Whoever does not answer one of many questions does not answer the others either.
        let _ = timeout(LONGEST, self.ask(site, books)).await;
    }

    async fn ask(&mut self, site: &Site, books: &Books) {
        if let (Some(drill), Some(before)) = (self.drill, self.before.take())
            && let Some(after) = evidence(site, drill).await
        {
            let unnamed = |evidence: &Evidence| evidence.unnamed.get(&Flow::FtpControl).copied().unwrap_or(0);
            self.joined = true;
            self.unnamed = Some(unnamed(&after).saturating_sub(unnamed(&before)));
            self.counted = (after.host.as_ref().zip(before.host.as_ref()))
                .map(|(after, before)| after.counters.since(&before.counters));
            self.taken = after.host.and_then(|host| host.taken);
        }
        if let Some(refused) = books.failures.get(&(Step::Passive, Cause::NoPassivePort)) {
            for drill in &refused.samples {
                let Some(evidence) = evidence(site, *drill).await else {
                    continue;
                };
                let noted = evidence.sightings.iter();
                let noted = noted.filter(|sighting| sighting.event == Event::PassiveRangeExhausted);
                self.refused.0 += 1;
                self.refused.1 += usize::from(noted.count() > 0);
                self.held.extend(held(&evidence));
            }
        }
        for drill in &books.lived {
            if let Some(evidence) = evidence(site, *drill).await {
                self.held.extend(held(&evidence));
            }
        }
    }

    /// How long a port was lent, seconds (the mean of some agents, by the server's clock).
    pub(super) fn held_s(&self) -> Option<f64> {
        let sum: Duration = self.held.iter().sum();
        (!self.held.is_empty()).then(|| sum.as_secs_f64() / self.held.len() as f64)
    }
}

/// From handing a port out to the connection there.
fn held(evidence: &Evidence) -> Vec<Duration> {
    let mut lent: HashMap<u16, Timestamp> = HashMap::new();
    let mut held = Vec::new();
    for sighting in &evidence.sightings {
        match sighting.event {
            Event::PassivePort { port } => {
                lent.insert(port, sighting.at);
            }
            Event::Accepted if sighting.flow == Flow::FtpPassive => {
                let since = lent.remove(&sighting.local.port());
                held.extend(since.and_then(|since| Duration::try_from(sighting.at.duration_since(since)).ok()));
            }
            _ => {}
        }
    }
    held
}

async fn evidence(site: &Site, drill: DrillId) -> Option<Evidence> {
    let port = site.storm.server.version;
    let request =
        Request::new(site.storm.server.authority(port), EVIDENCE_PATH).header(DRILL_HEADER, drill.to_string());
    let response = get(site.at(port), &request, &Limits::all(ANSWER)).await.ok()?;
    if !response.status().is_success() {
        return None;
    }
    serde_json::from_slice(&response.bytes(LONGEST_EVIDENCE).await.ok()?).ok()
}

/// One connection to each service that the agents used.
async fn afterwards(site: &Site) -> BTreeMap<Flow, Outcome> {
    let server = &site.storm.server;
    let mut answers = BTreeMap::new();
    let ports = [
        (Flow::Version, Some(server.version)),
        (Flow::FtpControl, server.ftp),
        (Flow::Http, Some(server.http)),
        (Flow::Events, Some(site.storm.estate.ports.events)),
    ];
    for (flow, port) in ports {
        let Some(port) = port else { continue };
        let outcome = match connect(SocketAddr::new(site.address, port), ANSWER).await {
            Ok(_) => Outcome::Open,
            Err(error) => error.outcome(),
        };
        answers.insert(flow, outcome);
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::testing::healthy;
    use crate::observation::EvidenceFetch;

    #[test]
    fn a_port_is_held_from_handing_it_out_to_the_connection_there() {
        let EvidenceFetch::Joined(mut evidence) = healthy().evidence else {
            unreachable!()
        };
        let mut sighting = evidence.sightings[0].clone();
        let mut seen = |at: i64, port: u16, event: Event| {
            sighting.at = Timestamp::from_millisecond(at).unwrap();
            sighting.flow = Flow::FtpPassive;
            sighting.local.set_port(port);
            sighting.event = event;
            sighting.clone()
        };
        evidence.sightings = vec![
            seen(0, 1, Event::PassivePort { port: 1 }),
            seen(10, 2, Event::PassivePort { port: 2 }),
            seen(30, 1, Event::Accepted),
            seen(40, 1, Event::Accepted),
        ];
        assert_eq!(held(&evidence), [Duration::from_millis(30)]);
    }
}
