//! The control connection, for the fuzzer.

use super::codec::{Line, Lines};
use super::command::{Command, loggable};

/// Short, so that the fuzzer gets there.
const LONGEST_LINE: usize = 512;

/// What a client says, in pieces of the given size: cut into lines, parsed, and refused.
///
/// # Panics
/// If more is held than a line and a piece, if a reply can be taken for two, or if a password would be logged.
pub fn control_connection(bytes: &[u8], piece: usize) {
    let mut lines = Lines::new(LONGEST_LINE);
    for piece in bytes.chunks(piece.max(1)) {
        lines.push(piece);
        let peeked = piece.contains(&b'\n').then(|| lines.peek()).flatten();
        let mut first = true;
        while let Some(line) = lines.next() {
            match line {
                Line::Text(text) => {
                    if std::mem::take(&mut first) {
                        assert_eq!(peeked.as_deref(), Some(text.as_str()), "peeked at another line");
                    }
                    assert!(!text.contains('\n') && text.len() <= 3 * LONGEST_LINE);
                    parse(&text);
                }
                Line::TooLong => first = false,
            }
        }
        assert!(lines.held() <= LONGEST_LINE + 1, "more is held than a line and CR");
    }
}

fn parse(line: &str) {
    if let Err(refusal) = line.parse::<Command>() {
        let bytes = refusal.bytes();
        let (end, text) = bytes
            .split_last_chunk::<2>()
            .map_or((None, bytes), |(text, end)| (Some(end), text));
        assert_eq!(end, Some(b"\r\n"));
        assert!(!text.iter().any(u8::is_ascii_control), "{refusal} can be taken for two");
    }
    let logged = loggable(line);
    assert!(!logged.chars().any(char::is_control));
    if line.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case("PASS ")) {
        assert_eq!(logged, "PASS ****");
    }
}
