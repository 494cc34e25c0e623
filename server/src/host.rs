//! What the kernel of the server's host knows that the program cannot see: who listens, what is half open, what was dropped.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fwdrill_protocol::estate::port_set::PortSet;
use fwdrill_protocol::host::{Counters, HalfOpen, HostState, Listener};
use procfs::net::{TcpNetEntry, TcpState};
use tracing::debug;

use crate::connection::canonical;

/// The kernel's tables are read no more often than this, however many drills ask.
const FRESH: Duration = Duration::from_millis(50);

/// Looks at `/proc/net` of the server's host (its network namespace) for drills.
#[derive(Debug, Clone)]
pub(crate) struct HostWatch {
    ports: PortSet,
    last: Arc<Mutex<Option<(Instant, HostState)>>>,
}

impl HostWatch {
    /// Concerning these ports.
    pub(crate) fn new(ports: PortSet) -> Self {
        HostWatch {
            ports,
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
        let state = read(&self.ports);
        *last = state.clone().map(|state| (Instant::now(), state));
        state
    }
}

fn read(ports: &PortSet) -> Option<HostState> {
    let text = |name: &str| std::fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    let mut state = HostState {
        counters: Counters::parse(&text("snmp"), &text("netstat"), &text("snmp6"))?,
        ..HostState::default()
    };
    let sockets = match procfs::net::tcp() {
        Ok(sockets) => sockets,
        Err(error) => {
            debug!(%error, "cannot read the kernel's table of TCP sockets");
            return None;
        }
    };
    // A host without IPv6 has no such table.
    let sockets6 = procfs::net::tcp6().unwrap_or_default();
    for socket in sockets.into_iter().chain(sockets6) {
        add(&mut state, ports, &socket);
    }
    Some(state)
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
        let watch = HostWatch::new([address.port()].into_iter().collect());
        let state = watch.state(BTreeSet::new()).await.unwrap();
        assert_eq!(state.listening, [Listener { address, waiting: 1 }]);
        assert!(state.counters.in_receives > 0);
        drop(other);
    }
}
