use bytes::Bytes;
use fwdrill_protocol::ftp_reply::Reply;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::control::{expect, unexpected};
use super::{Control, Data, FtpError};

const CHUNK: usize = 64 * 1024;

/// A file that is being received. The session can do nothing else until [`Retrieval::finish`]; who drops this before
/// has to drop the session as well.
#[derive(Debug)]
pub struct Retrieval<'control> {
    control: &'control mut Control,
    data: Data,
    path: String,
}

impl Control {
    /// RETR over a data connection made before, from byte `offset` on (REST, RFC 3659 section 5).
    pub async fn retrieve(&mut self, path: &str, offset: u64, data: Data) -> Result<Retrieval<'_>, FtpError> {
        self.restart_at(offset).await?;
        self.begin(&format!("RETR {path}")).await?;
        self.receiving(path, data).await
    }

    /// LIST over a data connection made before: the one transfer that every FTP server offers.
    pub async fn list(&mut self, data: Data) -> Result<Retrieval<'_>, FtpError> {
        self.begin("LIST").await?;
        self.receiving("the listing", data).await
    }

    /// What was begun comes over `data`.
    pub(super) async fn receiving(&mut self, path: &str, data: Data) -> Result<Retrieval<'_>, FtpError> {
        Ok(Retrieval {
            data: self.protected(data).await?,
            control: self,
            path: path.to_owned(),
        })
    }

    /// STOR over a data connection made before: sends all of `source`, and returns the final reply (226 or 250).
    pub async fn store(
        &mut self,
        path: &str,
        data: Data,
        source: impl AsyncRead + Unpin + Send,
    ) -> Result<Reply, FtpError> {
        let command = format!("STOR {path}");
        self.begin(&command).await?;
        let data = self.protected(data).await?;
        let sent = send_all(path, data, source).await;
        // A server that takes no more (disk full, quota) cuts the data connection; its reply says why.
        match (sent, self.reply("").await) {
            (Err(local @ FtpError::Source { .. }), _) => Err(local),
            (Ok(()), reply) => {
                let reply = reply?;
                expect(reply.is_positive(), &command, reply)
            }
            (Err(_), Ok(reply)) if !reply.is_positive() => Err(unexpected(&command, reply)),
            (Err(error), _) => Err(error),
        }
    }

    async fn restart_at(&mut self, offset: u64) -> Result<(), FtpError> {
        if offset == 0 {
            return Ok(());
        }
        let command = format!("REST {offset}");
        let reply = self.command(&command).await?;
        expect(reply.code == 350, &command, reply).map(drop)
    }

    async fn begin(&mut self, command: &str) -> Result<(), FtpError> {
        let reply = self.command(command).await?;
        expect(reply.is_preliminary(), command, reply).map(drop)
    }
}

impl Retrieval<'_> {
    /// The next bytes; `None` at the end of the file.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FtpError> {
        self.data.receive(&self.path).await
    }

    /// How many bytes have come, not counting those before the offset.
    pub fn received(&self) -> u64 {
        self.data.moved()
    }

    /// Resets the data connection and reads the final reply, whatever it says: the session can go on.
    pub async fn abandon(self) -> Result<Reply, FtpError> {
        self.data.reset();
        self.control.reply("").await
    }

    /// Closes the data connection and reads the final reply, which must say that all was sent (226 or 250).
    pub async fn finish(self) -> Result<Reply, FtpError> {
        drop(self.data);
        let reply = self.control.reply("").await?;
        expect(reply.is_positive(), &format!("RETR {}", self.path), reply)
    }
}

async fn send_all(path: &str, mut data: Data, mut source: impl AsyncRead + Unpin) -> Result<(), FtpError> {
    data.reset_unless_ended(path)?;
    let mut buffer = vec![0; CHUNK];
    loop {
        match source.read(&mut buffer).await {
            Ok(0) => return data.end(path).await,
            Ok(length) => data.send(path, &buffer[..length]).await?,
            Err(source) => {
                return Err(FtpError::Source {
                    path: path.to_owned(),
                    source,
                });
            }
        }
    }
}
