//! Who stands on the path, as far as anybody showed himself, and which of them is to blame.

use fwdrill_protocol::finding::{Finding, Place, Severity};
use fwdrill_protocol::report::{FlowResult, Report};

/// More routers than this are drawn as the first two and the last three.
const MOST: usize = 6;

/// Somebody on the path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Station {
    pub(super) role: String,
    pub(super) address: String,
    /// Whether it is only thought to be there.
    pub(super) guessed: bool,
    /// Whether a fault is there.
    pub(super) blamed: bool,
}

impl Station {
    fn new(role: impl Into<String>, address: impl Into<String>) -> Self {
        Station {
            role: role.into(),
            address: address.into(),
            ..Station::default()
        }
    }

    fn guess(role: &str) -> Self {
        Station {
            guessed: true,
            ..Station::new(role, "not seen")
        }
    }

    pub(super) fn in_words(&self) -> String {
        let fault = if self.blamed { ": the fault is here" } else { "" };
        format!("{} {}{fault}", self.role, self.address)
    }
}

/// All of them, from the client to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stations(Vec<Station>);

impl Stations {
    pub(super) fn of(report: &Report) -> Self {
        let road = report.path.clone().unwrap_or_default();
        let blamed = |place: Place| errors(report).any(|finding| finding.place == place);
        let client = road
            .client
            .map_or_else(|| report.vantage.clone(), |client| client.to_string());
        let server = road
            .server
            .map_or_else(|| report.target.clone(), |server| server.to_string());
        let dialled = report.flows.iter().find_map(|flow| Some(flow.to?.ip()));
        let mut between: Vec<Station> = road
            .hops
            .iter()
            .enumerate()
            .map(|(at, hop)| {
                let nat = hop.is_some() && *hop == dialled;
                let role = format!("hop {}{}", at + 1, if nat { ", NAT" } else { "" });
                Station::new(role, hop.map_or_else(|| "silent".to_owned(), |hop| hop.to_string()))
            })
            .collect();
        if between.len() > MOST {
            let more = between.len() - 5;
            between.splice(2..2 + more, [Station::new("...", format!("{more} more"))]);
        }
        let firewalls = blamed(Place::ClientFirewall) || blamed(Place::ServerFirewall) || !road.complete;
        if between.is_empty() && firewalls {
            between.extend([Station::guess("client's side"), Station::guess("server's side")]);
        } else if !road.complete {
            between.push(Station::guess("server's side"));
        }
        if blamed(Place::Path) {
            let middle = between.len().div_ceil(2);
            between.insert(middle, Station::guess("between"));
        }
        let mut stations = vec![Station::new("client", client)];
        stations.extend(between);
        stations.push(Station::new("server", server));
        let mut stations = Stations(stations);
        for finding in errors(report) {
            if let Some(at) = stations.at(finding.place) {
                stations.0[at].blamed = true;
            }
        }
        stations
    }

    pub(super) fn all(&self) -> &[Station] {
        &self.0
    }

    /// Where a flow that does not arrive is stopped.
    pub(super) fn stops(&self, flow: &FlowResult, report: &Report) -> Option<usize> {
        let own = errors(report).find(|finding| finding.flow == flow.flow);
        let place = match own.or_else(|| errors(report).next()) {
            Some(finding) if own.is_some() || flow.verdict == fwdrill_protocol::report::Verdict::Fail => finding.place,
            // Closed as it should be: by the server's firewall, or by the server itself.
            _ => Place::ServerFirewall,
        };
        self.at(place)
    }

    pub(super) fn in_words(&self) -> String {
        let stations: Vec<String> = self.0.iter().map(Station::in_words).collect();
        stations.join(", then ")
    }

    fn at(&self, place: Place) -> Option<usize> {
        let last = self.0.len() - 1;
        match place {
            Place::ClientHost => Some(0),
            Place::ClientFirewall => Some(1.min(last)),
            Place::Path => self.0.iter().position(|station| station.role == "between"),
            Place::ServerFirewall => Some(last.saturating_sub(1).max(1)),
            Place::ServerHost | Place::Server => Some(last),
            Place::Unknown => None,
        }
    }
}

fn errors(report: &Report) -> impl Iterator<Item = &Finding> {
    report
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
}
