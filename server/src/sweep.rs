//! The sweep: for a few seconds the whole passive range listens, and every port proves to a drill that it is this
//! server's. What a sweep holds is given up at once when a session wants a port.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::sweep::{SweepAnswer, SweepOffer};
use http::StatusCode;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::connection::{Accepted, canonical, close_gently};
use crate::ftp::passive::PassivePool;
use crate::http::{Problem, Representation};
use crate::journal::Journal;
use crate::{saved_syn, sentinel};

/// How long the range listens after the last request. A client dials all of it within its own limit, a few seconds.
const LISTENS: Duration = Duration::from_secs(10);

/// Sweeps of one passive range. There is one at a time; a request while it runs prolongs it.
#[derive(Debug)]
pub(crate) struct Sweep {
    pool: Arc<PassivePool>,
    /// Where the server listens: drills may arrive at several of its addresses at once.
    address: IpAddr,
    journal: Journal,
    stopping: CancellationToken,
    until: Mutex<Option<Instant>>,
}

impl Sweep {
    pub(crate) fn new(
        pool: Arc<PassivePool>,
        address: IpAddr,
        journal: Journal,
        stopping: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Sweep {
            pool,
            address,
            journal,
            stopping,
            until: Mutex::new(None),
        })
    }

    /// Answers a request for a sweep.
    pub(crate) fn offer(self: &Arc<Self>, drill: Option<DrillId>) -> Result<Representation, Problem> {
        if drill.is_none() {
            return Err(Problem(StatusCode::FORBIDDEN, "a sweep belongs to a drill"));
        }
        let planned = self.pool.ports();
        if planned.is_empty() {
            return Err(Problem(StatusCode::NOT_FOUND, "there is no passive range here"));
        }
        let listening = self.pool.sweep(self.address);
        self.prolong();
        let offer = SweepOffer {
            busy: planned.without(&listening),
            listening,
            seconds: LISTENS.as_secs(),
        };
        Representation::json(&offer)
    }

    fn prolong(self: &Arc<Self>) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.replace(Instant::now() + LISTENS).is_none() {
            info!(ports = %self.pool.ports(), "sweep: the whole passive range listens");
            tokio::spawn(self.clone().run());
        }
    }

    async fn run(self: Arc<Self>) {
        while let Some(until) = self.ends_at() {
            tokio::select! {
                (stream, local, peer) = self.pool.accept_swept() => {
                    let _ = stream.set_nodelay(true);
                    let (local, peer) = (canonical(local), canonical(peer));
                    let syn = saved_syn::of(&stream);
                    tokio::spawn(answer(self.journal.clone(), Accepted { stream, local, peer, syn }));
                }
                () = sleep_until(until) => {}
                () = self.stopping.cancelled() => self.end(),
            }
        }
        self.pool.end_sweep();
        debug!("sweep ended");
    }

    /// When the sweep ends; `None` when that time has come.
    fn ends_at(&self) -> Option<Instant> {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.is_some_and(|until| until <= Instant::now()) {
            *until = None;
        }
        *until
    }

    fn end(&self) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// One connection to a swept port. Without a drill in its first line it learns nothing.
