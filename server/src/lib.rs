//! The emulated estate: every port of an update server or update agent, bound and served.
//!
//! `estate -> bind every port -> announce every bound address -> serve -> drain -> stop`. The map:
//!
//! - [`Config`] and [`Server`]: what is to be served; bound, announced, run, drained
//! - [`journal`]: what the server saw of each drill, bounded, in memory and on disk
//! - [`shelf`]: the update set in force, verified, and replaced when a newer one is published
//! - [`http`]: downloads (2221); `version` and `evidence`: "anything new?" (3333), and what was seen
//! - `events`: what clients tell of themselves (2225), kept in the [`store`]
//! - [`tasks`]: what clients are to do (2222); `task_port`: whether that reaches them
//! - `sentinel`: what a drill says first on a port whose service begins otherwise, or lives elsewhere
//! - `exposure`: the ports that are for this host alone (2226, 2227), watched for who comes all the same
//! - [`console`]: the web console (10443)
//! - [`ftp`]: downloads and uploads (2021), by one of two engines; [`dropbox`]: where uploads go
//! - [`tls`]: the server's certificate, made on first start and kept
//! - [`connection`]: the accept loop that every service shares, and how connections end
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bind;
mod config;
pub mod connection;
pub mod console;
pub mod dropbox;
mod events;
mod evidence;
mod exposure;
pub mod ftp;
#[cfg(fuzzing)]
pub mod fuzzing;
mod host;
pub mod http;
pub mod journal;
mod saved_syn;
mod secret_file;
mod sentinel;
mod server;
pub mod shelf;
pub mod store;
mod stream;
mod sweep;
mod task_port;
pub mod tasks;
#[cfg(test)]
mod testing;
pub mod tls;
mod version;
#[cfg(test)]
mod wire_tests;

pub use bind::{BindError, BindErrors};
pub use config::{Config, FtpEngine, Role};
pub use events::{EnrolmentToken, TOKEN_FILE, TokenError};
pub use server::{Server, StartError};

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
