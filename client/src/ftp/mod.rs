//! A small, exact FTP client (RFC 959, 2428, 3659): what the probes and [`crate::sync`] speak.
//!
//! It hides nothing: what is dialled is what the server said, what came back is in the
//! [transcript](Control::transcript), and what went wrong is told apart in [`FtpError`]. Passive mode, because that is what
//! passes firewalls; active mode for a listing, because somebody has to find out whether it does.
//!
//! ```no_run
//! # async fn example() -> Result<(), fwdrill_client::ftp::FtpError> {
//! use fwdrill_client::ftp::{Control, Passive};
//! let mut control = Control::connect(([127, 0, 0, 1], 2021).into(), &Default::default()).await?;
//! control.login("anonymous", "guest@example.net").await?;
//! control.binary().await?;
//! let (data, _) = control.passive(Passive::Auto).await?;
//! let mut file = control.retrieve("/manifest.json", 0, data).await?;
//! while let Some(bytes) = file.chunk().await? {
//!     // ...
//! }
//! file.finish().await?;
//! control.quit().await?;
//! # Ok(())
//! # }
//! ```

mod active;
mod control;
mod data;
mod error;
mod passive;
mod pause;
mod privacy;
#[cfg(test)]
mod tests;
mod transfer;

use fwdrill_protocol::ftp_reply::Reply;

pub use active::Arrival;
pub use control::Control;
pub use data::Data;
pub use error::{Channel, FtpError};
pub use passive::Passive;
pub use transfer::Retrieval;

/// One command and what came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The command as it was sent, without its line end and with a password as `****`; empty where the server spoke
    /// unasked (the greeting, the final reply of a transfer).
    pub sent: String,
    /// The reply.
    pub reply: Reply,
}
