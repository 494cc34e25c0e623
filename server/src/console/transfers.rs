//! Transfers in progress, and the last that have ended.

use maud::{Markup, html};

use super::page::{bytes, time};
use crate::journal::Snapshot;

pub(super) fn render(now: &Snapshot) -> Markup {
    html! {
        @if now.running.is_empty() && now.finished.is_empty() { p { "None yet." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Transfers" {
                table {
                    thead { tr { @for column in ["State", "Client", "File", "Bytes", "Port", "Time"] { th scope="col" { (column) } } } }
                    tbody {
                        @for transfer in &now.running { tr {
                            td { "in progress" }
                            td.mono { (transfer.peer.ip()) }
                            td.mono { (transfer.path) }
                            td { (bytes(transfer.bytes())) }
                            td { (transfer.local.port()) }
                            td { "since " (time(transfer.since)) }
                        } }
                        @for transfer in &now.finished { tr {
                            td { @if transfer.complete { span.good { "complete" } } @else { span.bad { "broken off" } } }
                            td.mono { (transfer.peer.ip()) }
                            td.mono { (transfer.path) }
                            td { (bytes(transfer.bytes)) }
                            td { (transfer.flow.title()) }
                            td { (time(transfer.at)) }
                        } }
                    }
                }
            }
        }
    }
}
