//! Nothing: the example is tests/updates.rs.
