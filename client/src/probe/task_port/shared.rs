//! An agent on this host has 2222: it is asked, on 2227 of loopback, to prove this drill there.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::task_port::{AGENT_LINE, ASKED_LINE};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Take};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An agent answers at once; whoever else has the port says nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Nobody needs more to say who asked.
const LONGEST: u64 = 4096;

/// What stands between this drill and the agent; the agent proves the drill while it does.
pub(super) struct Shared {
    lines: BufReader<Take<TcpStream>>,
    address: SocketAddr,
}

impl Shared {
    /// Asks the agent; `None` where there is none, or it has no room.
    pub(super) async fn join(port: u16, drill: DrillId) -> Option<Self> {
        timeout(PATIENCE, Self::ask(port, drill)).await.ok().flatten()
    }

    async fn ask(port: u16, drill: DrillId) -> Option<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        stream.write_all(drill.first_line().as_bytes()).await.ok()?;
        let mut lines = BufReader::new(stream.take(LONGEST));
        let mut line = String::new();
        lines.read_line(&mut line).await.ok()?;
        let address = line.trim_end().strip_prefix(AGENT_LINE)?.parse().ok()?;
        Some(Shared { lines, address })
    }

    /// Where the agent listens for tasks.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next who asks for the proof; `None`: the agent says no more.
    pub(super) async fn asked(&mut self) -> Option<SocketAddr> {
        let mut line = String::new();
        self.lines.read_line(&mut line).await.ok()?;
        line.trim_end().strip_prefix(ASKED_LINE)?.parse().ok()
    }
}
