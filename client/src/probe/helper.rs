//! Does a firewall's FTP helper read a control connection along? Asked of the path alone: no server has to know of it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use fwdrill_protocol::ftp_reply::Reply;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::connect::connect;
use super::socket::unacknowledged;
use crate::limits::Limits;
use crate::observation::privacy::HelperTest;

/// A lost segment is sent again after 200 ms and a round trip, then after twice that time.
const PATIENCE: Duration = Duration::from_millis(700);

/// Sends the beginnings of two commands, each alone in a segment. `None` where the connection, or the system's word about it,
/// cannot be had.
pub(super) async fn test(to: SocketAddr, limits: &Limits) -> Option<HelperTest> {
    let (attempt, stream) = connect(to, limits.connect).await;
    let round_trip = Duration::from_secs_f64(attempt.rtt_ms.unwrap_or_default().max(0.0) / 1000.0);
    let mut line = Line {
        stream: stream?,
        received: BytesMut::new(),
        limit: limits.reply,
        patience: PATIENCE + (3 * round_trip).min(Duration::from_secs(2)),
    };
    line.reply().await?;
    // The helper looks at what follows a line that it has seen whole.
    line.say("NOOP\r\n").await?;
    line.reply().await?;
    let ordinary = line.arrives("NO").await?;
    if !ordinary {
        return Some(HelperTest {
            ordinary,
            watched: false,
        });
    }
    line.say("OP\r\n").await?;
    line.reply().await?;
    let watched = line.arrives("EP").await?;
    Some(HelperTest { ordinary, watched })
}

struct Line {
    stream: TcpStream,
    received: BytesMut,
    limit: Duration,
    patience: Duration,
}

impl Line {
    async fn say(&mut self, text: &str) -> Option<()> {
        self.stream.write_all(text.as_bytes()).await.ok()
    }

    /// Whatever it is: a command before the login is mostly refused.
    async fn reply(&mut self) -> Option<()> {
        let limit = self.limit;
        let read = async {
            loop {
                if let Some((_, length)) = Reply::parse(&self.received).ok()? {
                    self.received.advance(length);
                    return Some(());
                }
                if self.stream.read_buf(&mut self.received).await.ok()? == 0 {
                    return None;
                }
            }
        };
        timeout(limit, read).await.ok()?
    }

    /// Whether the other end acknowledges what is sent.
    async fn arrives(&mut self, text: &str) -> Option<bool> {
        self.say(text).await?;
        let until = Instant::now() + self.patience;
        loop {
            match unacknowledged(&self.stream)? {
                0 => return Some(true),
                _ if Instant::now() >= until => return Some(false),
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{FtpFaults, FtpServer, tree};

    #[tokio::test]
    async fn without_a_helper_both_beginnings_arrive() {
        let server = FtpServer::start(tree([]), FtpFaults::default()).await;
        let tested = test(server.address, &Limits::all(Duration::from_secs(2)))
            .await
            .unwrap();
        assert_eq!(
            tested,
            HelperTest {
                ordinary: true,
                watched: true
            }
        );
        assert_eq!(tested.found(), Some(false));
        assert_eq!(
            server.commands(),
            ["NOOP", "NOOP"],
            "no command that a server would obey"
        );
    }
}
