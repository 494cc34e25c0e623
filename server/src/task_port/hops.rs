//! Which routers a SYN meets on its way to a client: who says "time exceeded" for a TTL of 1, 2 and so on.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;

use super::dial::{begin, end};

/// Routers beyond this one are not asked for.
pub(super) const FARTHEST: u8 = 12;

/// Shorter than the first repetition of a SYN.
const ANSWER: Duration = Duration::from_millis(900);

/// The router at each TTL from 1 to `farthest`; `None` where nobody said anything, or somebody else than a router did.
pub(super) async fn of(from: IpAddr, to: SocketAddr, farthest: u8) -> Vec<Option<IpAddr>> {
    join_all((1..=farthest).map(async |ttl| {
        let stream = begin(from, to, Some(ttl)).ok()?;
        end(stream, ANSWER).await.1
    }))
    .await
}
