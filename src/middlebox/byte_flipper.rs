//! A cable that changes one byte of what a port of the server sends, with a checksum that is right again: no TCP notices.

use std::collections::HashMap;

use clap::Args;
use smoltcp::wire::TcpSeqNumber;

use super::frame::{self, Connection};
use super::wire::{self, Cable, InWire, Passed};

#[derive(Debug, Args)]
pub(crate) struct ByteFlipperArgs {
    #[command(flatten)]
    cable: Cable,
    /// The server's port
    #[arg(long, value_name = "PORT")]
    port: u16,
    /// Which byte of every connection, counted from its first
    #[arg(long, value_name = "OFFSET")]
    at: usize,
}

pub(super) async fn run(args: ByteFlipperArgs) -> anyhow::Result<()> {
    let middlebox = ByteFlipper {
        port: args.port,
        at: args.at,
        first: HashMap::new(),
    };
    wire::run(&args.cable, middlebox).await
}

struct ByteFlipper {
    port: u16,
    at: usize,
    /// The sequence number of the first byte of each connection.
    first: HashMap<Connection, TcpSeqNumber>,
}

impl InWire for ByteFlipper {
    fn pass(&mut self, mut frame: Vec<u8>) -> Vec<Passed> {
        frame::tcp(&mut frame, |connection, segment| {
            if connection.1 != self.port {
                return;
            }
            if segment.syn() {
                self.first.insert(connection, segment.seq_number() + 1);
                return;
            }
            let begins = self
                .first
                .get(&connection)
                .and_then(|first| frame::offset(*first, segment));
            let within = begins.and_then(|begins| self.at.checked_sub(begins));
            if let Some(byte) = within.and_then(|within| segment.payload_mut().get_mut(within)) {
                *byte = !*byte;
            }
        });
        vec![Passed::on(frame)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{payload, segment};
    use super::*;

    #[test]
    fn exactly_the_byte_at_the_offset_changes() {
        let mut middlebox = ByteFlipper {
            port: 2021,
            at: 7,
            first: HashMap::new(),
        };
        // Sequence number 1000 in `segment`: the SYN stood at 994, so its payload begins at byte 5.
        let mut syn = segment(b"");
        frame::tcp(&mut syn, |_, segment| {
            segment.set_syn(true);
            segment.set_seq_number(TcpSeqNumber(994));
        });
        middlebox.pass(syn);
        let passed = middlebox.pass(segment(b"abcdef"));
        assert_eq!(payload(&passed[0].frame), [b'a', b'b', !b'c', b'd', b'e', b'f']);
    }
}
