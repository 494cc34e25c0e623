//! A cable that takes TCP options out of SYN segments, as old firewalls do. They become no-operations.

use clap::{Args, ValueEnum};

use super::frame;
use super::wire::{self, Cable, InWire, Passed};

#[derive(Debug, Args)]
pub(crate) struct StripOptionsArgs {
    #[command(flatten)]
    cable: Cable,
    /// Which ones
    #[arg(long, value_enum, value_name = "OPTIONS")]
    strip: Strip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Strip {
    /// The window scale of the first SYN; the answer keeps its own
    WindowScale,
    /// Everything but the maximum segment size, both ways
    AllButMss,
}

pub(super) async fn run(args: StripOptionsArgs) -> anyhow::Result<()> {
    wire::run(&args.cable, StripOptions { strip: args.strip }).await
}

struct StripOptions {
    strip: Strip,
}

/// Option kinds (IANA, TCP Option Kind Numbers).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;

impl InWire for StripOptions {
    fn pass(&mut self, mut frame: Vec<u8>) -> Vec<Passed> {
        frame::tcp(&mut frame, |_, segment| {
            if !segment.syn() {
                return;
            }
            match self.strip {
                Strip::WindowScale if segment.ack() => {}
                Strip::WindowScale => blank(segment.options_mut(), |kind| kind == WINDOW_SCALE),
                Strip::AllButMss => blank(segment.options_mut(), |kind| kind != MSS),
            }
        });
        vec![Passed::on(frame)]
    }
}

fn blank(mut options: &mut [u8], unwanted: impl Fn(u8) -> bool) {
    while let Some(kind) = options.first().copied() {
        let length = match kind {
            END => return,
            NO_OPERATION => 1,
            _ => options.get(1).copied().map_or(0, usize::from),
        };
        if length == 0 || length > options.len() {
            return;
        }
        let (option, rest) = options.split_at_mut(length);
        if kind != NO_OPERATION && unwanted(kind) {
            option.fill(NO_OPERATION);
        }
        options = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MSS 1460, SACK permitted, timestamps, no-operation, window scale 7: Linux's own.
    const LINUX: [u8; 20] = [2, 4, 5, 180, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7];

    #[test]
    fn unwanted_options_become_no_operations_and_the_rest_stays() {
        let mut options = LINUX;
        blank(&mut options, |kind| kind == WINDOW_SCALE);
        assert_eq!(options[..16], LINUX[..16]);
        assert_eq!(options[16..], [1; 4]);
        let mut options = LINUX;
        blank(&mut options, |kind| kind != MSS);
        assert_eq!((&options[..4], &options[4..]), (&LINUX[..4], &[1; 16][..]));
    }

    #[test]
    fn malformed_options_do_not_hang_it() {
        for mut options in [vec![3], vec![3, 0, 0], vec![3, 200, 1]] {
            blank(&mut options, |_| true);
        }
    }
}
