//! The path as a picture (SVG): who stands on it, how far each flow gets, where the fault is. Colours are never the only sign:
//! what ends early ends in a cross or a bar, and every row says in words what came of it.

use std::fmt::{self, Write};

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::flow::Expected;
use fwdrill_protocol::report::{FlowResult, Outcome, PassiveRange, Report, State, Verdict};

use super::stations::{Station, Stations};
use super::{Text, words};

const WIDTH: u32 = 1000;
/// Where the client and the server stand; left of them the flows' names, right of them what came of them.
const FROM: u32 = 235;
const TO: u32 = 800;
const TOP: u32 = 96;
const ROW: u32 = 30;

/// All of it.
pub(super) fn path(html: &mut String, report: &Report) -> fmt::Result {
    let stations = Stations::of(report);
    let rows: Vec<Row> = report
        .flows
        .iter()
        .map(|flow| Row::of(flow, report, &stations))
        .collect();
    let height = TOP + ROW * u32::try_from(rows.len()).unwrap_or(0) + 4;
    let described: Vec<String> = rows.iter().map(|row| format!("{}: {}", row.name, row.words)).collect();
    writeln!(
        html,
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"path-title path-description\">\n\
         <title id=\"path-title\">The path from the client to {}</title>\n<desc id=\"path-description\">{}. {}.</desc>",
        Text(&report.target),
        Text(&stations.in_words()),
        Text(&described.join("; "))
    )?;
    for (at, station) in stations.all().iter().enumerate() {
        let x = stations_x(&stations, at);
        writeln!(
            html,
            "<line class=\"wire\" x1=\"{x}\" y1=\"62\" x2=\"{x}\" y2=\"{height}\"/>"
        )?;
        self::station(html, station, x, width_of(&stations))?;
    }
    for (at, row) in rows.iter().enumerate() {
        let y = TOP + ROW * u32::try_from(at).unwrap_or(0);
        row.draw(html, y)?;
    }
    writeln!(html, "</svg>")
}

fn stations_x(stations: &Stations, at: usize) -> u32 {
    let gaps = stations.all().len().saturating_sub(1).max(1);
    FROM + (TO - FROM) * u32::try_from(at).unwrap_or(0) / u32::try_from(gaps).unwrap_or(1)
}

fn width_of(stations: &Stations) -> u32 {
    let gaps = u32::try_from(stations.all().len().saturating_sub(1).max(1)).unwrap_or(1);
    ((TO - FROM) / gaps).saturating_sub(10).clamp(60, 130)
}

fn station(html: &mut String, station: &Station, x: u32, width: u32) -> fmt::Result {
    let mut class = "station".to_owned();
    if station.guessed {
        class.push_str(" guessed");
    }
    if station.blamed {
        class.push_str(" blamed");
    }
    let left = x - width / 2;
    // A letter of this size is about six units wide.
    let fits = (width / 6) as usize;
    writeln!(
        html,
        "<g><title>{}</title><rect class=\"{class}\" x=\"{left}\" y=\"14\" width=\"{width}\" height=\"48\" rx=\"6\"/>\
         <text x=\"{x}\" y=\"34\" text-anchor=\"middle\">{}</text><text class=\"small\" x=\"{x}\" y=\"52\" text-anchor=\"middle\">{}</text>",
        Text(&station.in_words()),
        Text(&shortened(&station.role, fits)),
        Text(&shortened(&station.address, fits)),
    )?;
    if station.blamed {
        writeln!(
            html,
            "<text class=\"bad word\" x=\"{x}\" y=\"10\" text-anchor=\"middle\">here</text>"
        )?;
    }
    writeln!(html, "</g>")
}

/// Without its middle, where it is too long; the whole of it is in the title.
fn shortened(text: &str, fits: usize) -> String {
    let letters: Vec<char> = text.chars().collect();
    if letters.len() <= fits {
        return text.to_owned();
    }
    let half = fits.saturating_sub(1) / 2;
    let (first, last) = (&letters[..half], &letters[letters.len() - half..]);
    format!("{}…{}", String::from_iter(first), String::from_iter(last))
}

/// How an arrow ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// At the server.
    Arrives,
    /// Stopped, and it must not be.
    Cross,
    /// Stopped, as it should be.
    Bar,
    /// Nobody knows where.
    Unknown,
}

struct Row {
    name: String,
    words: String,
    class: &'static str,
    end: End,
    x: u32,
}

