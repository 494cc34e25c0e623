//! IPv6 beside IPv4: where a name has both, which one is probed, and how the other one fares.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use fwdrill_protocol::flow::{Expected, Flow};

use super::connect::connect;
use crate::observation::path::OtherFamily;
use crate::observation::{Attempt, Resolution};
use crate::plan::Plan;

/// Long enough for a SYN and one repetition; a family that is slower than that is no good to anybody.
const LIMIT: Duration = Duration::from_millis(2200);

/// Puts the address to probe first: the resolver's choice, unless nothing answers there and something does at the other
/// family's first address. Tells how that one fares.
pub(super) async fn choose(plan: &Plan, resolution: &mut Resolution) -> Option<OtherFamily> {
    let first = *resolution.addresses.first()?;
    let at = resolution
        .addresses
        .iter()
        .position(|address| address.is_ipv4() != first.is_ipv4())?;
    let other = *resolution.addresses.get(at)?;
    let (here, there) = tokio::join!(dial(plan, first), dial(plan, other));
    let answers = |attempts: &[(Flow, Attempt)]| attempts.iter().any(|(_, attempt)| attempt.stood());
    let (address, attempts) = if !answers(&here) && answers(&there) {
        resolution.addresses.swap(0, at);
        (first, here)
    } else {
        (other, there)
    };
    Some(OtherFamily {
        address,
        attempts: attempts.into_iter().collect(),
    })
}

async fn dial(plan: &Plan, address: IpAddr) -> Vec<(Flow, Attempt)> {
    let wanted = plan
        .estate
        .flows()
        .filter(|flow| plan.estate.expected(&plan.vantage, *flow) == Expected::Open);
    join_all(wanted.filter_map(|flow| {
        let to = SocketAddr::new(address, plan.estate.port(flow)?);
        Some(async move { (flow, connect(to, plan.limit.min(LIMIT)).await.0) })
    }))
    .await
}
