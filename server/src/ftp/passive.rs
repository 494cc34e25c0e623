//! The passive pool: which ports PASV and EPSV may hand out, and who has them at the moment.

mod swept;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fwdrill_protocol::estate::Estate;
use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::estate::renumbering::Renumbering;
use rand::seq::SliceRandom;
use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::sync::Notify;

use swept::Swept;

/// How many data connections the kernel keeps ready on one passive port. One is expected; a stranger's must not push
/// it out.
const BACKLOG: i32 = 16;

/// The ports that one server hands out for passive data connections.
///
/// The port that was given back longest ago is lent next, and the first round is in random order: neighbours in time
/// are no neighbours in number, and a port rests as long as it can before a firewall sees it again.
#[derive(Debug)]
pub struct PassivePool {
    ports: Ports,
    /// Everywhere but on the listeners themselves a port has the number that clients are told.
    renumbering: Renumbering,
    free: Mutex<VecDeque<u16>>,
    /// Ports that listen for a sweep, until a session wants one.
    swept: Mutex<BTreeMap<u16, Swept>>,
    swept_more: Notify,
}

#[derive(Debug)]
enum Ports {
    /// Whatever the kernel gives.
    Ephemeral,
    /// These and no other, ever.
    Only(PortSet),
}

/// Why no passive port can be had.
#[derive(Debug, Error)]
pub enum LendError {
    /// Every port is lent to a session or taken by another program.
    #[error("no free passive port in \"{0}\"")]
    Exhausted(PortSet),
    /// The system refused for another reason than a port in use.
    #[error("failed to listen on passive port {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
}

impl PassivePool {
    /// A pool of the estate's passive range less the ports that its other listeners own. An empty *range* means the
    /// kernel's ephemeral ports; a range of which nothing is left means that nobody gets any port.
    pub fn of(estate: &Estate) -> Arc<Self> {
        Self::renumbered(
            &estate.ftp.passive_ports,
            estate.handed_out_ports(),
            estate.renumbering(),
        )
    }

    /// The same, of a range and of what others own of it, with every port listened on as itself.
    pub fn new(range: &PortSet, owned: &PortSet) -> Arc<Self> {
        Self::renumbered(range, range.without(owned), Renumbering::default())
    }

    fn renumbered(range: &PortSet, left: PortSet, renumbering: Renumbering) -> Arc<Self> {
        let mut free: Vec<u16> = left.iter().collect();
        free.shuffle(&mut rand::rng());
        let ports = if range.is_empty() {
            Ports::Ephemeral
        } else {
            Ports::Only(left)
        };
        Arc::new(PassivePool {
            ports,
            renumbering,
            free: Mutex::new(free.into()),
            swept: Mutex::new(BTreeMap::new()),
            swept_more: Notify::new(),
        })
    }

    /// The ports that may be handed out; empty if the kernel chooses.
    pub fn ports(&self) -> PortSet {
        match &self.ports {
            Ports::Ephemeral => PortSet::default(),
            Ports::Only(ports) => ports.clone(),
        }
    }

    /// The ports that are listened on for those that clients are told; empty if they are the same ones.
    pub fn listened(&self) -> PortSet {
        let told = self.ports();
        let listened = self.renumbering.all_listened(&told);
        if listened == told { PortSet::default() } else { listened }
    }

    /// Lends a port with a listener on it, bound to `address`: where the control connection arrived.
    ///
    /// A port that another program listens on is passed over. Each port is tried once at most. When no other is free, a
    /// sweep gives up one of its ports.
    pub fn lend(self: &Arc<Self>, address: IpAddr) -> Result<Lease, LendError> {
        match self.lend_free(address) {
            Err(LendError::Exhausted(_)) if self.end_sweep_of_one() => self.lend_free(address),
            lent => lent,
        }
    }

    fn lend_free(self: &Arc<Self>, address: IpAddr) -> Result<Lease, LendError> {
        let Ports::Only(ports) = &self.ports else {
            return self.claim(address, 0).map_err(|(_, error)| error);
        };
        let attempts = self.free().len();
        for _ in 0..attempts {
            // Taken off the list before the system is asked, so that the lock is not held meanwhile.
            let Some(port) = self.free().pop_front() else { break };
            match self.claim(address, port) {
                Ok(lease) => return Ok(lease),
                Err((io::ErrorKind::AddrInUse, _)) => {}
                Err((_, error)) => return Err(error),
            }
        }
        Err(LendError::Exhausted(ports.clone()))
    }

