//! The client's side of a firewall drill.
//!
//! `estate -> plan -> probes -> observations (+ sightings) -> diagnosis -> report`, each step a module: [`plan`] is pure,
//! [`probe`] is the only one that touches the network, [`observation`] holds facts, [`diagnosis`] reads them, [`report`]
//! turns what it says into text. [`sync`] is a client's life: an update cycle over the same [`ftp`] and [`http`]; [`events`]
//! tells the server of it; [`agent`] lives it, and does what the server asks for. [`storm`] is many clients at once.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agent;
pub mod clients;
pub mod connection;
pub mod diagnosis;
pub mod events;
pub mod ftp;
pub mod http;
pub mod journal;
mod limits;
pub mod observation;
pub mod plan;
pub mod probe;
pub mod report;
#[cfg(test)]
mod scripted;
pub mod storm;
pub mod sync;
pub mod tls;

pub use limits::Limits;

/// An error and its causes in one line.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
