//! One HTTP connection, from accept to close.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::sighting::Event;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::body::Body;
use super::stall::Stalling;
use super::stream;
use super::{Ends, Limits, Site};
use crate::connection::{Accepted, close_gently};
use crate::stream::Stream;

/// Lives one connection. When `stopping` is cancelled the response at hand is finished and the connection closed.
pub(crate) async fn live(site: Arc<Site>, accepted: Accepted, stopping: CancellationToken) {
    let visit = Arc::new(Visit {
        ends: Ends::of(&accepted),
        site,
        noted: Mutex::new(Noted::Nothing),
    });
    let limits = visit.site.limits;
    let stream = match stream::open(accepted.stream, visit.site.tls.clone(), limits.handshake, &stopping).await {
        Ok(stream) => stream,
        Err(error) => {
            debug!(peer = %visit.ends.peer, %error, "no TLS handshake");
            return visit.note_silent_end();
        }
    };
    let service = {
        let visit = visit.clone();
        service_fn(move |request| {
            let visit = visit.clone();
            Box::pin(async move { Ok::<_, Infallible>(visit.answer(request).await) })
        })
    };
    let spoken = speak(stream, &limits, service, &stopping).await;
    if let Err(error) = &spoken.ended {
        debug!(peer = %visit.ends.peer, error = %crate::chain(error), "connection ended early");
    }
    visit.note_silent_end();
    spoken.close().await;
}

/// A connection on which HTTP is over.
pub(crate) struct Spoken {
    /// How.
    pub(crate) ended: Result<(), hyper::Error>,
    stream: Stream,
    /// The server stops: nobody waits for the client's end.
    stopping: bool,
}

impl Spoken {
    /// Closes it, with close_notify where there is TLS and all was in order.
    pub(crate) async fn close(self) {
        let mut stream = stream::into_tcp_after_close_notify(self.stream, self.ended.is_ok()).await;
        if !self.stopping {
            close_gently(&mut stream).await;
        }
    }
}

/// Speaks HTTP/1.1 on a connection within the limits, until either end has had enough. When `stopping` is cancelled the
/// response at hand is finished.
pub(crate) async fn speak<S, B>(stream: Stream, limits: &Limits, service: S, stopping: &CancellationToken) -> Spoken
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Unpin> + Unpin,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let stream = Stalling::new(stream, limits.write_stall);
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_header_size(limits.header_bytes)
        // A client may end its side and still wait for the answer, as `nc -N` does.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);

    let mut stop = pin!(stopping.cancelled());
    let mut told = false;
    let ended = poll_fn(|cx| {
        if !told && stop.as_mut().poll(cx).is_ready() {
            told = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        connection.poll_without_shutdown(cx)
    })
    .await;
    Spoken {
        ended,
        stream: connection.into_parts().io.into_inner().into_inner(),
        stopping: told,
    }
}

/// A connection and what has been noted of it.
struct Visit {
    site: Arc<Site>,
    ends: Ends,
    noted: Mutex<Noted>,
}

/// In whose name the connection was last noted as accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Noted {
    Nothing,
    For(Option<DrillId>),
}

impl Visit {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let drill = self.site.drill_of(&request);
        self.note_accepted(drill);
        // Without a drill nobody asks for it.
        let asked = drill.map(|_| format!("{} {}", request.method(), request.uri().path()));
        let response = self.site.answer(request, self.ends, drill).await;
        if let Some(request) = asked {
            let status = response.status().as_u16();
            self.site.note(drill, self.ends, Event::Answered { request, status });
        }
        response
    }

    /// Notes the connection once for every drill that shows on it: a proxy may send several over one.
    fn note_accepted(&self, drill: Option<DrillId>) {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let news = match *noted {
            Noted::Nothing => true,
            Noted::For(before) => drill.is_some() && drill != before,
        };
        if news {
            *noted = Noted::For(drill);
            self.site.note_accepted(drill, self.ends);
        }
    }

    fn note_silent_end(&self) {
        if *self.noted.lock().unwrap_or_else(PoisonError::into_inner) == Noted::Nothing {
            self.site.note_accepted(None, self.ends);
        }
    }
}
