//! One TCP connection, and the words for what can become of it.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fwdrill_protocol::report::Outcome;
use rustix::io::Errno;
use tokio::net::TcpStream;

/// What became of a TCP connection, told apart as a diagnosis needs it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// A RST answered the SYN, or an ICMP port unreachable did: the socket does not say which.
    #[error("connection refused")]
    Refused(#[source] io::Error),
    /// Nothing answered the SYN within this time.
    #[error("no answer to the connection attempt within {0:.1?}")]
    TimedOut(Duration),
    /// An ICMP error answered, or there is no route.
    #[error("host unreachable")]
    Unreachable(#[source] io::Error),
    /// The other end closed a connection that stood, in order but too early.
    #[error("the other end closed the connection")]
    Closed,
    /// The other end, or something in between, reset a connection that stood.
    #[error("the connection was reset")]
    Reset(#[source] io::Error),
    /// The connection stood, but nothing came within this time.
    #[error("nothing came within {0:.1?}")]
    Silent(Duration),
    /// Something had come or gone, then no byte moved for this time.
    #[error("no byte moved for {0:.1?}")]
    Stalled(Duration),
    /// Anything else; before the handshake mostly this host's own trouble (no descriptor or port left).
    #[error("the connection failed")]
    Io(#[source] io::Error),
}

impl ConnectionError {
    /// Whether there was no connection at all, as opposed to one that did not last.
    pub fn never_stood(&self) -> bool {
        use ConnectionError::{Refused, TimedOut, Unreachable};
        matches!(self, Refused(_) | TimedOut(_) | Unreachable(_))
    }

    /// What an error of connect(2) means, `elapsed` after it was called.
    pub(crate) fn of_connecting(error: io::Error, elapsed: Duration) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => ConnectionError::TimedOut(elapsed),
            _ => error.into(),
        }
    }

    /// The word of reports for it. An early close counts as a reset, a stall as silence; a failure of this host's own is
    /// neither open nor blocked.
    pub fn outcome(&self) -> Outcome {
        match self {
            ConnectionError::Refused(_) => Outcome::Refused,
            ConnectionError::TimedOut(_) => Outcome::Timeout,
            ConnectionError::Unreachable(_) => Outcome::Unreachable,
            ConnectionError::Closed | ConnectionError::Reset(_) => Outcome::Reset,
            ConnectionError::Silent(_) | ConnectionError::Stalled(_) => Outcome::Silent,
            // The kernel gave up retransmitting on a connection that stood.
            ConnectionError::Io(error) if error.kind() == io::ErrorKind::TimedOut => Outcome::Silent,
            ConnectionError::Io(_) => Outcome::CheckFailed,
        }
    }
}

/// By errno, as Linux turns RST and ICMP into one (icmp(7), `icmp_err_convert` and its IPv6 counterpart).
impl From<io::Error> for ConnectionError {
    fn from(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(Errno::CONNREFUSED) => ConnectionError::Refused(error),
            Some(Errno::CONNRESET | Errno::CONNABORTED | Errno::PIPE) => ConnectionError::Reset(error),
            // ACCESS is ICMPv6 "administratively prohibited" and a `prohibit` route.
            Some(
                Errno::NETUNREACH
                | Errno::HOSTUNREACH
                | Errno::HOSTDOWN
                | Errno::NETDOWN
                | Errno::NONET
                | Errno::NOPROTOOPT
                | Errno::ACCESS,
            ) => ConnectionError::Unreachable(error),
            _ if error.kind() == io::ErrorKind::UnexpectedEof => ConnectionError::Closed,
            _ => ConnectionError::Io(error),
        }
    }
}

/// Connects within `limit`. Small writes do not wait for Nagle.
pub async fn connect(address: SocketAddr, limit: Duration) -> Result<TcpStream, ConnectionError> {
    let started = Instant::now();
    let stream = match tokio::time::timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(ConnectionError::of_connecting(error, started.elapsed())),
        Err(_) => return Err(ConnectionError::TimedOut(limit)),
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The first bytes of something unexpected, short enough to show.
pub(crate) fn first_text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(80)])
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_of_an_icmp_error_is_told_apart_from_this_hosts_own_trouble() {
        let outcome = |errno: Errno| ConnectionError::from(io::Error::from(errno)).outcome();
        assert_eq!(outcome(Errno::CONNREFUSED), Outcome::Refused);
        assert_eq!(outcome(Errno::HOSTUNREACH), Outcome::Unreachable);
        assert_eq!(outcome(Errno::NETUNREACH), Outcome::Unreachable);
        assert_eq!(outcome(Errno::ACCESS), Outcome::Unreachable);
        assert_eq!(outcome(Errno::CONNRESET), Outcome::Reset);
        assert_eq!(outcome(Errno::TIMEDOUT), Outcome::Silent);
        assert_eq!(outcome(Errno::MFILE), Outcome::CheckFailed);
        assert_eq!(outcome(Errno::ADDRNOTAVAIL), Outcome::CheckFailed);
    }

    #[tokio::test]
    async fn a_port_that_nobody_listens_on_is_refused() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = connect(address, Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(error, ConnectionError::Refused(_)), "{error:?}");
    }
}
