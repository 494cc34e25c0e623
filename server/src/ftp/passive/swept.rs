//! What a sweep borrows from the passive pool: ports that listen for a drill until a session wants one.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::Poll;

use fwdrill_protocol::estate::port_set::PortSet;
use tokio::net::TcpStream;

use super::{Claim, PassivePool, Ports};
use crate::connection;

/// How many ports a sweep leaves to sessions, at most; at most a quarter of the range.
const RESERVE: usize = 8;

#[derive(Debug)]
pub(super) struct Swept {
    // In this order, as in a lease.
    listener: tokio::net::TcpListener,
    _claim: Claim,
}

impl PassivePool {
    /// Listens on the free ports, for a sweep, and returns all ports that a sweep listens on. A few stay free, so that a
    /// session need not take a port that is being dialled; asked again while a sweep runs, other ones do. Must be called
    /// within a tokio runtime.
    pub(crate) fn sweep(self: &Arc<Self>, address: IpAddr) -> PortSet {
        let Ports::Only(ports) = &self.ports else {
            return PortSet::default();
        };
        let reserve = RESERVE.min(ports.len() / 4);
        let former_reserve = self.free().len();
        let rested: Vec<Swept> = {
            let mut swept = self.swept();
            std::iter::from_fn(|| swept.pop_first())
                .take(reserve)
                .map(|(_, swept)| swept)
                .collect()
        };
        let wanted = if rested.is_empty() {
            former_reserve.saturating_sub(reserve)
        } else {
            former_reserve
        };
        for _ in 0..wanted {
            // The ones lent next stay.
            let Some(port) = self.free().pop_back() else { break };
            let claim = Claim {
                pool: self.clone(),
                port,
            };
            // A port that another program has is as busy for a sweep as for a session.
            match connection::listen(self.listens_at(address, port)) {
                Ok(listener) => drop(self.swept().insert(
                    port,
                    Swept {
                        listener,
                        _claim: claim,
                    },
                )),
                Err(_) => self.set_aside(claim),
            }
        }
        drop(rested);
        self.swept_more.notify_one();
        self.swept().keys().copied().collect()
    }

    /// Gives a port back as the one to be lent last but for those lent before: it is not looked at again in this round.
    fn set_aside(&self, claim: Claim) {
        let port = claim.port;
        drop(claim);
        let mut free = self.free();
        // The claim put it at the back, where the next one would be taken from.
        if free.pop_back() == Some(port) {
            free.push_front(port);
        }
    }

    /// The next connection to a port that a sweep listens on: the stream, its own address with the port that clients are
    /// told, the client's.
    pub(crate) async fn accept_swept(&self) -> (TcpStream, SocketAddr, SocketAddr) {
        let mut more = std::pin::pin!(self.swept_more.notified());
        poll_fn(|cx| {
            while more.as_mut().poll(cx).is_ready() {
                more.set(self.swept_more.notified());
            }
            for (port, swept) in self.swept().iter() {
                // An error (the client gave up already) is nothing to a sweep.
                if let Poll::Ready(Ok((stream, peer))) = swept.listener.poll_accept(cx) {
                    let local = stream.local_addr().or_else(|_| swept.listener.local_addr());
                    if let Ok(mut local) = local {
                        local.set_port(*port);
                        return Poll::Ready((stream, local, peer));
                    }
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Gives back every port that a sweep listens on.
    pub(crate) fn end_sweep(&self) {
        self.swept().clear();
    }

    #[cfg(test)]
    pub(crate) fn free_count(&self) -> usize {
        self.free().len()
    }

    pub(super) fn end_sweep_of_one(&self) -> bool {
        self.swept().pop_first().is_some()
    }

    fn swept(&self) -> MutexGuard<'_, BTreeMap<u16, Swept>> {
        self.swept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
