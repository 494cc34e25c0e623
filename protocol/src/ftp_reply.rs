//! Replies of an FTP control connection (RFC 959 section 4.2, RFC 2428 for 229).

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};

/// The longest reply, in bytes, that [`Reply::parse`] takes: a bound on what a peer can make the
/// other end hold.
pub const LONGEST_REPLY: usize = 128 * 1024;

/// A reply: three digits and one or more lines of text (without the code and line ends).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The code, 100-599.
    pub code: u16,
    /// The text, line by line; never empty.
    pub lines: Vec<String>,
}

/// Bytes that cannot become a reply, however many more come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAReply {
    /// The first line does not begin with a code.
    #[error("expected a reply code, got {0:?}")]
    NoCode(String),
    /// The reply does not end.
    #[error("the reply is longer than {LONGEST_REPLY} bytes")]
    TooLong,
}

impl Reply {
    /// A reply of one line.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Reply {
            code,
            lines: vec![text.into()],
        }
    }

    /// Takes one reply off the front of `bytes`: the reply and how many bytes it took, or `None`
    /// while it is not complete. Bytes that are not UTF-8 are replaced, bare LF ends a line too.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Reply, usize)>, NotAReply> {
        let mut taken = 0;
        let mut code = None;
        let mut lines = Vec::new();
        while let Some(length) = bytes[taken..].iter().position(|byte| *byte == b'\n') {
            if taken + length > LONGEST_REPLY {
                return Err(NotAReply::TooLong);
            }
            let line = String::from_utf8_lossy(&bytes[taken..taken + length]);
            let line = line.strip_suffix('\r').unwrap_or(&line);
            taken += length + 1;
            let (this, last, text) = split(line);
            match (code, this) {
                (None, None) => return Err(NotAReply::NoCode(line.chars().take(80).collect())),
                (None, Some(first)) => code = Some(first),
                _ => {}
            }
            let closes = last && this == code;
            lines.push(if this == code { text.to_owned() } else { line.to_owned() });
            if closes {
                return Ok(code.map(|code| (Reply { code, lines }, taken)));
            }
        }
        if bytes.len() > LONGEST_REPLY {
            return Err(NotAReply::TooLong);
        }
        Ok(None)
    }

    /// All lines in one, as messages show it.
    pub fn text(&self) -> String {
        self.lines.join(" / ")
    }

    /// 1yz: another reply follows.
    pub fn is_preliminary(&self) -> bool {
        self.code / 100 == 1
    }

    /// 2yz.
    pub fn is_positive(&self) -> bool {
        self.code / 100 == 2
    }

    /// The address in a 227 reply: the first six numbers in a row, parentheses or not, as clients
    /// have had to read it ever since RFC 959 left the form open (RFC 1123 section 4.1.2.6).
    pub fn passive_address(&self) -> Option<SocketAddrV4> {
        if self.code != 227 {
            return None;
        }
        self.lines.iter().find_map(|line| six_numbers(line))
    }

    /// The port in a 229 reply, `(|||6446|)` (RFC 2428 section 3).
    pub fn extended_passive_port(&self) -> Option<u16> {
        if self.code != 229 {
            return None;
        }
        self.lines.iter().find_map(|line| {
            let inner = line.rsplit_once('(')?.1.split_once(')')?.0;
            let delimiter = inner
                .chars()
                .next()
                .filter(|c| c.is_ascii_graphic() && !c.is_ascii_digit())?;
            let mut fields = inner.split(delimiter).skip(3);
            fields.next()?.parse().ok().filter(|port| *port != 0)
        })
    }

    /// The reply to PASV (RFC 959).
    pub fn passive(address: SocketAddrV4) -> Self {
        let [a, b, c, d] = address.ip().octets();
        let [high, low] = address.port().to_be_bytes();
        Reply::new(227, format!("Entering Passive Mode ({a},{b},{c},{d},{high},{low})"))
    }

    /// The reply to EPSV (RFC 2428).
    pub fn extended_passive(port: u16) -> Self {
        Reply::new(229, format!("Entering Extended Passive Mode (|||{port}|)"))
    }
}

/// Code, whether it stands alone or before a space (the last line of its reply), text.
fn split(line: &str) -> (Option<u16>, bool, &str) {
    let code = line
        .get(..3)
        .filter(|code| code.bytes().all(|b| b.is_ascii_digit()))
        .and_then(|code| code.parse().ok());
    match (code, line.as_bytes().get(3)) {
        (Some(code @ 100..=599), None) => (Some(code), true, ""),
        (Some(code @ 100..=599), Some(b' ')) => (Some(code), true, &line[4..]),
        (Some(code @ 100..=599), Some(b'-')) => (Some(code), false, &line[4..]),
        _ => (None, false, line),
    }
}