    fn claim(self: &Arc<Self>, address: IpAddr, port: u16) -> Result<Lease, (io::ErrorKind, LendError)> {
        // Whatever happens from here on, the port goes back when the claim is dropped.
        let mut claim = Claim {
            pool: self.clone(),
            port,
        };
        let address = self.listens_at(address, port);
        let listen = || {
            let listener = listen(address)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        match listen() {
            Ok((listener, mut bound)) => {
                claim.port = self.renumbering.told(bound.port());
                bound.set_port(claim.port);
                Ok(Lease {
                    listener,
                    address: bound,
                    claim,
                })
            }
            Err(source) => Err((io::Error::kind(&source), LendError::Listen { address, source })),
        }
    }

    fn listens_at(&self, address: IpAddr, told: u16) -> SocketAddr {
        SocketAddr::new(address, self.renumbering.listened(told))
    }

    fn free(&self) -> MutexGuard<'_, VecDeque<u16>> {
        // Pushing and popping cannot leave the list half changed.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A passive port and the listener on it. Dropping it closes the listener and gives the port back.
#[derive(Debug)]
pub struct Lease {
    // In this order: the port is not given back before the listener is closed.
    listener: TcpListener,
    address: SocketAddr,
    claim: Claim,
}

impl Lease {
    /// Where the listener is, as clients are told: its port is the one to be handed out.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The listener, non-blocking, and the claim on its port, for who must keep them apart. The port is lent again only
    /// when the claim has been dropped *and* the listener is closed.
    pub fn split(self) -> (TcpListener, Claim) {
        (self.listener, self.claim)
    }
}

/// The right to a passive port; dropping it gives the port back.
#[derive(Debug)]
pub struct Claim {
    pool: Arc<PassivePool>,
    port: u16,
}

impl Claim {
    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if matches!(self.pool.ports, Ports::Only(_)) {
            self.pool.free().push_back(self.port);
        }
    }
}

/// `SO_REUSEADDR`: connections in TIME_WAIT must not use up the range. With it bind(2) lets two sockets have one port as
/// long as neither listens, so only listen(2) tells whether the port is really ours.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    crate::saved_syn::keep(&socket);
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{Ipv6Addr, TcpStream};

    use fwdrill_protocol::estate::Estate;

    use super::*;
    use crate::ftp::testing::own_address;

    fn pool(range: &str) -> Arc<PassivePool> {
        PassivePool::new(&range.parse().unwrap(), &PortSet::default())
    }

    #[test]
    fn the_version_port_is_never_lent_in_five_thousand_loans_of_the_guides_range() {
        let estate = Estate::default();
        let pool = PassivePool::new(&estate.ftp.passive_ports, &estate.listener_ports());
        let lent: BTreeSet<u16> = (0..5000)
            .map(|_| pool.lend(own_address()).unwrap().address().port())
            .collect();
        let expected: BTreeSet<u16> = estate.handed_out_ports().iter().collect();
        assert!(!lent.contains(&3333));
        assert_eq!(lent, expected, "every port of the range takes its turn");
    }

