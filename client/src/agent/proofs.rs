//! Drills of this host that the agent proves on 2222, where they cannot listen themselves.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::task_port::proof;
use tokio::sync::mpsc;

/// More drills at once are turned away: the proofs of all have to fit into an answer that the server reads.
const MOST: usize = 16;

/// Drills that are being proved. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Proofs(Arc<Mutex<Vec<Entry>>>);

#[derive(Debug)]
struct Entry {
    drill: DrillId,
    askers: mpsc::Sender<SocketAddr>,
}

/// A drill is proved for as long as this is held.
pub(super) struct Lease {
    proofs: Proofs,
    drill: DrillId,
    askers: mpsc::Receiver<SocketAddr>,
}

impl Proofs {
    /// Proves a drill from now on; `None` if there are too many.
    pub(super) fn enter(&self, drill: DrillId) -> Option<Lease> {
        let mut entries = self.lock();
        if entries.len() >= MOST {
            return None;
        }
        let (sender, askers) = mpsc::channel(MOST);
        entries.push(Entry { drill, askers: sender });
        Some(Lease {
            proofs: self.clone(),
            drill,
            askers,
        })
    }

    /// A line for each drill: who asks does not say which one is meant, and only who knows it can tell its line.
    pub(super) fn of(&self, nonce: &str, asker: SocketAddr) -> Option<String> {
        let entries = self.lock();
        let lines = entries.iter().map(|entry| {
            // Who does not listen has heard enough.
            let _ = entry.askers.try_send(asker);
            format!("{}\n", proof(entry.drill, nonce))
        });
        Some(lines.collect()).filter(|lines: &String| !lines.is_empty())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        // Every change under this lock is one push or removal.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// The next who asks for the proof.
    pub(super) async fn asked(&mut self) -> Option<SocketAddr> {
        self.askers.recv().await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut entries = self.proofs.lock();
        if let Some(at) = entries.iter().position(|entry| entry.drill == self.drill) {
            entries.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_drill_is_proved_while_it_is_there_and_hears_who_asked() {
        let (proofs, asker) = (Proofs::default(), ([192, 0, 2, 1], 40000).into());
        assert_eq!(proofs.of("00", asker), None);
        let (one, other) = (DrillId::random(), DrillId::random());
        let mut lease = proofs.enter(one).unwrap();
        let second = proofs.enter(other).unwrap();
        let said = proofs.of("00", asker).unwrap();
        assert!(said.contains(&proof(one, "00")) && said.contains(&proof(other, "00")));
        assert_eq!(lease.asked().await, Some(asker));
        drop(lease);
        assert_eq!(proofs.of("00", asker), Some(format!("{}\n", proof(other, "00"))));
        drop(second);
        assert_eq!(proofs.of("00", asker), None);
    }

    #[test]
    fn there_is_room_for_so_many_that_a_server_reads_the_proofs_of_all() {
        let proofs = Proofs::default();
        let leases: Vec<_> = std::iter::from_fn(|| proofs.enter(DrillId::random())).collect();
        assert_eq!(leases.len(), MOST);
        // What a server reads of an answer, its head included.
        assert!(proofs.of("00", ([192, 0, 2, 1], 1).into()).unwrap().len() < 4096 - 512);
    }
}
