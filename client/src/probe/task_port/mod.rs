//! Does the server reach this client's task port? The client listens, the server dials, both say what they saw.
//!
//! Where an agent has the port already, it listens for this drill too.

mod shared;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::flow::{Expected, Flow};
use fwdrill_protocol::task_port::{NONCE_HEADER, TASK_PORT_PATH, TaskPortAnswer, proof};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::Site;
use super::active::here;
use super::evidence::services;
use super::http::short_answer;
use super::path::local_address;
use crate::limits::Limits;
use crate::observation::Observations;
use crate::observation::task_port::TaskPort;
use shared::Shared;

/// The server dials for 2.5 s, waits 2 s for a proof or looks at the way for one.
const DIALS: Duration = Duration::from_secs(6);

/// Who connects asks at once.
const REQUEST: Duration = Duration::from_secs(2);

/// An answer is a few addresses.
const LONGEST: usize = 64 * 1024;

/// Whoever else connects meanwhile; nobody can make it more.
const VISITORS: usize = 16;

/// Asks the server to dial, where the estate expects anything of that; `None` elsewhere.
pub(super) async fn ask(site: &Site<'_>, seen: &Observations) -> Option<TaskPort> {
    let estate = &site.plan.estate;
    if estate.expected(&site.plan.vantage, Flow::Tasks) == Expected::Any || !site.plan.evidence {
        return None;
    }
    let unspecified = match site.address {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let (door, not_listening) = Door::open(site, (unspecified, estate.ports.agent).into()).await;
    let listening = door.address();
    let arrivals = Mutex::new(Vec::new());
    let before = here();
    let asked = tokio::select! {
        asked = request(site, seen) => asked,
        never = door.watch(site.plan.drill, &arrivals) => match never {},
    };
    let mut arrivals = arrivals.into_inner().unwrap_or_else(PoisonError::into_inner);
    arrivals.sort_unstable();
    let (answer, refusal) = match asked {
        Ok(answer) => (Some(answer), None),
        Err(refusal) => (None, Some(refusal)),
    };
    Some(TaskPort {
        own: local_address(site.address),
        listening,
        not_listening,
        arrivals,
        undelivered: before
            .zip(here())
            .filter(|_| site.address.is_ipv4())
            .map(|(before, after)| after.since(&before).undelivered()),
        answer,
        refusal,
    })
}

/// Asks every service that speaks our HTTP until one answers.
async fn request(site: &Site<'_>, seen: &Observations) -> Result<TaskPortAnswer, String> {
    let patient = Site {
        limits: Limits {
            reply: site.limits.reply.max(DIALS),
            ..site.limits
        },
        ..*site
    };
    let mut refusals = Vec::new();
    for to in services(seen) {
        match short_answer(&patient, to, TASK_PORT_PATH, LONGEST).await {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(answer) => return Ok(answer),
                Err(error) => refusals.push(format!("{to}: not an answer: {error}")),
            },
            Err(refusal) => refusals.push(refusal),
        }
    }
    if refusals.is_empty() {
        refusals.push("neither the version nor the HTTP service can be asked to dial".to_owned());
    }
    Err(refusals.join("; "))
}

/// Where this drill's proof can be had.
enum Door {
    /// At a port of our own.
    Own(TcpListener),
    /// At the agent's.
    Shared(Shared),
    /// Nowhere.
    None,
}

impl Door {
    /// Opens one, or says why there is none.
    async fn open(site: &Site<'_>, address: SocketAddr) -> (Self, Option<String>) {
        let error = match TcpListener::bind(address).await {
            Ok(listener) => return (Door::Own(listener), None),
            Err(error) => error,
        };
        let taken = error.kind() == io::ErrorKind::AddrInUse;
        let shared = match taken {
            true => Shared::join(site.plan.self_events, site.plan.drill).await,
            false => None,
        };
        match shared {
            Some(shared) => (Door::Shared(shared), None),
            None => (Door::None, Some(error.to_string())),
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        match self {
            Door::Own(listener) => listener.local_addr().ok(),
            Door::Shared(shared) => Some(shared.address()),
            Door::None => None,
        }
    }

    /// Notes everybody who asks for the proof, until nobody waits for it any more.
    async fn watch(self, drill: DrillId, arrivals: &Mutex<Vec<SocketAddr>>) -> Infallible {
        match self {
            Door::Own(listener) => listen(&listener, drill, arrivals).await,
            Door::Shared(mut shared) => {
                while let Some(asker) = shared.asked().await {
                    note(arrivals, asker);
                }
            }
            Door::None => {}
        }
        std::future::pending().await
    }
}

/// Proves to everybody who asks that this is the client of `drill`.
async fn listen(listener: &TcpListener, drill: DrillId, arrivals: &Mutex<Vec<SocketAddr>>) {
    // So many side by side: one who says nothing must not keep the server waiting.
    join_all((0..VISITORS).map(async |_| {
        if let Ok((stream, from)) = listener.accept().await
            && let Ok(Some(())) = timeout(REQUEST, prove(stream, drill)).await
        {
            note(arrivals, from);
        }
    }))
    .await;
}

fn note(arrivals: &Mutex<Vec<SocketAddr>>, from: SocketAddr) {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(from);
}

/// One request, one answer. `None` for who asks for something else.
async fn prove(mut stream: TcpStream, drill: DrillId) -> Option<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut part = [0; 512];
        let read = stream.read(&mut part).await.ok()?;
        request.extend_from_slice(part.get(..read)?);
        if read == 0 || request.len() > 4096 {
            return None;
        }
    }
    let text = std::str::from_utf8(&request).ok()?;
    let nonce = text
        .lines()
        .find_map(|line| line.split_once(": ").filter(|(name, _)| *name == NONCE_HEADER))?;
    let body = proof(drill, nonce.1);
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
    stream.shutdown().await.ok()
}
