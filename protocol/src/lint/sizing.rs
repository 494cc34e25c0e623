//! How many passive ports a number of clients needs.

use std::fmt;
use std::ops::RangeInclusive;

use crate::estate::Estate;

/// The fewest passive ports with which no client is turned away when `clients` update at the same moment, on a server that
/// uses a port again at once (this one does).
///
/// ```text
/// ports = clients x (held + resting)
/// held    = 1  a session moves one file at a time: FTP is an alternating dialogue (RFC 959 section 5.4), an update has one
///              session, and a new PASV gives up the port of the one before. The number of transfers does not count: they
///              come one after the other.
/// resting = 0  a closed data connection stays in TIME_WAIT at the end that closed first. In stream mode that is the sender
///              (RFC 959 section 3.4.1): the server after a download, the client after an upload. It takes up the four of
///              addresses and ports, not the port: a listener with SO_REUSEADDR (socket(7)) gets the port all the same.
/// ```
/// That is the guide's rule, "100 users, 100 ports". It is an upper bound: this server needs a port only from its 227 to the
/// data connection, others to the end of the transfer; and N clients that come within W seconds, with transfers of T
/// seconds in all, use N x T / W ports on average (Little's law). A server without SO_REUSEADDR: [`Sizing::resting`].
pub fn smallest_range(clients: u32) -> usize {
    Sizing::of(clients).ports()
}

/// The lowest range of so many ports, from `first` on, without a port of another service: one that an `eserv.ini` can state,
/// which knows no holes. `None` where there is no room for it.
pub fn free_range(estate: &Estate, first: u16, ports: usize) -> Option<RangeInclusive<u16>> {
    let taken = estate.listener_ports();
    let mut first = first.max(1);
    loop {
        let last = u16::try_from(usize::from(first) + ports.checked_sub(1)?).ok()?;
        match taken.iter().filter(|port| (first..=last).contains(port)).last() {
            None => return Some(first..=last),
            Some(in_the_way) => first = in_the_way.checked_add(1)?,
        }
    }
}

/// The sum behind [`smallest_range`], for people to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizing {
    clients: u32,
    /// Ports in TIME_WAIT, for each client.
    resting: u32,
}

impl Sizing {
    /// Downloads of an update after the guide: virus signatures and policies. Uploads rest at the client.
    pub const DOWNLOADS: u32 = 2;

    /// On a server that uses a port again at once.
    pub fn of(clients: u32) -> Self {
        Sizing { clients, resting: 0 }
    }

    /// On a server that cannot listen on a port while one of its connections is in TIME_WAIT (60 s on Linux, `TCP_TIMEWAIT_LEN`
    /// in include/net/tcp.h; 120 s on Windows unless `TcpTimedWaitDelay` says otherwise), for updates of [`Self::DOWNLOADS`]
    /// downloads within that time: all but the one under way rest.
    pub fn resting(clients: u32) -> Self {
        Sizing {
            clients,
            resting: Self::DOWNLOADS - 1,
        }
    }

    /// The fewest ports.
    pub fn ports(self) -> usize {
        // More clients than ports there are is a number too.
        usize::try_from(u64::from(self.clients) * u64::from(1 + self.resting)).unwrap_or(usize::MAX)
    }
}

/// `100 clients x (1 port held + 0 resting in TIME_WAIT) = 100 ports`.
impl fmt::Display for Sizing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} clients x (1 port held + {} resting in TIME_WAIT) = {} ports",
            self.clients,
            self.resting,
            self.ports()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_a_client_as_the_guide_says() {
        assert_eq!(smallest_range(100), 100);
        assert_eq!(
            Sizing::of(100).to_string(),
            "100 clients x (1 port held + 0 resting in TIME_WAIT) = 100 ports"
        );
    }

    #[test]
    fn a_range_of_so_many_ports_begins_after_whatever_service_is_in_its_way() {
        let free = |first, ports| free_range(&Estate::default(), first, ports);
        assert_eq!(free(3023, 310), Some(3023..=3332));
        assert_eq!(free(3023, 311), Some(3334..=3644));
        assert_eq!(free(3334, 10_000), Some(10444..=20443));
        assert_eq!(free(60_000, 5_537), None);
        assert_eq!(free(60_000, 5_536), Some(60_000..=65_535));
    }

    #[test]
    fn ports_that_rest_are_counted() {
        assert_eq!(Sizing::resting(100).ports(), 200);
        assert_eq!(Sizing::resting(u32::MAX).ports(), 2 * u32::MAX as usize);
    }
}
