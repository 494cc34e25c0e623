//! 2227 on loopback: a drill on this host that finds 2222 taken asks here to be proved there.

use std::net::SocketAddr;
use std::time::Duration;

use fwdrill_protocol::drill::DrillId;
use fwdrill_protocol::task_port::{AGENT_LINE, ASKED_LINE};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::proofs::Proofs;

/// How long a program may take over its first line.
const FIRST_LINE: Duration = Duration::from_secs(2);
/// No drill is proved for longer.
const LONGEST: Duration = Duration::from_secs(300);
/// A first line is shorter.
const LINE: u64 = 64;

/// Lives one connection; `tasks` is where the agent listens on 2222. Who says anything but a drill's first line hears nothing.
pub(super) async fn live(stream: TcpStream, proofs: Proofs, tasks: SocketAddr) {
    let _ = timeout(LONGEST, prove(stream, proofs, tasks)).await;
}

async fn prove(mut stream: TcpStream, proofs: Proofs, tasks: SocketAddr) -> Option<()> {
    let drill = timeout(FIRST_LINE, first_line(&mut stream)).await.ok()??;
    let mut lease = proofs.enter(drill)?;
    stream
        .write_all(format!("{AGENT_LINE}{tasks}\r\n").as_bytes())
        .await
        .ok()?;
    let (mut reading, mut writing) = stream.split();
    let mut ignored = [0; 64];
    loop {
        tokio::select! {
            asker = lease.asked() => {
                let line = format!("{ASKED_LINE}{}\r\n", asker?);
                writing.write_all(line.as_bytes()).await.ok()?;
            }
            // Its end is the end of it.
            read = reading.read(&mut ignored) => if read.ok()? == 0 { return None },
        }
    }
}

async fn first_line(stream: &mut TcpStream) -> Option<DrillId> {
    let mut line = String::new();
    BufReader::new(stream.take(LINE)).read_line(&mut line).await.ok()?;
    DrillId::from_first_line(&line)
}
