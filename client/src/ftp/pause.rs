//! Speaking and listening apart from each other: for who waits in between.

use std::time::Duration;

use fwdrill_protocol::ftp_reply::Reply;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::{Control, FtpError};
use crate::connection::ConnectionError;

impl Control {
    /// Sends one command, without its line end. Its reply is for [`Control::hear`].
    pub(crate) async fn send(&mut self, line: &str) -> Result<(), FtpError> {
        let limit = self.limits.stall;
        let bytes = format!("{line}\r\n");
        let source = match timeout(limit, self.stream.write_all(bytes.as_bytes())).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.into(),
            Err(_) => ConnectionError::Stalled(limit),
        };
        Err(FtpError::Control {
            peer: self.peer(),
            during: format!("sending {line}"),
            source,
        })
    }

    /// The next thing the server says, if it says anything within `limit`.
    pub(crate) async fn hear(&mut self, limit: Duration) -> Result<Reply, FtpError> {
        self.reply_within("", limit).await
    }
}
