//! Bytes of the control connection as command lines (RFC 959 section 5.3.1, RFC 854), bounded.

const IAC: u8 = 255;
const SB: u8 = 250;
const WILL: u8 = 251;
const DONT: u8 = 254;

/// Cuts what a client sends into lines. Telnet commands in between are dropped; the end is LF, with or without CR.
///
/// Holds no more than one line and what was pushed last, and nothing at all between lines: an idle session is to cost
/// no buffer.
#[derive(Debug)]
pub(super) struct Lines {
    /// The longest line, in bytes without its end.
    longest: usize,
    unread: Vec<u8>,
    telnet: Telnet,
    /// The line that is coming in is too long, which has been said.
    skipping: bool,
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line without its end. What is not UTF-8 is replaced.
    Text(String),
    /// A line longer than the longest; the rest of it is skipped.
    TooLong,
}

/// Where we are in a Telnet command.
#[derive(Debug, Default, Clone, Copy)]
enum Telnet {
    #[default]
    Outside,
    Command,
    Option,
}

impl Lines {
    /// Nothing read as yet; lines have at most `longest` bytes without their end.
    pub(super) fn new(longest: usize) -> Self {
        Lines {
            longest,
            unread: Vec::new(),
            telnet: Telnet::default(),
            skipping: false,
        }
    }

    /// Takes in what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if let Some(byte) = self.telnet.filter(byte) {
                match (self.skipping, byte) {
                    (true, b'\n') => self.skipping = false,
                    (true, _) => {}
                    (false, _) => self.unread.push(byte),
                }
            }
        }
    }

    /// Takes the next line off, if it is there.
    pub(super) fn next(&mut self) -> Option<Line> {
        let Some(end) = self.end_of_first() else {
            if without_cr(&self.unread).len() <= self.longest {
                return None;
            }
            self.unread = Vec::new();
            self.skipping = true;
            return Some(Line::TooLong);
        };
        let text = without_cr(self.unread.get(..end).unwrap_or_default());
        let line = match text.len() <= self.longest {
            true => Line::Text(String::from_utf8_lossy(text).into_owned()),
            false => Line::TooLong,
        };
        self.unread.drain(..=end);
        if self.unread.is_empty() {
            self.unread = Vec::new();
        }
        Some(line)
    }

    /// The next line, left where it is.
    pub(super) fn peek(&self) -> Option<String> {
        let text = without_cr(self.unread.get(..self.end_of_first()?)?);
        Some(String::from_utf8_lossy(text).into_owned())
    }

    /// Whether there is no room for more before a line is taken off.
    pub(super) fn is_full(&self) -> bool {
        self.unread.len() > self.longest
    }

    /// How many bytes are held.
    #[cfg(fuzzing)]
    pub(super) fn held(&self) -> usize {
        self.unread.len()
    }

    /// Forgets everything that was read: what was sent in clear is not to be heard under TLS.
    pub(super) fn clear(&mut self) {
        *self = Lines::new(self.longest);
    }

    fn end_of_first(&self) -> Option<usize> {
        self.unread.iter().position(|byte| *byte == b'\n')
    }
}

impl Telnet {
    /// The byte, unless it belongs to a Telnet command. Options are neither agreed to nor refused aloud.
    fn filter(&mut self, byte: u8) -> Option<u8> {
        let (next, data) = match (*self, byte) {
            (Telnet::Outside, IAC) => (Telnet::Command, None),
            (Telnet::Outside, _) => (Telnet::Outside, Some(byte)),
            // Twice IAC stands for the byte 255.
            (Telnet::Command, IAC) => (Telnet::Outside, Some(byte)),
            (Telnet::Command, SB | WILL..=DONT) => (Telnet::Option, None),
            (Telnet::Command | Telnet::Option, _) => (Telnet::Outside, None),
        };
        *self = next;
        data
    }
}

/// CR before LF is part of the line's end.
fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONGEST_LINE: usize = 4096;

    fn lines(bytes: &[u8]) -> Vec<Line> {
        let mut lines = Lines::new(LONGEST_LINE);
        lines.push(bytes);
        std::iter::from_fn(|| lines.next()).collect()
    }

    fn texts(expected: &[&str]) -> Vec<Line> {
        expected.iter().map(|text| Line::Text((*text).to_owned())).collect()
    }

    #[test]
    fn a_line_ends_with_lf_whether_cr_is_before_it_or_not() {
        assert_eq!(
            lines(b"USER a\r\nPASS b\n\r\nNOOP\r\nhal"),
            texts(&["USER a", "PASS b", "", "NOOP"])
        );
        assert_eq!(lines(b"PASS a\rb\r\n"), texts(&["PASS a\rb"]));
    }

    #[test]
    fn telnet_commands_are_not_part_of_a_line() {
        // IP and the Synch before ABOR; WILL and DO with their options; a doubled IAC, which is no UTF-8.
        assert_eq!(lines(b"\xff\xf4\xff\xf2ABOR\r\n"), texts(&["ABOR"]));
        assert_eq!(lines(b"\xff\xfb\x01NO\xff\xfd\x03OP\r\n"), texts(&["NOOP"]));
        assert_eq!(lines(b"a\xff\xffb\r\n"), texts(&["a\u{fffd}b"]));
    }

    #[test]
    fn an_endless_line_is_said_once_and_never_held() {
        let mut lines = Lines::new(LONGEST_LINE);
        let mut said = 0;
        for _ in 0..10_000 {
            lines.push(&[b'x'; 1024]);
            said += usize::from(lines.next() == Some(Line::TooLong));
            assert!(lines.unread.capacity() <= 4 * LONGEST_LINE);
        }
        assert_eq!(said, 1);
        lines.push(b"x\r\nNOOP\r\n");
        assert_eq!(lines.next(), Some(Line::Text("NOOP".to_owned())));
    }

    #[test]
    fn the_longest_line_is_taken_and_a_longer_one_that_came_whole_is_not() {
        let longest = "x".repeat(LONGEST_LINE);
        assert_eq!(
            lines(format!("{longest}\nNOOP\n").as_bytes()),
            texts(&[&longest, "NOOP"])
        );
        assert_eq!(
            lines(format!("{longest}\r\nNOOP\r\n").as_bytes()),
            texts(&[&longest, "NOOP"])
        );
        let longer = lines(format!("{longest}x\nNOOP\n").as_bytes());
        assert_eq!(longer, [Line::TooLong, Line::Text("NOOP".to_owned())]);
    }

    #[test]
    fn between_lines_nothing_is_held() {
        let mut lines = Lines::new(LONGEST_LINE);
        lines.push(b"NOOP\r\n");
        assert_eq!(lines.peek().as_deref(), Some("NOOP"));
        lines.next();
        assert_eq!((lines.peek(), lines.unread.capacity()), (None, 0));
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_into_packets_makes_no_difference(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(IAC), Just(WILL), any::<u8>()], 0..200),
            size in 1_usize..20,
        ) {
            let (mut pieces, mut got) = (Lines::new(LONGEST_LINE), Vec::new());
            for piece in bytes.chunks(size) {
                pieces.push(piece);
                got.extend(std::iter::from_fn(|| pieces.next()));
            }
            prop_assert_eq!(got, lines(&bytes));
        }
    }
}
