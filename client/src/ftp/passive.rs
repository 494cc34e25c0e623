use std::net::SocketAddr;

use super::{Control, Data, FtpError};

/// How a data connection is arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Passive {
    /// EPSV; then PASV if the server refuses EPSV or nothing can be reached at the port it names.
    #[default]
    Auto,
    /// EPSV only.
    Epsv,
    /// PASV only; the address in the 227 is dialled as it was sent, as an old client does.
    Pasv,
}

impl Control {
    /// Asks for a passive port and dials it. Tells which way worked, so that the next transfer need not try in vain.
    pub async fn passive(&mut self, how: Passive) -> Result<(Data, Passive), FtpError> {
        match how {
            Passive::Epsv => Ok((self.dial_epsv().await?, Passive::Epsv)),
            Passive::Pasv => Ok((self.dial_pasv().await?, Passive::Pasv)),
            Passive::Auto => match self.dial_epsv().await {
                Ok(data) => Ok((data, Passive::Epsv)),
                Err(error) if self.may_try_pasv(&error) => {
                    tracing::debug!(peer = %self.peer(), %error, "EPSV failed, trying PASV");
                    Ok((self.dial_pasv().await?, Passive::Pasv))
                }
                Err(error) => Err(error),
            },
        }
    }

    async fn dial_epsv(&mut self) -> Result<Data, FtpError> {
        let (_, port) = self.epsv().await?;
        self.open_data(SocketAddr::new(self.peer().ip(), port)).await
    }

    async fn dial_pasv(&mut self) -> Result<Data, FtpError> {
        let (_, address) = self.pasv().await?;
        self.open_data(address.into()).await
    }

    /// A 227 has no room for an IPv6 address, and after 421 the session is over.
    fn may_try_pasv(&self, epsv: &FtpError) -> bool {
        let goes_on = match epsv {
            FtpError::Unexpected { reply, .. } => reply.code != 421,
            FtpError::Data { .. } => true,
            _ => false,
        };
        goes_on && self.peer().is_ipv4()
    }
}
