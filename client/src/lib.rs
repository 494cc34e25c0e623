//! The client's side of a firewall drill: what is planned, what was seen, what it means; and [`sync`], a client's life.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod connection;
pub mod ftp;
pub mod http;
mod limits;
#[cfg(test)]
mod scripted;
pub mod sync;

pub use limits::Limits;
