//! Active mode, tried once at the end of a session: somebody may still have clients that know nothing else.

use fwdrill_protocol::host::Counters;
use tokio::net::TcpListener;

use super::ftp::trouble;
use crate::ftp::Control;
use crate::observation::active::ActiveTalk;

/// Offers to be connected to. A server that does not do that says so, and that is all; `None` where this host cannot listen.
pub(super) async fn attempt(control: &mut Control) -> Option<ActiveTalk> {
    let listener = TcpListener::bind((control.local().ip(), 0)).await.ok()?;
    let told = listener.local_addr().ok()?;
    let mut talk = ActiveTalk {
        told,
        command: String::new(),
        reply: None,
        from: None,
        listed: None,
        received: None,
        undelivered: None,
        trouble: None,
    };
    match control.active(told).await {
        Ok((command, reply)) => (talk.command, talk.reply) = (command, Some(reply)),
        Err(error) => talk.trouble = Some(trouble(&error)),
    }
    if !talk.accepted() {
        return Some(talk);
    }
    let before = here();
    let arrival = control.list_to(&listener).await;
    talk.undelivered = before
        .zip(here())
        .filter(|_| told.is_ipv4())
        .map(|(before, after)| after.since(&before).undelivered());
    talk.from = arrival.from;
    talk.received = arrival.received;
    match arrival.reply {
        Ok(reply) => talk.listed = Some(reply),
        Err(error) => {
            talk.listed = error.reply().cloned();
            talk.trouble = Some(trouble(&error));
        }
    }
    Some(talk)
}

/// This host's own counters, of IPv4 only: what neighbours say to everybody over IPv6 is mostly not delivered anywhere.
pub(super) fn here() -> Option<Counters> {
    let snmp = std::fs::read_to_string("/proc/net/snmp").ok()?;
    Counters::parse(&snmp, "", "")
}
