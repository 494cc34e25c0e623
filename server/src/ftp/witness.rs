//! What an FTP session leaves in the journal, under the drill it belongs to.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::ftp_reply::Reply;
use fwdrill_protocol::report::Outcome;
use fwdrill_protocol::sighting::{Event, Syn};

use crate::journal::Journal;

/// Notes what happens in one session.
///
/// A control connection is accepted before anybody knows which drill it belongs to. So its [`Event::Accepted`] is
/// recorded at once without one, and again under the drill's id as soon as the client names it: whoever knows the id
/// finds it there.
#[derive(Debug)]
pub struct Witness {
    journal: Journal,
    local: SocketAddr,
    peer: SocketAddr,
    syn: Option<Syn>,
    drill: Mutex<Option<DrillId>>,
}

impl Witness {
    /// A witness of the control connection from `peer` that arrived at `local`, which is noted.
    pub fn new(journal: Journal, local: SocketAddr, peer: SocketAddr, syn: Option<Syn>) -> Self {
        journal.accepted(None, Flow::FtpControl, local, peer, syn);
        Witness {
            journal,
            local,
            peer,
            syn,
            drill: Mutex::new(None),
        }
    }

    /// The session belongs to this drill from now on (`USER drill`, `SITE DRILL`).
    pub fn belongs_to(&self, drill: DrillId) {
        let before = self.lock().replace(drill);
        if before != Some(drill) {
            self.journal
                .accepted(Some(drill), Flow::FtpControl, self.local, self.peer, self.syn);
        }
    }

    /// The drill that the session belongs to.
    pub fn drill(&self) -> Option<DrillId> {
        *self.lock()
    }

    /// Where the control connection comes from.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Where the control connection arrived.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// A passive port was handed out; a listener is on it.
    pub fn passive_port(&self, listener: SocketAddr) {
        let port = listener.port();
        self.data(listener, self.peer, Event::PassivePort { port });
    }

    /// There was no passive port to hand out.
    pub fn passive_range_exhausted(&self) {
        self.data(self.local, self.peer, Event::PassiveRangeExhausted);
    }

    /// A 227 or 229 was sent.
    pub fn passive_reply(&self, reply: &Reply) {
        let reply = reply.to_string().trim_end().to_owned();
        self.control(Event::PassiveReply { reply });
    }

    /// Somebody connected to the passive port.
    pub fn data_accepted(&self, local: SocketAddr, peer: SocketAddr, syn: Option<Syn>) {
        self.journal.accepted(self.drill(), Flow::FtpPassive, local, peer, syn);
    }

    /// Somebody else than the client connected to the passive port, and was refused.
    pub fn data_source_mismatch(&self, local: SocketAddr, stranger: SocketAddr) {
        self.data(local, stranger, Event::DataSourceMismatch);
    }

    /// PORT or EPRT named somebody else, and was refused.
    pub fn active_address_refused(&self, to: SocketAddr) {
        self.data(self.local, self.peer, Event::ActiveAddressRefused { to });
    }

    /// The server connected to the client, or tried to.
    pub fn active_connection(&self, to: SocketAddr, outcome: Outcome) {
        self.data(self.local, self.peer, Event::ActiveConnection { to, outcome });
    }

    /// A file begins to move; `moved` counts its bytes until it is [transferred](Self::transferred).
    pub fn transferring(&self, local: SocketAddr, peer: SocketAddr, path: String, moved: Arc<AtomicU64>) {
        self.journal.census().begun(local, peer, path, moved);
    }

    /// A file moved, or part of it, over the data connection between `local` and `peer`.
    pub fn transferred(&self, local: SocketAddr, peer: SocketAddr, path: String, bytes: u64, complete: bool) {
        let event = Event::Transferred { path, bytes, complete };
        self.data(local, peer, event);
    }

    /// Anything about the control connection.
    pub fn control(&self, event: Event) {
        self.journal
            .record(self.drill(), Flow::FtpControl, self.local, self.peer, event);
    }

    /// Anything about a data connection.
    pub fn data(&self, local: SocketAddr, peer: SocketAddr, event: Event) {
        self.journal.record(self.drill(), Flow::FtpPassive, local, peer, event);
    }

    fn lock(&self) -> MutexGuard<'_, Option<DrillId>> {
        // One assignment cannot be left half done.
        self.drill.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Limits;

    #[test]
    fn a_drill_finds_the_control_connection_though_it_named_itself_later() {
        let journal = Journal::in_memory(Limits::default());
        let (local, peer) = (([127, 0, 0, 1], 2021).into(), ([192, 0, 2, 9], 40000).into());
        let witness = Witness::new(journal.clone(), local, peer, None);
        let drill = DrillId::random();
        witness.belongs_to(drill);
        witness.belongs_to(drill);
        witness.passive_port(([127, 0, 0, 1], 3023).into());
        witness.passive_reply(&Reply::extended_passive(3023));

        assert_eq!(journal.without_drill().len(), 1);
        let seen = journal.of(drill);
        let events: Vec<&Event> = seen.iter().map(|sighting| &sighting.event).collect();
        let reply = "229 Entering Extended Passive Mode (|||3023|)".to_owned();
        assert_eq!(
            events,
            [
                &Event::Accepted,
                &Event::PassivePort { port: 3023 },
                &Event::PassiveReply { reply }
            ]
        );
        assert!(seen.iter().all(|sighting| sighting.peer == peer));
        assert_eq!(seen[1].local.port(), 3023);
    }
}
