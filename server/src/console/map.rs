//! The map: addresses on the left, ports on the right, a line where one reached the other.

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::flow::{Expected, Flow};
use maud::{Markup, html};

use super::matrix::vantage;
use crate::journal::Snapshot;

/// How many addresses fit in.
const SHOWN: usize = 12;
const LINE: usize = 30;
const WIDTH: usize = 640;

pub(super) fn render(estate: &Estate, now: &Snapshot) -> Markup {
    let flows: Vec<Flow> = estate.flows().collect();
    let peers = now.peers.get(..SHOWN).unwrap_or(&now.peers);
    let height = LINE * flows.len().max(peers.len());
    let at = |position: usize| position * LINE + LINE / 2;
    html! {
        @if peers.is_empty() { p { "Nobody has come yet." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Map" {
                svg.map viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label="Lines from addresses to the ports that they reached; the matrix says the same in words" {
                    @for (row, (address, peer)) in peers.iter().enumerate() {
                        @for (column, flow) in flows.iter().enumerate() {
                            @if peer.flows.contains_key(flow) {
                                @let closed = estate.expected(vantage(*address), *flow) == Expected::Closed;
                                line class=(if closed { "wrong" } else { "right" }) x1="230" y1=(at(row)) x2="410" y2=(at(column)) {}
                            }
                        }
                    }
                    @for (row, (address, peer)) in peers.iter().enumerate() {
                        text x="222" y=(at(row) + 5) text-anchor="end" {
                            (address) @if let Some(ttl) = peer.ttl { (format!(" ({})", hops(ttl))) }
                        }
                    }
                    @for (column, flow) in flows.iter().enumerate() {
                        text x="418" y=(at(column) + 5) {
                            @if let Some(port) = estate.port(*flow) { (port) " " }
                            (flow.title())
                        }
                    }
                }
            }
            @if now.peers.len() > SHOWN { p.faint { "The " (SHOWN) " addresses that were seen last." } }
        }
    }
}

/// Systems begin with a TTL of 64, 128 or 255; what is missing are the routers on the way.
fn hops(ttl: u8) -> String {
    let begun = [64, 128, 255].into_iter().find(|begun| ttl <= *begun).unwrap_or(255);
    match begun - ttl {
        0 => "no router".to_owned(),
        1 => "1 router".to_owned(),
        routers => format!("{routers} routers"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::testing::seen;

    #[test]
    fn a_line_leads_from_each_address_to_each_port_that_it_reached() {
        let now = seen(&[([198, 51, 100, 2], Flow::Version), ([198, 51, 100, 3], Flow::System)]);
        let html = render(&Estate::default(), &now).into_string();
        assert_eq!(html.matches("<line class=\"right\"").count(), 1);
        assert_eq!(html.matches("<line class=\"wrong\"").count(), 1);
        // Unlike those of HTML, no element of SVG ends by itself: what follows would be inside.
        assert_eq!(html.matches("</line>").count(), 2);
    }

    #[test]
    fn routers_are_counted_from_the_usual_beginnings() {
        assert_eq!(hops(64), "no router");
        assert_eq!(hops(63), "1 router");
        assert_eq!(hops(120), "8 routers");
    }
}
