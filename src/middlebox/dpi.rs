//! A cable that reads along, as an intrusion prevention system or a content filter does: a segment with the pattern in it
//! never arrives, and the connection is ended for one side or both. Packet by packet, as `iptables -m string` does it.

use std::collections::HashSet;

use clap::{Args, ValueEnum};

use super::frame::{self, Connection, Towards};
use super::wire::{self, Cable, InWire, Passed, Way};

#[derive(Debug, Args)]
pub(crate) struct DpiArgs {
    #[command(flatten)]
    cable: Cable,
    /// What it looks for
    #[arg(long, value_name = "TEXT")]
    pattern: String,
    /// Only in what comes from this port
    #[arg(long, value_name = "PORT")]
    from_port: Option<u16>,
    /// Who learns of it
    #[arg(long, value_enum, default_value_t = Verdict::ResetBoth, value_name = "VERDICT")]
    verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verdict {
    /// Both ends get a reset.
    ResetBoth,
    /// Only who sent it does (`REJECT --reject-with tcp-reset`).
    ResetSender,
    /// Nobody does.
    Drop,
}

pub(super) async fn run(args: DpiArgs) -> anyhow::Result<()> {
    let middlebox = Dpi {
        pattern: args.pattern.into_bytes(),
        from_port: args.from_port,
        verdict: args.verdict,
        condemned: HashSet::new(),
    };
    wire::run(&args.cable, middlebox).await
}

struct Dpi {
    pattern: Vec<u8>,
    from_port: Option<u16>,
    verdict: Verdict,
    /// Directions of connections that carry nothing any more.
    condemned: HashSet<Connection>,
}

impl InWire for Dpi {
    fn pass(&mut self, mut frame: Vec<u8>) -> Vec<Passed> {
        let read = frame::tcp(&mut frame, |connection, segment| {
            let meant = self.from_port.is_none_or(|port| port == connection.1);
            let found = meant && contains(segment.payload_mut(), &self.pattern);
            (connection, found)
        });
        let Some((connection, found)) = read else {
            return vec![Passed::on(frame)];
        };
        if self.condemned.contains(&connection) {
            return Vec::new();
        }
        if !found {
            return vec![Passed::on(frame)];
        }
        let reset = |towards, way| {
            Some(Passed {
                way,
                ..Passed::on(frame::reset(&frame, towards)?)
            })
        };
        let (back, on) = (reset(Towards::Sender, Way::Back), reset(Towards::Receiver, Way::On));
        match self.verdict {
            Verdict::ResetBoth => {
                self.condemned.insert(connection);
                back.into_iter().chain(on).collect()
            }
            Verdict::ResetSender => back.into_iter().collect(),
            Verdict::Drop => Vec::new(),
        }
    }
}

fn contains(text: &[u8], pattern: &[u8]) -> bool {
    !pattern.is_empty() && text.windows(pattern.len()).any(|window| window == pattern)
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::segment;
    use super::*;

    fn dpi(verdict: Verdict) -> Dpi {
        Dpi {
            pattern: b"EICAR".to_vec(),
            from_port: None,
            verdict,
            condemned: HashSet::new(),
        }
    }

    #[test]
    fn what_is_found_is_answered_and_never_arrives() {
        for (verdict, ways) in [
            (Verdict::ResetBoth, vec![Way::Back, Way::On]),
            (Verdict::ResetSender, vec![Way::Back]),
            (Verdict::Drop, vec![]),
        ] {
            let passed = dpi(verdict).pass(segment(b"an EICAR test"));
            assert_eq!(passed.iter().map(|one| one.way).collect::<Vec<_>>(), ways);
            for mut one in passed {
                assert_eq!(frame::tcp(&mut one.frame, |_, segment| segment.rst()), Some(true));
            }
        }
    }

    #[test]
    fn what_is_not_looked_for_passes_until_the_connection_is_condemned() {
        let mut dpi = dpi(Verdict::ResetBoth);
        assert_eq!(dpi.pass(segment(b"harmless")).len(), 1);
        dpi.pass(segment(b"EICAR"));
        assert!(dpi.pass(segment(b"harmless")).is_empty());
    }

    #[test]
    fn another_port_is_not_read() {
        let mut dpi = dpi(Verdict::Drop);
        dpi.from_port = Some(21);
        assert_eq!(dpi.pass(segment(b"EICAR")).len(), 1);
    }
}
