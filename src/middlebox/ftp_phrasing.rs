//! A cable that says a 227 in another form, byte for byte as long, so that an FTP helper behind it meets the forms that
//! other servers use.

use clap::{Args, ValueEnum};

use super::frame;
use super::wire::{self, Cable, InWire, Passed};

#[derive(Debug, Args)]
pub(crate) struct FtpPhrasingArgs {
    #[command(flatten)]
    cable: Cable,
    /// The form
    #[arg(long, value_enum, value_name = "STYLE")]
    style: Style,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Style {
    /// "22" in one segment, the rest in the next
    Split,
    /// Without parentheses
    Bare,
    /// As a reply of two lines
    MultiLine,
    /// Behind another reply in the same segment
    AfterAnother,
}

pub(super) async fn run(args: FtpPhrasingArgs) -> anyhow::Result<()> {
    wire::run(&args.cable, FtpPhrasing { style: args.style }).await
}

struct FtpPhrasing {
    style: Style,
}

/// As our server begins it.
const USUAL: &[u8] = b"227 Entering Passive Mode (";
const TWO_LINES: &[u8] = b"227-Entering\r\n227 Passive (";
const TWO_REPLIES: &[u8] = b"200 One\r\n227 Passive Mode (";

impl InWire for FtpPhrasing {
    fn pass(&mut self, mut frame: Vec<u8>) -> Vec<Passed> {
        let length = frame::tcp(&mut frame, |_, segment| {
            let payload = segment.payload_mut();
            if !payload.starts_with(USUAL) {
                return None;
            }
            match self.style {
                Style::Split => {}
                Style::Bare => payload
                    .iter_mut()
                    .filter(|byte| matches!(byte, b'(' | b')'))
                    .for_each(|byte| *byte = b' '),
                Style::MultiLine => payload[..USUAL.len()].copy_from_slice(TWO_LINES),
                Style::AfterAnother => payload[..USUAL.len()].copy_from_slice(TWO_REPLIES),
            }
            Some(payload.len())
        });
        match length.flatten() {
            Some(length) if self.style == Style::Split => {
                let parts = [
                    frame::with_payload(&frame, 0..2),
                    frame::with_payload(&frame, 2..length),
                ];
                parts.into_iter().flatten().map(Passed::on).collect()
            }
            _ => vec![Passed::on(frame)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::tests::{payload, segment};
    use super::*;

    fn said(style: Style, text: &str) -> Vec<String> {
        let passed = FtpPhrasing { style }.pass(segment(text.as_bytes()));
        passed
            .iter()
            .map(|one| String::from_utf8(payload(&one.frame)).unwrap())
            .collect()
    }

    #[test]
    fn every_form_says_the_same_address_in_as_many_bytes() {
        let usual = "227 Entering Passive Mode (10,20,0,10,11,207).\r\n";
        for style in [Style::Split, Style::Bare, Style::MultiLine, Style::AfterAnother] {
            let said = said(style, usual).concat();
            assert_eq!(said.len(), usual.len());
            assert!(said.contains("10,20,0,10,11,207"), "{said}");
            assert_eq!(said == usual, style == Style::Split, "{said}");
        }
        assert_eq!(said(Style::Split, usual).len(), 2);
    }

    #[test]
    fn other_replies_pass_as_they_are() {
        assert_eq!(
            said(Style::MultiLine, "230 Logged in (really)\r\n"),
            ["230 Logged in (really)\r\n"]
        );
    }
}
