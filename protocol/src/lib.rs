//! What both ends of a firewall drill agree on before the first packet.
//!
//! No I/O happens here: texts and bytes come in, values go out. The map:
//!
//! - [`estate`]: what listens where, and what is expected of the path to it
//! - [`flow`]: one conversation a firewall must allow
//! - [`drill`]: the id that ties the records of both ends together
//! - [`sighting`], [`evidence`] and [`host`]: what the server and its host saw; [`announcement`]: what it bound
//! - [`event`]: what clients tell the server of themselves; [`client_name`]: whose it is
//! - [`sweep`]: the whole passive range answering at once
//! - [`task`]: what the server has clients do; [`task_port`]: the server dials the client
//! - [`finding`] and [`report`]: what the client concludes; [`explain`]: what each finding means
//! - [`storm`]: what many clients at once came to
//! - [`lint`]: what is wrong with an estate without any traffic
//! - [`update_set`]: manifest, version answer and signature of what is downloaded
//! - [`ftp_reply`]: the replies of an FTP control connection
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod address;
pub mod announcement;
pub mod client_name;
pub mod drill;
pub mod estate;
pub mod event;
pub mod evidence;
pub mod explain;
pub mod finding;
pub mod flow;
pub mod ftp_reply;
pub mod host;
pub mod lint;
pub mod report;
#[cfg(test)]
mod schema;
pub mod sighting;
pub mod storm;
pub mod sweep;
pub mod task;
pub mod task_port;
pub mod update_set;
