//! What the server says, ready for the wire.

use std::fmt;

use fwdrill_protocol::ftp_reply;

/// A reply as it is sent, with its line ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    code: u16,
    text: String,
}

impl Reply {
    /// A reply of one line. What of `text` would end the line is replaced.
    pub(super) fn new(code: u16, text: impl fmt::Display) -> Self {
        let text = text.to_string().replace(char::is_control, "?");
        Reply {
            code,
            text: format!("{code} {text}\r\n"),
        }
    }

    /// A reply of several lines, those in between with a space in front (RFC 2389 section 3.2, RFC 3659 section 7.2), so that
    /// none of them can be taken for the last one.
    pub(super) fn list<T: fmt::Display>(
        code: u16,
        first: &str,
        between: impl IntoIterator<Item = T>,
        last: &str,
    ) -> Self {
        let mut text = format!("{code}-{first}\r\n");
        for line in between {
            text.push_str(&format!(" {line}\r\n"));
        }
        text.push_str(&format!("{code} {last}\r\n"));
        Reply { code, text }
    }

    pub(super) fn code(&self) -> u16 {
        self.code
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl From<&ftp_reply::Reply> for Reply {
    fn from(reply: &ftp_reply::Reply) -> Self {
        Reply {
            code: reply.code,
            text: reply.to_string(),
        }
    }
}

/// Without the last line end.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim_end())
    }
}

/// A path in quotes, those in it doubled (RFC 959 appendix II).
pub(super) fn quoted(path: impl fmt::Display) -> String {
    format!("\"{}\"", path.to_string().replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_replies_are_read_by_the_other_end() {
        let reply = Reply::list(211, "Features:", ["EPSV", "211 x"], "End");
        let (parsed, taken) = ftp_reply::Reply::parse(reply.bytes()).unwrap().unwrap();
        assert_eq!((parsed.code, taken), (211, reply.bytes().len()));
        assert_eq!(parsed.lines, ["Features:", " EPSV", " 211 x", "End"]);
    }

    #[test]
    fn nothing_a_client_says_can_end_a_line() {
        assert_eq!(Reply::new(550, "a\r\n226 b").bytes(), b"550 a??226 b\r\n");
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quoted("/a \"b\""), "\"/a \"\"b\"\"\"");
    }
}
