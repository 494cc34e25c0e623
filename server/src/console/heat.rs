//! The passive range, a cell for each port: was it handed out, did anybody come to it, how often.

use std::collections::BTreeMap;

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::estate::port_set::PortSet;
use maud::{Markup, html};

use crate::journal::{PortUse, Snapshot};

/// Cells in a row.
const ROW: usize = 100;
/// The height of a row, in widths of a cell.
const TALL: usize = 3;

/// What a cell says, the colder first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Unused,
    /// Named in a 227, and nobody came: blocked on the way, or a client that changed its mind.
    Missed,
    Once,
    Often,
    Hot,
}

impl Level {
    const ALL: [Level; 5] = [Level::Unused, Level::Missed, Level::Once, Level::Often, Level::Hot];

    fn of(used: Option<&PortUse>) -> Self {
        match used {
            None => Level::Unused,
            Some(PortUse { connected: 0, .. }) => Level::Missed,
            Some(PortUse { connected: 1, .. }) => Level::Once,
            Some(PortUse { connected: 2..=9, .. }) => Level::Often,
            Some(_) => Level::Hot,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Level::Unused => "h0",
            Level::Missed => "h1",
            Level::Once => "h2",
            Level::Often => "h3",
            Level::Hot => "h4",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Level::Unused => "never handed out",
            Level::Missed => "handed out, and nobody came",
            Level::Once => "reached once",
            Level::Often => "reached 2 to 9 times",
            Level::Hot => "reached 10 times or more",
        }
    }
}

pub(super) fn render(estate: &Estate, now: &Snapshot) -> Markup {
    if !estate.ftp.enabled {
        return html! { p { "FTP is off." } };
    }
    let ports: Vec<u16> = estate.handed_out_ports().iter().collect();
    if ports.is_empty() {
        return html! { p { "The server has no range of its own: the system chooses each port." } };
    }
    let rows = ports.len().div_ceil(ROW);
    html! {
        svg.heat viewBox={ "0 0 " (ROW) " " (rows * TALL) } preserveAspectRatio="none" role="img" aria-label="A cell for each passive port; the list below says the same" {
            @for (row, ports) in ports.chunks(ROW).enumerate() {
                @for run in runs(ports, &now.ports) {
                    rect class=(run.level.class()) x=(run.start) y=(row * TALL) width=(run.length) height=(TALL) {
                        title { (run.ports) ": " (run.level.title()) }
                    }
                }
            }
        }
        (legend(&ports, &now.ports))
    }
}

/// Neighbours of one level.
struct Run {
    start: usize,
    length: usize,
    level: Level,
    ports: PortSet,
}

fn runs(ports: &[u16], used: &BTreeMap<u16, PortUse>) -> Vec<Run> {
    let mut start = 0;
    let level = |port: &u16| Level::of(used.get(port));
    ports
        .chunk_by(|one, next| level(one) == level(next))
        .map(|run| {
            let from = start;
            start += run.len();
            Run {
                start: from,
                length: run.len(),
                level: run.first().map_or(Level::Unused, level),
                ports: run.iter().copied().collect(),
            }
        })
        .collect()
}

/// Counts in words, with the ports that nobody came to by name.
fn legend(ports: &[u16], used: &BTreeMap<u16, PortUse>) -> Markup {
    let of = |level: Level| -> PortSet {
        let wanted = ports.iter().filter(|port| Level::of(used.get(port)) == level);
        wanted.copied().collect()
    };
    html! {
        ul.legend {
            @for level in Level::ALL {
                @let these = of(level);
                li {
                    span class=(level.class()) {} (level.title()) ": " (these.len())
                    @if level == Level::Missed && !these.is_empty() { " (" (these) ")" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(ports: &[(u16, u64)]) -> Snapshot {
        let ports = ports.iter().map(|(port, connected)| {
            let (handed_out, connected) = (1, *connected);
            (*port, PortUse { handed_out, connected })
        });
        Snapshot {
            ports: ports.collect(),
            ..Snapshot::default()
        }
    }

    #[test]
    fn every_port_has_its_cell_and_a_service_port_has_none() {
        let html = render(&Estate::default(), &used(&[])).into_string();
        let cells: usize = html
            .split("width=\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next()?.parse::<usize>().ok())
            .sum();
        assert_eq!(cells, 999);
        assert!(html.contains("never handed out: 999"), "{html}");
    }

    #[test]
    fn a_port_that_nobody_came_to_is_named() {
        let html = render(&Estate::default(), &used(&[(3023, 0), (3024, 1), (3025, 12)])).into_string();
        assert!(html.contains("handed out, and nobody came: 1 (3023)"), "{html}");
        assert!(html.contains("class=\"h4\" x=\"2\" y=\"0\" width=\"1\""), "{html}");
    }

    #[test]
    fn without_a_range_there_is_no_strip() {
        let mut estate = Estate::default();
        estate.ftp.passive_ports = PortSet::default();
        assert!(
            render(&estate, &used(&[]))
                .into_string()
                .contains("no range of its own")
        );
    }
}
