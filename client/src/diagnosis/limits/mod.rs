//! Limits and time: how many connections there may be and how fast they may come, how long one may be silent, how fast a
//! file may come, and packets that are lost. What they have in common: everything works, and then it does not.

pub(super) mod crowd;
pub(super) mod idle;
pub(super) mod loss;
#[cfg(test)]
mod testing;
pub(super) mod throughput;

/// "1 connection", "3 connections".
fn connections(count: usize) -> String {
    match count {
        1 => "1 connection".to_owned(),
        count => format!("{count} connections"),
    }
}
