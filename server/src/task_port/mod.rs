//! The server dials a client's task port because the client's drill asks for it: can tasks reach it?
//!
//! Only the address that the request comes from, only the port that the estate names, so many at once and each address only
//! every few seconds: nobody can turn this server against a third party, or have it look for open ports.

mod dial;
mod hops;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::estate::Ports;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::sighting::{Event, Syn};
use fwdrill_protocol::task_port::TaskPortAnswer;
use http::StatusCode;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::http::{Ends, Problem, Representation};
use crate::journal::Journal;
pub(crate) use dial::{Dialled, dial};

/// For so many clients at once.
const AT_ONCE: usize = 32;

/// The same address is not dialled again before this time is over.
const PAUSE: Duration = Duration::from_secs(2);

/// How long the client may take to prove itself.
const PROOF: Duration = Duration::from_secs(2);

/// Dials task ports. One for all services of a server.
#[derive(Debug)]
pub(crate) struct TaskPorts {
    /// The clients' task port.
    port: u16,
    /// A port to compare with, to which only packets go that expire on the way.
    elsewhere: u16,
    journal: Journal,
    seats: Semaphore,
    dialled: Mutex<HashMap<IpAddr, Instant>>,
}

impl TaskPorts {
    pub(crate) fn new(ports: &Ports, journal: Journal) -> Arc<Self> {
        Arc::new(TaskPorts {
            port: ports.agent,
            elsewhere: ports.self_events,
            journal,
            seats: Semaphore::new(AT_ONCE),
            dialled: Mutex::default(),
        })
    }

    /// Answers a drill's request: 403 without a drill, 404 where the estate has no such port, 429 for who asks too often.
    pub(crate) async fn answer(&self, drill: Option<DrillId>, ends: Ends) -> Result<Representation, Problem> {
        let drill = drill.ok_or(Problem(StatusCode::FORBIDDEN, "only a drill has its task port dialled"))?;
        if self.port == 0 {
            return Err(Problem(StatusCode::NOT_FOUND, "this estate names no task port"));
        }
        let seat = self.seats.try_acquire();
        let seat = seat.map_err(|_| Problem(StatusCode::TOO_MANY_REQUESTS, "too many clients are being dialled"))?;
        if !self.may_dial(ends.peer.ip()) {
            return Err(Problem(
                StatusCode::TOO_MANY_REQUESTS,
                "this address was dialled a moment ago",
            ));
        }
        let answer = self.dial(drill, ends).await;
        drop(seat);
        let event = Event::TaskPortDialled {
            to: answer.to,
            outcome: answer.outcome,
            proved: answer.proved,
        };
        self.journal
            .record(Some(drill), Flow::Tasks, answer.from, answer.to, event);
        Representation::json(&answer)
    }

    fn may_dial(&self, address: IpAddr) -> bool {
        let mut dialled = self.dialled.lock().unwrap_or_else(PoisonError::into_inner);
        dialled.retain(|_, at| at.elapsed() < PAUSE);
        let free = !dialled.contains_key(&address);
        if free {
            dialled.insert(address, Instant::now());
        }
        free
    }

    async fn dial(&self, drill: DrillId, ends: Ends) -> TaskPortAnswer {
        let (from, to) = (ends.local.ip(), SocketAddr::new(ends.peer.ip(), self.port));
        let Dialled {
            local,
            outcome,
            offender,
            stream,
        } = dial(from, to).await;
        let mut answer = TaskPortAnswer {
            from: local,
            to,
            outcome,
            offender,
            proved: None,
            routers: ends.syn.and_then(routers),
            hops: Vec::new(),
            hops_elsewhere: Vec::new(),
        };
        match stream {
            Some(stream) => {
                let proved = timeout(PROOF, dial::proves(stream, drill)).await;
                answer.proved = Some(proved.unwrap_or(false));
            }
            None if answer.outcome != Outcome::CheckFailed => {
                (answer.hops, answer.hops_elsewhere) = self.hops(from, to, answer.routers).await;
            }
            None => {}
        }
        answer
    }