fn six_numbers(line: &str) -> Option<SocketAddrV4> {
    line.split(|c: char| !c.is_ascii_digit() && c != ',').find_map(|run| {
        let numbers: Vec<u8> = run.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
        let [a, b, c, d, high, low] = numbers[..].try_into().ok()?;
        Some(SocketAddrV4::new(
            Ipv4Addr::new(a, b, c, d),
            u16::from_be_bytes([high, low]),
        ))
    })
}

/// The wire form, with CRLF: one `write` sends all of it.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.lines.len().saturating_sub(1);
        for (at, line) in self.lines.iter().enumerate() {
            let separator = if at == last { ' ' } else { '-' };
            write!(f, "{}{separator}{line}\r\n", self.code)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(text: &str) -> Reply {
        Reply::parse(text.as_bytes()).unwrap().unwrap().0
    }

    #[test]
    fn single_and_multi_line_replies_are_read() {
        assert_eq!(one("220 hello\r\n"), Reply::new(220, "hello"));
        assert_eq!(one("226\r\n"), Reply::new(226, ""));
        let features = one("211-Features:\r\n EPSV\r\n 211 inside\r\n212 other\r\n211 End\r\n");
        assert_eq!(
            features.lines,
            ["Features:", " EPSV", " 211 inside", "212 other", "End"]
        );
    }

    #[test]
    fn an_incomplete_reply_waits_and_a_following_one_is_left() {
        assert_eq!(Reply::parse(b"220 hel"), Ok(None));
        assert_eq!(Reply::parse(b"220-a\r\nb\r\n"), Ok(None));
        let (reply, taken) = Reply::parse(b"150 go\r\n226 done\r\n").unwrap().unwrap();
        assert_eq!((reply.code, taken), (150, 8));
    }

    #[test]
    fn what_is_not_ftp_is_told_apart() {
        assert!(matches!(
            Reply::parse(b"HTTP/1.1 400 Bad Request\r\n"),
            Err(NotAReply::NoCode(_))
        ));
        assert!(matches!(
            Reply::parse(b"SSH-2.0-OpenSSH_9.2\r\n"),
            Err(NotAReply::NoCode(_))
        ));
        assert_eq!(Reply::parse(&vec![b'2'; LONGEST_REPLY + 1]), Err(NotAReply::TooLong));
    }

    #[test]
    fn passive_addresses_are_read_in_every_form_in_use() {
        for text in [
            "227 Entering Passive Mode (203,0,113,2,11,207).\r\n",
            "227 Entering Passive Mode 203,0,113,2,11,207\r\n",
            "227 =203,0,113,2,11,207\r\n",
        ] {
            assert_eq!(one(text).passive_address().unwrap().to_string(), "203.0.113.2:3023");
        }
        for text in [
            "227 (203,0,113,2,11)\r\n",
            "227 (203,0,113,256,11,1)\r\n",
            "500 (203,0,113,2,11,207)\r\n",
        ] {
            assert_eq!(one(text).passive_address(), None);
        }
    }

    #[test]
    fn extended_passive_ports_are_read() {
        assert_eq!(
            one("229 Entering Extended Passive Mode (|||6446|)\r\n").extended_passive_port(),
            Some(6446)
        );
        assert_eq!(one("229 ok (!!!6446!)\r\n").extended_passive_port(), Some(6446));
        for text in [
            "229 (|||0|)\r\n",
            "229 (|||70000|)\r\n",
            "229 no port\r\n",
            "229 (||)\r\n",
            "229 ()\r\n",
        ] {
            assert_eq!(one(text).extended_passive_port(), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Some((reply, taken))) = Reply::parse(&bytes) {
                prop_assert!(taken <= bytes.len() && !reply.lines.is_empty());
                let _ = (reply.passive_address(), reply.extended_passive_port());
            }
        }

        #[test]
        fn rendering_then_parsing_is_identity(code in 100u16..600, lines in proptest::collection::vec("[ -~]{0,40}", 1..5)) {
            let reply = Reply { code, lines };
            // A middle line that looks like the last one is the sender's mistake.
            let text = reply.to_string();
            let parsed = Reply::parse(text.as_bytes()).unwrap().unwrap();
            prop_assert_eq!(parsed, (reply, text.len()));
        }

        #[test]
        fn passive_replies_survive_the_wire(ip in any::<[u8; 4]>(), port in 1u16..) {
            let address = SocketAddrV4::new(ip.into(), port);
            prop_assert_eq!(one(&Reply::passive(address).to_string()).passive_address(), Some(address));
            prop_assert_eq!(one(&Reply::extended_passive(port).to_string()).extended_passive_port(), Some(port));
        }
    }
}
