//! The way from the client to the server, put together from what both ends know of it.

use fwdrill_protocol::report::Road;
use fwdrill_protocol::sighting::Event;

use super::Observations;

impl Observations {
    /// What lies between; `None` where nobody looked and the server told nothing.
    pub(crate) fn road(&self) -> Option<Road> {
        let path = &self.path;
        let trace = path
            .reference()
            .or_else(|| path.traces.iter().max_by_key(|trace| trace.last_hop()));
        let answered = trace.and_then(|trace| trace.answered());
        let hops = trace.map_or(0, |trace| match answered {
            Some(server) => usize::from(server.saturating_sub(1)),
            None => usize::from(trace.last_hop()),
        });
        let mut hops: Vec<_> = trace.map_or_else(Vec::new, |trace| trace.hops.iter().copied().take(hops).collect());
        if let Some(server) = answered {
            hops.resize(usize::from(server.saturating_sub(1)), None);
        }
        let accepted = self.evidence.joined().and_then(|evidence| {
            evidence
                .sightings
                .iter()
                .find(|sighting| sighting.event == Event::Accepted && !sighting.was_led_to_loopback())
        });
        let road = Road {
            client: path.local,
            client_seen_as: accepted.map(|sighting| sighting.peer.ip().to_canonical()),
            hops,
            complete: answered.is_some(),
            server: accepted.map(|sighting| sighting.local.ip().to_canonical()),
        };
        (road != Road::default()).then_some(road)
    }
}

#[cfg(test)]
mod tests {
    use fwdrill_protocol::report::Outcome;

    use crate::diagnosis::testing::{at, healthy};
    use crate::observation::EvidenceFetch;
    use crate::observation::path::{Trace, TraceEnd};

    #[test]
    fn the_road_leads_over_the_hops_of_a_port_that_works_to_the_servers_own_address() {
        let mut seen = healthy();
        seen.path.local = Some([198, 51, 100, 10].into());
        seen.path.reference = Some(at(3333));
        seen.path.traces = vec![Trace {
            to: at(3333),
            hops: vec![Some([198, 51, 100, 1].into()), None],
            end: TraceEnd::Answered {
                hop: 3,
                outcome: Outcome::Open,
            },
        }];
        let road = seen.road().unwrap();
        assert_eq!(road.hops, [Some([198, 51, 100, 1].into()), None]);
        assert!(road.complete);
        assert_eq!(road.server, Some([10, 20, 0, 10].into()));
        assert_eq!(road.client_seen_as, road.client);
    }

    #[test]
    fn where_nobody_looked_there_is_no_road() {
        let mut seen = healthy();
        seen.evidence = EvidenceFetch::NotAsked;
        assert_eq!(seen.road(), None);
    }
}
