//! A cable that delays every packet, and loses some at random, always the same ones for the same seed.

use std::time::Duration;

use clap::Args;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::wire::{self, Cable, InWire, Passed, Way};

#[derive(Debug, Args)]
pub(crate) struct DelayLossArgs {
    #[command(flatten)]
    cable: Cable,
    /// How long each packet takes, one way, milliseconds
    #[arg(long, value_name = "MS", default_value = "0")]
    delay: u64,
    /// How many of a hundred packets are lost, each way
    #[arg(long, value_name = "PERCENT", default_value = "0", value_parser = clap::value_parser!(u8).range(0..=100))]
    loss: u8,
    /// Which ones
    #[arg(long, value_name = "N", default_value = "1")]
    seed: u64,
}

pub(super) async fn run(args: DelayLossArgs) -> anyhow::Result<()> {
    let middlebox = DelayLoss {
        delay: Duration::from_millis(args.delay),
        loss: f64::from(args.loss) / 100.0,
        dice: StdRng::seed_from_u64(args.seed),
    };
    wire::run(&args.cable, middlebox).await
}

struct DelayLoss {
    delay: Duration,
    loss: f64,
    dice: StdRng,
}

impl InWire for DelayLoss {
    fn pass(&mut self, frame: Vec<u8>) -> Vec<Passed> {
        if self.dice.random_bool(self.loss) {
            return Vec::new();
        }
        vec![Passed {
            frame,
            way: Way::On,
            after: self.delay,
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_lost_as_asked_for_and_the_rest_are_late() {
        let mut middlebox = DelayLoss {
            delay: Duration::from_millis(300),
            loss: 0.25,
            dice: StdRng::seed_from_u64(1),
        };
        let passed: Vec<Passed> = (0..10_000).flat_map(|_| middlebox.pass(vec![0])).collect();
        assert!((7_300..7_700).contains(&passed.len()), "{}", passed.len());
        assert!(
            passed
                .iter()
                .all(|one| one.after == Duration::from_millis(300) && one.way == Way::On)
        );
    }
}
