//! Where something else is probed than the server that the estate names (an update agent, a mirror): what that one has.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fwdrill_protocol::update_set::VersionAnswer;

use super::super::connect::connect;
use super::super::http::{VERSION_PATH, beginning, request, trouble};
use super::super::{Site, resolve};
use crate::http::{HttpError, get_over};
use crate::observation::content::Upstream;
use crate::plan::Depth;

/// It is asked beside the flows, and nobody waits for it longer than for them.
const LIMIT: Duration = Duration::from_millis(2500);

/// Asks the version service of the estate's server, if that is another host than the one that is probed.
pub(in crate::probe) async fn ask(site: &Site<'_>, probed: &[IpAddr]) -> Option<Upstream> {
    let host = site.plan.estate.server.host.as_deref()?;
    if site.plan.depth < Depth::Usual || host.eq_ignore_ascii_case(&site.plan.target) {
        return None;
    }
    let resolution = resolve(host).await;
    if resolution.addresses.iter().any(|address| probed.contains(address)) {
        return None;
    }
    let answer = match resolution.addresses.first() {
        None => Err(resolution.error.unwrap_or_else(|| "it has no address".to_owned())),
        Some(address) => {
            let to = SocketAddr::new(*address, site.plan.estate.ports.version);
            match tokio::time::timeout(LIMIT, version(site, to)).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("{to}: no answer within {LIMIT:.1?}")),
            }
        }
    };
    let (answer, error) = match answer {
        Ok(answer) => (Some(answer), None),
        Err(error) => (None, Some(error)),
    };
    Some(Upstream {
        host: host.to_owned(),
        answer,
        error,
    })
}

async fn version(site: &Site<'_>, to: SocketAddr) -> Result<VersionAnswer, String> {
    let (attempt, stream) = connect(to, LIMIT).await;
    let stream = stream.ok_or_else(|| format!("{to}: {}", attempt.outcome.name()))?;
    let asked = async {
        let mut response = get_over(stream, to, &request(site, to, VERSION_PATH), &site.limits).await?;
        beginning(&mut response).await
    };
    let body = asked
        .await
        .map_err(|error: HttpError| format!("{to}: {}", trouble(&error).text))?;
    VersionAnswer::parse(&body).map_err(|_| format!("{to}: it is no version service"))
}