    /// No farther than the last router: beyond it there is the client, or a stranger.
    async fn hops(
        &self,
        from: IpAddr,
        to: SocketAddr,
        routers: Option<u8>,
    ) -> (Vec<Option<IpAddr>>, Vec<Option<IpAddr>>) {
        let farthest = routers.unwrap_or(hops::FARTHEST).min(hops::FARTHEST);
        let elsewhere = SocketAddr::new(to.ip(), self.elsewhere);
        let comparable = routers.filter(|_| self.elsewhere != 0).map_or(0, |_| farthest);
        tokio::join!(hops::of(from, to, farthest), hops::of(from, elsewhere, comparable))
    }
}

/// How many routers a SYN has crossed: systems begin with 64, 128 or 255.
fn routers(syn: Syn) -> Option<u8> {
    let initial = [64_u8, 128, 255].into_iter().find(|initial| *initial >= syn.ttl)?;
    Some(initial - syn.ttl)
}

#[cfg(test)]
mod tests {
    use super::*;
    use fwdrill_protocol::estate::Estate;
    use fwdrill_protocol::task_port::proof;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn desk(port: u16) -> Arc<TaskPorts> {
        let ports = Ports {
            agent: port,
            ..Estate::default().ports
        };
        TaskPorts::new(&ports, Journal::in_memory(Default::default()))
    }

    fn ends(peer: [u8; 4]) -> Ends {
        Ends {
            local: ([127, 0, 0, 2], 3333).into(),
            peer: (peer, 40000).into(),
            syn: Some(Syn { ttl: 64, mss: None }),
        }
    }

    async fn closed_port() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    }

    /// A client that answers one request with what `said` makes of the nonce.
    async fn client(said: impl FnOnce(&str) -> String + Send + 'static) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 1024];
            let read = stream.read(&mut request).await.unwrap();
            let text = String::from_utf8_lossy(&request[..read]).into_owned();
            let nonce = text
                .lines()
                .find_map(|line| line.strip_prefix("x-fwdrill-nonce: "))
                .unwrap();
            let body = said(nonce);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        });
        port
    }

    #[tokio::test]
    async fn a_client_that_knows_its_drill_proves_itself() {
        let drill = DrillId::random();
        let port = client(move |nonce| proof(drill, nonce)).await;
        let answer = desk(port).dial(drill, ends([127, 0, 0, 1])).await;
        assert_eq!(
            (answer.outcome, answer.proved),
            (Outcome::Open, Some(true)),
            "{answer:?}"
        );
        assert_eq!(answer.from.ip(), IpAddr::from([127, 0, 0, 2]));
        assert_eq!(answer.routers, Some(0));
    }

    #[tokio::test]
    async fn somebody_else_at_the_port_proves_nothing() {
        let port = client(|nonce| proof(DrillId::random(), nonce)).await;
        let answer = desk(port).dial(DrillId::random(), ends([127, 0, 0, 1])).await;
        assert_eq!((answer.outcome, answer.proved), (Outcome::Open, Some(false)));
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_refused_and_noted() {
        let port = closed_port().await;
        let (desk, drill) = (desk(port), DrillId::random());
        assert!(desk.answer(Some(drill), ends([127, 0, 0, 1])).await.is_ok());
        let sightings = desk.journal.of(drill);
        assert!(
            matches!(sightings[0].event, Event::TaskPortDialled { outcome: Outcome::Refused, proved: None, to }
                if to.port() == port),
            "{sightings:?}"
        );
    }

    #[tokio::test]
    async fn only_a_drill_is_dialled_and_an_address_only_every_few_seconds() {
        let port = closed_port().await;
        let (desk, drill) = (desk(port), Some(DrillId::random()));
        let code = |answer: Result<Representation, Problem>| answer.err().map(|problem| problem.0);
        assert_eq!(
            code(desk.answer(None, ends([127, 0, 0, 1])).await),
            Some(StatusCode::FORBIDDEN)
        );
        assert_eq!(code(desk.answer(drill, ends([127, 0, 0, 1])).await), None);
        let again = desk.answer(drill, ends([127, 0, 0, 1])).await;
        assert_eq!(code(again), Some(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(
            code(desk.answer(drill, ends([127, 0, 0, 3])).await),
            None,
            "another address may"
        );
    }

    #[test]
    fn what_is_left_of_a_ttl_tells_how_many_routers_there_are() {
        let of = |ttl| routers(Syn { ttl, mss: None });
        assert_eq!(
            [of(62), of(64), of(118), of(250)],
            [Some(2), Some(0), Some(10), Some(5)]
        );
    }
}
