//! Clients that hold passive ports without using them: each has a session and asks for another port as soon as the server
//! takes back the one it has. Enough of them, and the passive range is exhausted for everybody else.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

#[derive(Debug, Args)]
pub(crate) struct PortHolderArgs {
    /// The server's FTP control port
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: SocketAddr,
    /// How many sessions
    #[arg(long, value_name = "N")]
    sessions: usize,
}

/// Within a server's usual limit for data connections, 30 s and more.
const AGAIN: Duration = Duration::from_secs(20);

pub(super) async fn run(args: PortHolderArgs) -> anyhow::Result<()> {
    let mut sessions = Vec::new();
    for _ in 0..args.sessions {
        let mut session = log_in(args.server).await.context("failed to log in")?;
        command(&mut session, "EPSV")
            .await
            .context("failed to get a passive port")?;
        sessions.push(session);
    }
    super::ready();
    loop {
        tokio::time::sleep(AGAIN).await;
        for session in &mut sessions {
            // Without a port now, it gets the next one that is free.
            let _ = command(session, "EPSV").await;
        }
    }
}

type Session = BufReader<TcpStream>;

async fn log_in(server: SocketAddr) -> anyhow::Result<Session> {
    let mut session = BufReader::new(TcpStream::connect(server).await?);
    reply(&mut session).await?;
    command(&mut session, "USER anonymous").await?;
    command(&mut session, "PASS port-holder@").await?;
    Ok(session)
}

async fn command(session: &mut Session, line: &str) -> anyhow::Result<()> {
    session.write_all(format!("{line}\r\n").as_bytes()).await?;
    let reply = reply(session).await?;
    anyhow::ensure!(reply.starts_with(['2', '3']), "{line}: {}", reply.trim());
    Ok(())
}

/// The last line of a reply: three digits and a space (RFC 959, 4.2).
async fn reply(session: &mut Session) -> anyhow::Result<String> {
    loop {
        let mut line = String::new();
        anyhow::ensure!(session.read_line(&mut line).await? > 0, "the server has hung up");
        if line.len() > 3 && line.as_bytes()[..3].iter().all(u8::is_ascii_digit) && line.as_bytes()[3] == b' ' {
            return Ok(line);
        }
    }
}