impl Row {
    fn of(flow: &FlowResult, report: &Report, stations: &Stations) -> Row {
        let class = match (flow.expected, flow.verdict) {
            (Expected::Open, Verdict::Pass) => "good",
            (_, Verdict::Fail) => "bad",
            _ => "neutral",
        };
        let at = stations.stops(flow, report);
        let arrives = flow.state == State::Open && (flow.verdict != Verdict::Fail || flow.expected == Expected::Closed);
        let (end, x) = match (arrives, flow.state, at) {
            (true, _, _) => (End::Arrives, TO),
            (false, State::Unknown, _) | (false, _, None) => (End::Unknown, FROM.midpoint(TO)),
            (false, _, Some(at)) if flow.verdict == Verdict::Fail => (End::Cross, stations_x(stations, at)),
            (false, _, Some(at)) => (End::Bar, stations_x(stations, at)),
        };
        let port = flow.to.map_or_else(String::new, |to| format!(" {}", to.port()));
        Row {
            name: format!("{}{port}", flow.flow),
            words: in_words(flow),
            class,
            end,
            x: x.max(FROM + 12),
        }
    }

    fn draw(&self, html: &mut String, y: u32) -> fmt::Result {
        let Row { class, x, .. } = self;
        let dashes = if self.end == End::Unknown {
            " stroke-dasharray=\"3 6\""
        } else {
            ""
        };
        let tip = if self.end == End::Arrives { x - 8 } else { *x };
        writeln!(
            html,
            "<g><text x=\"8\" y=\"{}\">{}</text><path class=\"arrow {class}\" d=\"M{FROM} {y}H{tip}\"{dashes}/>",
            y + 4,
            Text(&self.name)
        )?;
        match self.end {
            End::Arrives => writeln!(html, "<path class=\"{class} head\" d=\"M{x} {y}l-10 -5v10z\"/>")?,
            End::Cross => writeln!(
                html,
                "<path class=\"arrow {class}\" d=\"M{} {}l12 12m0 -12l-12 12\"/>",
                x - 6,
                y - 6
            )?,
            End::Bar => writeln!(html, "<path class=\"arrow {class}\" d=\"M{x} {}v16\"/>", y - 8)?,
            End::Unknown => writeln!(
                html,
                "<text class=\"{class} word\" x=\"{}\" y=\"{}\">?</text>",
                x + 6,
                y + 4
            )?,
        }
        writeln!(
            html,
            "<text class=\"{class} word\" x=\"{}\" y=\"{}\">{}</text></g>",
            TO + 28,
            y + 4,
            Text(&self.words)
        )
    }
}

fn in_words(flow: &FlowResult) -> String {
    match (flow.expected, flow.state, flow.verdict) {
        (_, _, Verdict::Inconclusive) => "not checked".to_owned(),
        (Expected::Any, state, _) => format!("{}, either way", state.name()),
        (Expected::Closed, State::Open, _) => "open, must be closed".to_owned(),
        (Expected::Closed, state, _) => format!("{}, as planned", state.name()),
        (_, _, Verdict::Pass) => "works".to_owned(),
        (_, _, Verdict::Fail) if flow.outcome == Outcome::Open => "fails".to_owned(),
        (_, _, Verdict::Fail) => format!("fails: {}", flow.outcome.name()),
    }
}

/// The passive range from its first to its last port.
pub(super) fn range(html: &mut String, range: &PassiveRange) -> fmt::Result {
    let (Some(first), Some(last)) = (range.planned.first(), range.planned.last()) else {
        return Ok(());
    };
    writeln!(
        html,
        "<svg viewBox=\"0 0 {WIDTH} 52\" role=\"img\" aria-labelledby=\"range-title\">\n<title id=\"range-title\">{}</title>",
        Text(&words::range(range))
    )?;
    let scale = f64::from(WIDTH - 2) / f64::from(last - first + 1);
    let parts: [(&str, &PortSet); 3] = [
        ("range-untested", &range.untested),
        ("range-open", &range.open),
        ("range-blocked", &range.blocked),
    ];
    for (class, ports) in parts {
        for part in ports.ranges() {
            let x = f64::from(part.start() - first).mul_add(scale, 1.0);
            let width = f64::from(part.end() - part.start() + 1) * scale;
            // The blocked ones are taller: that shows without colours, too.
            let (y, height) = if class == "range-blocked" { (2, 28) } else { (8, 16) };
            writeln!(
                html,
                "<rect class=\"{class}\" x=\"{x:.2}\" y=\"{y}\" width=\"{:.2}\" height=\"{height}\"><title>{}-{}</title></rect>",
                width.max(0.6),
                part.start(),
                part.end()
            )?;
        }
    }
    writeln!(
        html,
        "<text class=\"small\" x=\"1\" y=\"46\">{first}</text><text class=\"small\" x=\"{}\" y=\"46\" text-anchor=\"end\">{last}</text>\n</svg>",
        WIDTH - 1
    )
}
