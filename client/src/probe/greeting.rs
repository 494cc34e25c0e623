//! Ports without a protocol of their own yet: say which drill it is, and hear who answers.

use std::time::Duration;

use fwdrill_protocol::flow::Flow;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Site;
use crate::observation::Greeting;

/// A port that has not spoken by then is silent; none of these services has anything to compute.
const PATIENCE: Duration = Duration::from_secs(1);

/// Longer lines are cut: nobody's greeting needs more.
const LONGEST: usize = 256;

/// Sends the drill's first line and reads the line that comes back.
pub(super) async fn exchange(site: &Site<'_>, flow: Flow, mut stream: TcpStream) -> Greeting {
    let line = timeout(PATIENCE.min(site.limits.reply), async {
        stream.write_all(site.plan.drill.first_line().as_bytes()).await.ok()?;
        stream.shutdown().await.ok()?;
        let mut answer = Vec::new();
        (&mut stream).take(LONGEST as u64).read_to_end(&mut answer).await.ok()?;
        let text = String::from_utf8_lossy(&answer);
        text.lines().next().map(ToOwned::to_owned)
    })
    .await
    .ok()
    .flatten();
    let ours = line
        .as_ref()
        .is_some_and(|line| line.starts_with(&format!("FWDRILL {flow} ")));
    Greeting { line, ours }
}
