//! 2225: clients tell what happened to them (docs/PROTOCOL.md), HTTP/1.1 and JSON.
//!
//! A drill's first line is answered beside it: see [`crate::sentinel::or_http`].

mod desk;
mod rate;
mod token;

pub(crate) use desk::EventDesk;
pub use token::{EnrolmentToken, TOKEN_FILE, TokenError};
