//! What a drill is going to try: a pure function of the estate and the user's wishes.

use std::time::Duration;

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::estate::expectation::OUTSIDE;
use fwdrill_protocol::estate::port_set::PortSet;

/// How many ports of the passive range are tried unless all are asked for.
pub const SAMPLE: usize = 16;

/// What to probe and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The host to dial: an address or a name.
    pub target: String,
    /// Where this client stands.
    pub vantage: String,
    /// Ties both ends together.
    pub drill: DrillId,
    /// What listens where and what is expected.
    pub estate: Estate,
    /// How many passive ports to try.
    pub range: Range,
    /// How long and how much beyond what a client does in a minute of its life.
    pub depth: Depth,
    /// The limit of every single wait.
    pub limit: Duration,
    /// Whether to ask the server for its evidence and for a sweep.
    pub evidence: bool,
    /// The serial of the update set that this client has, if anybody says.
    pub have: Option<u64>,
    /// The port of this host's own agent for self-events, on loopback: it lends its task port where that is taken.
    pub self_events: u16,
    /// Whether the server is on this very host, and data connections are to go to it and to where it listens, whatever its
    /// replies tell those who come from outside.
    pub on_server_host: bool,
    /// Whom to log in as over FTP; `None`: as the drill, and anonymously where that is refused.
    pub login: Option<(String, String)>,
}

impl Plan {
    /// The default plan for `target`: from outside, a sample of the range, with evidence.
    pub fn new(target: impl Into<String>, estate: Estate) -> Self {
        Plan {
            target: target.into(),
            vantage: OUTSIDE.to_owned(),
            drill: DrillId::random(),
            self_events: estate.ports.self_events,
            estate,
            range: Range::Sample,
            depth: Depth::Usual,
            limit: Duration::from_secs(3),
            evidence: true,
            have: None,
            on_server_host: false,
            login: None,
        }
    }
}

/// How deep a drill goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// As [`Depth::Quick`], and what is asked again out of patience is asked less often: for rehearsals, where an answer
    /// takes less than a millisecond and nothing is lost.
    Brief,
    /// What a client does, once; nothing that takes long or many connections.
    Quick,
    /// Also what tells causes apart where something is wrong.
    Usual,
    /// Also what takes seconds or many connections on a path that looks healthy: connections held idle, many at once,
    /// large files.
    Thorough,
}

/// How much of the passive range is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Nothing beyond the ports that the transfers use.
    None,
    /// Both ends, and [`SAMPLE`] ports in all.
    Sample,
    /// Every port.
    Full,
}

impl Range {
    /// The ports of `planned` to try. A sample is spread evenly and holds both ends of every contiguous part, since
    /// rules are written by their ends.
    pub fn choose(self, planned: &PortSet) -> PortSet {
        match self {
            Range::None => PortSet::default(),
            Range::Full => planned.clone(),
            Range::Sample => {
                let ports: Vec<u16> = planned.iter().collect();
                let ends = planned
                    .ranges()
                    .iter()
                    .take(SAMPLE)
                    .flat_map(|part| [*part.start(), *part.end()]);
                let steps = SAMPLE.min(ports.len());
                let spread = (0..steps).map(|step| ports[step * (ports.len() - 1) / (steps - 1).max(1)]);
                ends.chain(spread).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_sample_holds_both_ends_of_every_part() {
        let planned: PortSet = "3023-3332,3334-4022".parse().unwrap();
        let sample = Range::Sample.choose(&planned);
        for port in [3023, 3332, 3334, 4022] {
            assert!(sample.contains(port), "{port}");
        }
        assert!((SAMPLE..=SAMPLE + 4).contains(&sample.len()), "{sample}");
    }

    proptest! {
        #[test]
        fn a_sample_is_part_of_the_plan_and_never_empty_where_there_are_ports(ports in proptest::collection::vec(1u16.., 1..50)) {
            let planned: PortSet = ports.into_iter().collect();
            let sample = Range::Sample.choose(&planned);
            prop_assert!(!sample.is_empty() && sample.without(&planned).is_empty());
            prop_assert!(sample.contains(planned.first().unwrap()) && sample.contains(planned.last().unwrap()));
        }
    }
}
