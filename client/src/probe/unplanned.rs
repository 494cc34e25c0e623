//! Ports that nothing of the estate has: what a firewall lets through beyond the plan.

use std::time::Duration;

use futures_util::future::join_all;
use fwdrill_protocol::estate::expectation::OUTSIDE;

use super::Site;
use super::connect::connect;
use crate::observation::Attempt;
use crate::plan::Range;

/// A port that must be closed has until here: a SYN and one repetition.
pub(super) const CLOSED: Duration = Duration::from_millis(1500);

/// Dials a few ports around those of the estate: where a range was opened too far, and where nobody would look.
pub(super) async fn dial(site: &Site<'_>) -> Vec<Attempt> {
    if site.plan.vantage != OUTSIDE || site.plan.range == Range::None || site.address.is_loopback() {
        return Vec::new();
    }
    let estate = &site.plan.estate;
    let range = &estate.ftp.passive_ports;
    let edges = [
        range.first().and_then(|first| first.checked_sub(1)),
        range.iter().last().and_then(|last| last.checked_add(1)),
    ];
    let owned = estate.listener_ports();
    let ports = edges.into_iter().flatten().chain([2299, 5000]);
    let unplanned = ports.filter(|port| !owned.contains(*port) && !range.contains(*port) && *port != 0);
    let limit = site.limits.connect.min(CLOSED);
    join_all(unplanned.map(|port| async move { connect(site.at(port), limit).await.0 })).await
}
