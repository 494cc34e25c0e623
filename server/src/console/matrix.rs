//! The port matrix: what each address is expected to reach, and what was seen of it.

use std::net::IpAddr;

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::estate::expectation::{OUTSIDE, SERVER};
use fwdrill_protocol::flow::{Expected, Flow};
use maud::{Markup, html};

use crate::journal::{Peer, Snapshot};

use super::page::{time, times};

/// How many addresses are shown; the API has them all.
const SHOWN: usize = 200;

pub(super) fn render(estate: &Estate, now: &Snapshot) -> Markup {
    let flows: Vec<Flow> = estate.flows().collect();
    html! {
        @if now.peers.is_empty() { p { "Nobody has come yet." } }
        @else {
            p.faint {
                "Connections that arrived here, by the address they came from: behind NAT, all clients of a branch have one. "
                "What was blocked on its way cannot show; a probe from there tells why."
            }
            div.scroll tabindex="0" role="region" aria-label="Port matrix" {
                table {
                    thead { tr {
                        th scope="col" { "Address" }
                        @for flow in &flows { th scope="col" {
                            (flow.title()) @if let Some(port) = estate.port(*flow) { br; span.faint { (port) } }
                        } }
                        th scope="col" { "Last seen" }
                    } }
                    tbody { @for (address, peer) in now.peers.iter().take(SHOWN) { tr {
                        th scope="row" .mono { (address) @if vantage(*address) == SERVER { " " span.faint { "(this host)" } } }
                        @for flow in &flows { td { (cell(estate.expected(vantage(*address), *flow), *flow, peer)) } }
                        td { (time(peer.last)) }
                    } } }
                }
            }
            @if now.peers.len() > SHOWN { p.faint { "The " (SHOWN) " that were seen last, of " (now.peers.len()) "." } }
        }
    }
}

/// Where an address stands, as far as an address tells.
pub(super) fn vantage(address: IpAddr) -> &'static str {
    if address.is_loopback() { SERVER } else { OUTSIDE }
}

fn cell(expected: Expected, flow: Flow, peer: &Peer) -> Markup {
    let seen = peer.flows.get(&flow).map(|visits| visits.count);
    html! {
        @match (expected, seen) {
            (Expected::Open, Some(count)) => span.good { "\u{2713} " (times(count)) },
            (Expected::Open, None) => span.faint { "not yet" },
            (Expected::Closed, Some(count)) => span.bad { "! " (times(count)) ", to be closed" },
            (Expected::Closed, None) => span.faint { "closed" },
            (Expected::Any, Some(count)) => (times(count)),
            (Expected::Any, None) => span.faint { "-" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::testing::seen;

    #[test]
    fn what_is_expected_and_what_must_not_be_are_told_apart() {
        let now = seen(&[([198, 51, 100, 2], Flow::Version), ([198, 51, 100, 2], Flow::System)]);
        let html = render(&Estate::default(), &now).into_string();
        assert!(html.contains("198.51.100.2"));
        assert!(html.contains("<span class=\"good\">\u{2713} once</span>"), "{html}");
        assert!(
            html.contains("<span class=\"bad\">! once, to be closed</span>"),
            "{html}"
        );
        assert!(html.contains("not yet"));
    }

    #[test]
    fn the_servers_own_host_may_go_where_others_may_not() {
        let now = seen(&[([127, 0, 0, 1], Flow::System)]);
        let html = render(&Estate::default(), &now).into_string();
        assert!(
            html.contains("(this host)") && !html.contains("class=\"bad\""),
            "{html}"
        );
    }
}
