//! Questions to the FTP service that only some paths raise: does it work under TLS as well, does a helper read along?

use std::net::SocketAddr;
use std::time::Duration;

use fwdrill_protocol::estate::Tls;
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::report::Outcome;

use super::connect::connect;
use super::ftp::{self, Privacy, Wanted};
use super::{Site, helper};
use crate::limits::Limits;
use crate::observation::privacy::Beside;
use crate::observation::{FtpTalk, Observations, PassiveCommand, PassiveTalk};
use crate::plan::Depth;

/// The same port was reached in clear a moment ago: a SYN and one repetition.
const DATA: Duration = Duration::from_millis(1500);

/// Asks what the client's own dialogue and the passive range leave open.
pub(super) async fn ask(site: &Site<'_>, seen: &Observations) -> Beside {
    let expected = site.plan.estate.expected(&site.plan.vantage, Flow::FtpPassive);
    let Some(talk) = seen.ftp.as_ref().filter(|talk| talk.logged_in_as.is_some()) else {
        return Beside::default();
    };
    if site.plan.depth < Depth::Usual || expected != Expected::Open {
        return Beside::default();
    }
    let to = site.at(site.plan.estate.ftp.port);
    let (under_tls, helper) = tokio::join!(
        async {
            match asks_for_tls(site, seen, talk) {
                Some(mode) => under_tls(site, to, mode).await,
                None => None,
            }
        },
        async {
            if talk.passive.iter().all(PassiveTalk::worked) {
                None
            } else {
                helper::test(to, &site.limits).await
            }
        }
    );
    Beside { under_tls, helper }
}

/// The dialogue under TLS with one of the modes that work in clear.
async fn under_tls(site: &Site<'_>, to: SocketAddr, mode: PassiveCommand) -> Option<FtpTalk> {
    let stream = connect(to, site.limits.connect).await.1?;
    let site = Site {
        limits: Limits {
            data_connect: site.limits.data_connect.min(DATA),
            ..site.limits
        },
        ..*site
    };
    let wanted = Wanted {
        privacy: Privacy::Tls,
        modes: &[mode],
        active: false,
    };
    Some(ftp::talk(&site, stream, wanted).await)
}

/// The mode that works in clear and may not under TLS: the range is closed but for sessions that somebody reads.
fn asks_for_tls(site: &Site<'_>, seen: &Observations, talk: &FtpTalk) -> Option<PassiveCommand> {
    let in_clear = talk.tls.is_none() && site.plan.estate.ftp.tls == Tls::Optional;
    let lost = |outcome| matches!(outcome, Outcome::Timeout | Outcome::Unreachable | Outcome::Refused);
    let ports = &seen.passive.ports;
    let closed = !ports.is_empty() && ports.iter().all(|tried| lost(tried.attempt.outcome));
    let works = talk.passive.iter().find(|talk| talk.worked())?.command;
    (in_clear && (closed || site.plan.depth >= Depth::Thorough)).then_some(works)
}
