//! The emulated estate: every port of an update server or update agent, bound and served.
//!
//! `estate -> bind every port -> announce every bound address -> serve -> drain -> stop`. The map:
//!
//! - [`journal`]: what the server saw of each drill, bounded, in memory and on disk
//! - [`shelf`]: the update set in force, verified, and replaced when a newer one is published
//! - [`connection`]: the accept loop that every service shares, and how connections end
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod connection;
pub mod journal;
pub mod shelf;
#[cfg(test)]
mod testing;
