//! What the kernel of the server's host knows that the program cannot see: who listens, what is half open, what was dropped.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::estate::renumbering::Renumbering;
use fwdrill_protocol::host::{Counters, HalfOpen, HostState, Listener};
use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::FDTarget;
use tracing::debug;

use crate::connection::canonical;

/// The kernel's tables are read no more often than this, however many drills ask.
const FRESH: Duration = Duration::from_millis(50);

/// Looks at `/proc/net` of the server's host (its network namespace) for drills.
#[derive(Debug, Clone)]
pub(crate) struct HostWatch {
    ports: PortSet,
    /// The passive range, whose ports are this program's only while it lends or sweeps them.
    passive: PortSet,
    /// The kernel knows ports by the numbers that are listened on, drills by those that clients are told.
    renumbering: Renumbering,
    last: Arc<Mutex<Option<(Instant, HostState)>>>,
}

impl HostWatch {
    /// Concerning these ports, as clients are told them.
    pub(crate) fn new(ports: PortSet, passive: PortSet, renumbering: Renumbering) -> Self {
        HostWatch {
            ports: renumbering.all_listened(&ports),
            passive: renumbering.all_listened(&passive),
            renumbering,
            last: Arc::default(),
        }
    }

    /// The state now, with half-open connections of these peers only; `None` where the system does not tell.
    pub(crate) async fn state(&self, peers: BTreeSet<IpAddr>) -> Option<HostState> {
        let watch = self.clone();
        // The table of a host with many connections takes a while to read.
        let looked = tokio::task::spawn_blocking(move || watch.look()).await;
        let mut state = looked.ok().flatten()?;
        state.half_open.retain(|half| peers.contains(&half.peer.ip()));
        Some(state)
    }

    fn look(&self) -> Option<HostState> {
        // Held while reading: who comes meanwhile takes what is read now.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, state)) = last.as_ref()
            && at.elapsed() < FRESH
        {
            return Some(state.clone());
        }
        let state = self.read();
        *last = state.clone().map(|state| (Instant::now(), state));
        state
    }

    fn read(&self) -> Option<HostState> {
        let text = |name: &str| std::fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
        let mut state = HostState {
            counters: Counters::parse(&text("snmp"), &text("netstat"), &text("snmp6"))?,
            ..HostState::default()
        };
        let sockets = match tcp_sockets() {
            Ok(sockets) => sockets,
            Err(error) => {
                debug!(%error, "cannot read the kernel's table of TCP sockets");
                return None;
            }
        };
        for socket in &sockets {
            add(&mut state, &self.ports, socket);
        }
        state.taken =
            taken(&self.passive, &sockets).map(|taken| taken.iter().map(|port| self.renumbering.told(port)).collect());
        for listener in &mut state.listening {
            listener
                .address
                .set_port(self.renumbering.told(listener.address.port()));
        }
        for half in &mut state.half_open {
            half.local.set_port(self.renumbering.told(half.local.port()));
        }
        Some(state)
    }
}

/// Of these ports, those on which another program listens: its sockets are none of this one's files.
fn taken(ports: &PortSet, sockets: &[TcpNetEntry]) -> Option<PortSet> {
    // Mostly nobody listens there, and a busy server has thousands of files to look through.
    if foreign(ports, sockets, &BTreeSet::new()).is_empty() {
        return Some(PortSet::default());
    }
    let own: BTreeSet<u64> = procfs::process::Process::myself()
        .and_then(|own| own.fd())
        .ok()?
        .filter_map(|file| match file.ok()?.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    let first = foreign(ports, sockets, &own);
    if first.is_empty() {
        return Some(PortSet::default());
    }
    // One that this program has closed meanwhile is not there any more.
    let still = foreign(ports, &tcp_sockets().ok()?, &own);
    Some(first.intersection(&still).map(|(_, port)| *port).collect())
}

/// Listeners on these ports that are none of `own`: inode and port.
fn foreign(ports: &PortSet, sockets: &[TcpNetEntry], own: &BTreeSet<u64>) -> BTreeSet<(u64, u16)> {
    let listens = |socket: &&TcpNetEntry| {
        socket.state == TcpState::Listen && ports.contains(socket.local_address.port()) && !own.contains(&socket.inode)
    };
    let named = |socket: &TcpNetEntry| (socket.inode, socket.local_address.port());
    sockets.iter().filter(listens).map(named).collect()
}

fn tcp_sockets() -> procfs::ProcResult<Vec<TcpNetEntry>> {
    let mut sockets = procfs::net::tcp()?;
    // A host without IPv6 has no such table.
    sockets.extend(procfs::net::tcp6().unwrap_or_default());
    Ok(sockets)
}

fn add(state: &mut HostState, ports: &PortSet, socket: &TcpNetEntry) {
    if !ports.contains(socket.local_address.port()) {
        return;
    }
    match socket.state {
        TcpState::Listen => state.listening.push(Listener {
            address: socket.local_address,
            // Of a listener this is the length of its accept queue (tcp4_seq_show in net/ipv4/tcp_ipv4.c).
            waiting: socket.rx_queue.into(),
        }),
        TcpState::SynRecv | TcpState::NewSynRecv => state.half_open.push(HalfOpen {
            local: canonical(socket.local_address),
            peer: canonical(socket.remote_address),
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::listen;

    #[tokio::test]
    async fn a_listener_and_who_waits_at_it_are_seen_and_other_ports_are_not() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let other = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let _unaccepted = tokio::net::TcpStream::connect(address).await.unwrap();
        let watch = HostWatch::new(
            [address.port()].into_iter().collect(),
            PortSet::default(),
            Renumbering::default(),
        );
        let state = watch.state(BTreeSet::new()).await.unwrap();
        assert_eq!(state.listening, [Listener { address, waiting: 1 }]);
        assert!(state.counters.in_receives > 0);
        drop(other);
    }

    #[tokio::test]
    async fn only_another_programs_listener_takes_a_port_of_the_range() {
        let own = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let free = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let ports = [&own, &free].map(|listener| listener.local_addr().unwrap().port());
        drop(free);
        let watch = HostWatch::new(PortSet::default(), ports.into_iter().collect(), Renumbering::default());
        let state = watch.state(BTreeSet::new()).await.unwrap();
        assert_eq!(state.taken, Some(PortSet::default()));
        // The table is the same for every program; whose files the sockets are is not.
        let of_nobody = foreign(&ports.into_iter().collect(), &tcp_sockets().unwrap(), &BTreeSet::new());
        let found: Vec<u16> = of_nobody.into_iter().map(|(_, port)| port).collect();
        assert_eq!(found, [ports[0]]);
    }
}
