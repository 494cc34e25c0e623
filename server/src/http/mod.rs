//! HTTP/1.1 as ports 2221 and 3333 speak it: GET and HEAD of things with validators.
//!
//! | file | does |
//! |---|---|
//! | `live`, `stream` | one connection, in clear or under TLS: limits of time and size, graceful end |
//! | `host` | refuses requests without a proper Host |
//! | `preconditions`, `range` | conditional and partial requests as RFC 9110 wants them |
//! | `representation` | puts these together into a response |
//! | `posted` | what clients bring: events, check-ins |
//! | `body`, `transfer` | sends it, and notes what really left |
//! | `tree`, `encoding` | what paths on 2221 stand for |

mod body;
mod encoding;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod host;
mod live;
mod posted;
mod preconditions;
mod range;
mod representation;
mod stall;
mod stream;
mod transfer;
mod tree;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use fwdrill_protocol::drill::{DRILL_HEADER, DrillId, EVIDENCE_PATH};
use fwdrill_protocol::event::EVENTS_PATH;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::sighting::{Event, Syn};
use fwdrill_protocol::storm::STORMS_PATH;
use fwdrill_protocol::sweep::SWEEP_PATH;
use fwdrill_protocol::task::{CHECK_IN_PATH, SIGNATURE_HEADER};
use fwdrill_protocol::task_port::TASK_PORT_PATH;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use rustls::ServerConfig;

use crate::connection::Accepted;
use crate::events::EventDesk;
use crate::evidence::EvidenceDesk;
use crate::journal::Journal;
use crate::shelf::Shelf;
use crate::sweep::Sweep;
use crate::task_port::TaskPorts;
use crate::tasks::{Signed, TaskDesk};
use crate::version;
use body::Body;
use representation::{put, status};
use transfer::{Transfer, WORTH_WATCHING};

pub(crate) use live::{live, speak};
pub(crate) use posted::{Refusal, Room};
pub(crate) use representation::{Caching, Content, Representation};

/// What one HTTP connection may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The request line and all header fields together, bytes; beyond it 431. (Of fields there are at most 100.)
    pub header_bytes: usize,
    /// How long a client may take over its request line and header fields. Counted from the end of the response before,
    /// so it is also how long a connection may be idle.
    pub header_time: Duration,
    /// How long a client may take nothing of a response before it is given up.
    pub write_stall: Duration,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            header_bytes: 32 * 1024,
            header_time: Duration::from_secs(30),
            write_stall: Duration::from_secs(60),
            handshake: Duration::from_secs(15),
        }
    }
}

/// One HTTP service of the estate: [`Flow::Http`], [`Flow::Version`], [`Flow::Events`] or [`Flow::Agent`].
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) flow: Flow,
    pub(crate) shelf: Shelf,
    pub(crate) journal: Journal,
    pub(crate) evidence: EvidenceDesk,
    pub(crate) sweep: Option<Arc<Sweep>>,
    pub(crate) task_ports: Arc<TaskPorts>,
    pub(crate) limits: Limits,
    /// For [`Flow::Events`].
    pub(crate) events: Option<EventDesk>,
    /// For [`Flow::Agent`].
    pub(crate) tasks: Option<TaskDesk>,
    /// For HTTPS.
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

/// The two ends of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) syn: Option<Syn>,
}

impl Ends {
    pub(crate) fn of(accepted: &Accepted) -> Self {
        Ends {
            local: accepted.local,
            peer: accepted.peer,
            syn: accepted.syn,
        }
    }
}

/// An answer without a representation: the status and one line that says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Problem(pub(crate) StatusCode, pub(crate) &'static str);

/// The answer while the depot is empty.
pub(crate) const NO_SET: Problem = Problem(StatusCode::SERVICE_UNAVAILABLE, "there is no update set here yet");

