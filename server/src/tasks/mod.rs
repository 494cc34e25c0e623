//! 2222: what clients are to do (docs/PROTOCOL.md), HTTP/1.1 and JSON.
//!
//! A task is kept in the [store](crate::store) when it is given, posted to the client's own 2222 at once, and handed to the
//! client when it checks in, whichever comes first: a client behind NAT gets it with its next check-in.
//!
//! ```no_run
//! # async fn example(tasks: fwdrill_server::tasks::TaskDesk) -> Result<(), Box<dyn std::error::Error>> {
//! use fwdrill_protocol::task::Order;
//! for row in tasks.give(Order::Sync, Some("pc-17".parse()?)).await? {
//!     println!("{}: {} {}", row.task.client, row.state.name(), row.detail);
//! }
//! # Ok(())
//! # }
//! ```

mod desk;
mod push;

pub(crate) use desk::Signed;
pub use desk::TaskDesk;