    #[test]
    fn an_exhausted_pool_lends_nothing_until_a_port_comes_back() {
        let pool = pool("3023-3030");
        let mut leases: Vec<Lease> = (0..8).map(|_| pool.lend(own_address()).unwrap()).collect();
        let ports: BTreeSet<u16> = leases.iter().map(|lease| lease.address().port()).collect();
        assert_eq!(ports, (3023..=3030).collect());
        let error = pool.lend(own_address()).unwrap_err();
        assert_eq!(error.to_string(), r#"no free passive port in "3023-3030""#);

        let returned = leases.swap_remove(3).address().port();
        assert_eq!(pool.lend(own_address()).unwrap().address().port(), returned);
    }

    #[test]
    fn ports_taken_by_another_program_are_passed_over_and_used_when_they_are_free() {
        let pool = pool("3023-3026");
        let foreign: Vec<TcpListener> = [3023, 3024, 3025]
            .map(|port| TcpListener::bind((own_address(), port)).unwrap())
            .into();
        let lease = pool.lend(own_address()).unwrap();
        assert_eq!(lease.address().port(), 3026);
        assert!(matches!(pool.lend(own_address()), Err(LendError::Exhausted(_))));
        drop(foreign);
        let leases: Vec<Lease> = (0..3).map(|_| pool.lend(own_address()).unwrap()).collect();
        assert_eq!(leases.len(), 3);
    }

    #[test]
    fn a_socket_that_is_bound_but_does_not_listen_does_not_fool_the_pool() {
        let pool = pool("3023");
        let idle = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        idle.set_reuse_address(true).unwrap();
        idle.bind(&SocketAddr::new(own_address(), 3023).into()).unwrap();
        let lease = pool.lend(own_address()).unwrap();
        TcpStream::connect(lease.address()).unwrap();
    }

    #[test]
    fn a_port_with_connections_in_time_wait_is_lent_again() {
        let pool = pool("3023");
        for _ in 0..3 {
            let lease = pool.lend(own_address()).unwrap();
            let client = TcpStream::connect(lease.address()).unwrap();
            // The server closes first, so TIME_WAIT is on its side.
            let (listener, _claim) = lease.split();
            listener.set_nonblocking(false).unwrap();
            drop(listener.accept().unwrap());
            drop(client);
        }
    }

    #[test]
    fn a_claim_outlives_its_listener() {
        let pool = pool("3023");
        let (listener, claim) = pool.lend(own_address()).unwrap().split();
        drop(listener);
        assert!(matches!(pool.lend(own_address()), Err(LendError::Exhausted(_))));
        assert_eq!(claim.port(), 3023);
        drop(claim);
        pool.lend(own_address()).unwrap();
    }

    #[test]
    fn a_listener_that_outlives_its_claim_still_has_its_port() {
        let pool = pool("3023");
        let (_listener, claim) = pool.lend(own_address()).unwrap().split();
        drop(claim);
        assert!(matches!(pool.lend(own_address()), Err(LendError::Exhausted(_))));
    }

    #[test]
    fn a_range_that_other_listeners_own_entirely_is_exhausted_not_ephemeral() {
        let pool = PassivePool::new(&"3333".parse().unwrap(), &"3333".parse().unwrap());
        assert!(matches!(pool.lend(own_address()), Err(LendError::Exhausted(_))));
    }

    #[test]
    fn a_renumbered_port_is_told_by_one_number_and_listens_on_the_other() {
        let mut estate = Estate::default();
        estate.ftp.passive_ports = "40000-40001".parse().unwrap();
        estate.ftp.passive_listen = "3023,3333".parse().unwrap();
        let pool = PassivePool::of(&estate);
        assert_eq!(pool.ports().to_string(), "40000", "3333 belongs to the version service");
        let lease = pool.lend(own_address()).unwrap();
        assert_eq!(lease.address().port(), 40000);
        assert!(TcpStream::connect(lease.address()).is_err());
        TcpStream::connect((own_address(), 3023)).unwrap();
        assert!(matches!(pool.lend(own_address()), Err(LendError::Exhausted(_))));
        drop(lease);
        assert_eq!(pool.lend(own_address()).unwrap().address().port(), 40000);
    }

    #[test]
    fn without_a_range_the_kernel_chooses_on_either_family() {
        let pool = pool("");
        for address in [own_address(), Ipv6Addr::LOCALHOST.into()] {
            let lease = pool.lend(address).unwrap();
            assert_eq!(lease.address().ip(), address);
            TcpStream::connect(lease.address()).unwrap();
        }
        assert!(pool.ports().is_empty());
    }

    #[test]
    fn an_address_that_is_not_ours_is_said_and_costs_no_port() {
        let pool = pool("3023");
        let error = pool.lend([192, 0, 2, 7].into()).unwrap_err();
        assert_eq!(error.to_string(), "failed to listen on passive port 192.0.2.7:3023");
        pool.lend(own_address()).unwrap();
    }
}