impl Site {
    /// Answers one request and notes it for its drill.
    async fn answer(&self, request: Request<Incoming>, ends: Ends, drill: Option<DrillId>) -> Response<Body> {
        if let Err(why) = host::check(request.version(), request.uri(), request.headers()) {
            return problem(StatusCode::BAD_REQUEST, why);
        }
        match (&self.events, &self.tasks, request.uri().path()) {
            (Some(_), _, EVENTS_PATH) | (_, Some(_), CHECK_IN_PATH) if request.method() != Method::POST => {
                return not_allowed("only POST", "POST");
            }
            (Some(desk), _, EVENTS_PATH) => {
                let received = desk.receive(request, ends, drill).await;
                return posted::respond(received.and_then(|receipt| Ok(Representation::json(&receipt)?)));
            }
            (Some(desk), _, STORMS_PATH) if request.method() == Method::GET => {
                let storms = desk.storms(request.headers()).await;
                return posted::respond(storms.and_then(|storms| Ok(Representation::json(&storms)?)));
            }
            (_, Some(desk), CHECK_IN_PATH) => return orders(desk.check_in(request, ends).await),
            _ => {}
        }
        let (method, path) = (request.method(), request.uri().path());
        if method != Method::GET && method != Method::HEAD {
            return not_allowed("only GET and HEAD", "GET, HEAD");
        }
        match self.find(path, request.headers(), drill, ends).await {
            Ok(found) => found.respond(method, request.headers(), |bytes| {
                self.transfer(drill, ends, path.to_owned(), bytes)
            }),
            Err(Problem(code, why)) => {
                let mut response = problem(code, why);
                if code == StatusCode::SERVICE_UNAVAILABLE {
                    put(&mut response, RETRY_AFTER, "10");
                }
                response
            }
        }
    }

    async fn find(
        &self,
        path: &str,
        headers: &HeaderMap,
        drill: Option<DrillId>,
        ends: Ends,
    ) -> Result<Representation, Problem> {
        match path {
            "/healthz" => Ok(Representation::new(
                Content::Memory("ok\n".into()),
                "text/plain; charset=utf-8",
                Caching::Never,
            )),
            EVIDENCE_PATH => self.evidence.answer(drill).await,
            SWEEP_PATH => match &self.sweep {
                Some(sweep) => sweep.offer(drill),
                None => Err(Problem(StatusCode::NOT_FOUND, "there is no FTP here")),
            },
            TASK_PORT_PATH => self.task_ports.answer(drill, ends).await,
            _ if self.flow == Flow::Events => Err(Problem(StatusCode::NOT_FOUND, "events are posted to /events")),
            _ if self.flow == Flow::Agent => Err(Problem(StatusCode::NOT_FOUND, "agents post to /check-in")),
            _ if self.flow == Flow::Version => version::find(&self.shelf, path).await,
            _ => tree::find(&self.shelf, path, headers).await,
        }
    }

    /// The note of a download, for those that are noted; the long ones can be watched from now on.
    fn transfer(&self, drill: Option<DrillId>, ends: Ends, path: String, bytes: u64) -> Option<Transfer> {
        let watched = bytes >= WORTH_WATCHING;
        (self.flow == Flow::Http && (watched || drill.is_some())).then(|| {
            let moved = Arc::new(AtomicU64::new(0));
            if watched {
                let census = self.journal.census();
                census.begun(ends.local, ends.peer, path.clone(), moved.clone());
            }
            Transfer {
                journal: self.journal.clone(),
                drill,
                flow: self.flow,
                ends,
                path,
                bytes,
                moved,
            }
        })
    }

    fn note_accepted(&self, drill: Option<DrillId>, ends: Ends) {
        self.journal.accepted(drill, self.flow, ends.local, ends.peer, ends.syn);
    }

    fn note(&self, drill: Option<DrillId>, ends: Ends, event: Event) {
        self.journal.record(drill, self.flow, ends.local, ends.peer, event);
    }

    /// The drill that a request belongs to. Nobody becomes known by asking for evidence or by posting anything: then an id
    /// that the journal has never met, or has forgotten, would look like a drill of which nothing was seen.
    fn drill_of<B>(&self, request: &Request<B>) -> Option<DrillId> {
        let id: DrillId = request.headers().get(DRILL_HEADER)?.to_str().ok()?.parse().ok()?;
        let anybody = ![EVIDENCE_PATH, EVENTS_PATH, CHECK_IN_PATH].contains(&request.uri().path());
        (anybody || self.journal.knows(id)).then_some(id)
    }
}

/// The answer to a check-in.
fn orders(checked_in: Result<Signed, Refusal>) -> Response<Body> {
    match checked_in {
        Ok(Signed { json, signature }) => {
            let orders = Representation::new(Content::Memory(json.into()), "application/json", Caching::Never);
            let mut response = posted::respond(Ok(orders));
            put(&mut response, HeaderName::from_static(SIGNATURE_HEADER), signature);
            response
        }
        Err(refusal) => posted::respond(Err(refusal)),
    }
}

fn not_allowed(why: &'static str, allowed: &'static str) -> Response<Body> {
    let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, why);
    put(&mut response, ALLOW, allowed);
    response
}

/// A response that says in one line why there is no other.
fn problem(code: StatusCode, why: &'static str) -> Response<Body> {
    let mut response = status(code, Body::of_text(format!("{why}\n")));
    put(&mut response, CONTENT_TYPE, "text/plain; charset=utf-8");
    put(&mut response, CACHE_CONTROL, "no-store");
    response
}