async fn answer(journal: Journal, accepted: Accepted) {
    let Accepted {
        mut stream,
        local,
        peer,
        syn,
    } = accepted;
    let drill = timeout(sentinel::PATIENCE, sentinel::first_line(&mut stream)).await;
    let drill = drill.ok().flatten();
    journal.accepted(drill, Flow::FtpPassive, local, peer, syn);
    if let Some(drill) = drill {
        let line = SweepAnswer::new(drill, local.port(), peer).line();
        // A client that is gone already needs no answer.
        let _ = stream.write_all(line.as_bytes()).await;
    }
    close_gently(&mut stream).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use fwdrill_protocol::estate::port_set::PortSet;
    use std::net::Ipv4Addr;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// A few ports that are free now, so that tests beside each other do not meet.
    fn free_ports(count: usize) -> PortSet {
        let held: Vec<_> = (0..count)
            .map(|_| std::net::TcpListener::bind((HERE, 0)).unwrap())
            .collect();
        held.iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect()
    }

    fn sweep_of(ports: &PortSet) -> (Arc<Sweep>, Arc<PassivePool>, Journal) {
        let pool = PassivePool::new(ports, &PortSet::default());
        let journal = Journal::in_memory(Default::default());
        let sweep = Sweep::new(pool.clone(), HERE, journal.clone(), CancellationToken::new());
        (sweep, pool, journal)
    }

    async fn ask(drill: DrillId, address: IpAddr, port: u16) -> Option<SweepAnswer> {
        let mut stream = TcpStream::connect((address, port)).await.ok()?;
        stream.write_all(drill.first_line().as_bytes()).await.ok()?;
        let mut line = String::new();
        stream.read_to_string(&mut line).await.ok()?;
        let answer = SweepAnswer::parse(&line)?;
        assert_eq!(answer.peer, stream.local_addr().unwrap());
        Some(answer)
    }

    #[tokio::test]
    async fn two_requests_have_every_port_prove_itself_to_the_drill() {
        let ports = free_ports(12);
        let (sweep, pool, journal) = sweep_of(&ports);
        let drill = DrillId::random();
        let mut proved = PortSet::default();
        for _ in 0..2 {
            assert!(sweep.offer(Some(drill)).is_ok());
            assert_eq!(pool.free_count(), 3, "a quarter stays with the sessions");
            for port in ports.without(&proved).iter() {
                if let Some(answer) = ask(drill, HERE, port).await {
                    assert!(answer.is_proof(drill) && answer.port == port);
                    proved = proved.iter().chain([port]).collect();
                }
            }
        }
        assert_eq!(proved, ports);
        assert_eq!(journal.of(drill).len(), 12);
    }

    #[tokio::test]
    async fn drills_that_arrive_at_different_addresses_share_a_sweep() {
        let ports = free_ports(2);
        let pool = PassivePool::new(&ports, &PortSet::default());
        let journal = Journal::in_memory(Default::default());
        let sweep = Sweep::new(pool, Ipv4Addr::UNSPECIFIED.into(), journal, CancellationToken::new());
        let drill = DrillId::random();
        assert!(sweep.offer(Some(drill)).is_ok());
        for address in [[127, 0, 0, 1], [127, 0, 0, 2]] {
            let answer = ask(drill, address.into(), ports.first().unwrap()).await;
            assert!(answer.is_some_and(|answer| answer.is_proof(drill)), "{address:?}");
        }
    }

    #[tokio::test]
    async fn a_session_gets_a_port_while_all_of_them_are_swept() {
        let ports = free_ports(3);
        let (sweep, pool, _) = sweep_of(&ports);
        assert!(sweep.offer(Some(DrillId::random())).is_ok());
        let leases: Vec<_> = (0..3).map(|_| pool.lend(HERE).unwrap()).collect();
        assert!(pool.lend(HERE).is_err(), "no port outside the range, ever");
        drop(leases);
        assert!(pool.lend(HERE).is_ok());
    }

    #[tokio::test]
    async fn without_a_drill_there_is_no_sweep() {
        let (sweep, pool, _) = sweep_of(&free_ports(1));
        assert!(sweep.offer(None).is_err());
        assert!(pool.lend(HERE).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_range_is_free_again_when_the_sweep_ends() {
        let ports = free_ports(2);
        let (sweep, _, _) = sweep_of(&ports);
        assert!(sweep.offer(Some(DrillId::random())).is_ok());
        let port = ports.first().unwrap();
        assert!(std::net::TcpListener::bind((HERE, port)).is_err());
        tokio::time::sleep(LISTENS + Duration::from_secs(1)).await;
        assert!(std::net::TcpListener::bind((HERE, port)).is_ok());
    }
}
