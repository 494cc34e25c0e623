//! Doors for the fuzzer (`fuzz/`) to what is private here. Built by `cargo fuzz` only.

pub use crate::ftp::native::fuzzing::control_connection;
pub use crate::http::fuzzing::range_header;
