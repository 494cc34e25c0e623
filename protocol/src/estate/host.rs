//! A host as people write it: an address or a name that has to be resolved.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// An IP address, or a host name that is resolved where it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A literal address.
    Address(IpAddr),
    /// A name.
    Name(String),
}

/// A text that is neither an address nor a host name (RFC 1123 section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an IP address or host name")]
pub struct NotAHost;

impl FromStr for Host {
    type Err = NotAHost;

    fn from_str(text: &str) -> Result<Self, NotAHost> {
        if let Ok(address) = text.parse() {
            return Ok(Host::Address(address));
        }
        let labels: Vec<&str> = text.trim_end_matches('.').split('.').collect();
        let label_holds = |label: &&str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        // A last label of digits is a mistyped address ("203.0.113.500"), not a name.
        let is_number = |label: &&str| label.bytes().all(|b| b.is_ascii_digit());
        // "192.x.x.x" is how the guide writes a placeholder.
        let placeholder = labels.len() == 4 && labels.iter().all(|label| *label == "x" || is_number(label));
        let named = text.len() <= 253 && labels.iter().all(label_holds) && !labels.last().is_some_and(is_number);
        if named && !placeholder {
            Ok(Host::Name(text.to_owned()))
        } else {
            Err(NotAHost)
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(address) => address.fmt(f),
            Host::Name(name) => f.pad(name),
        }
    }
}

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_told_apart() {
        assert_eq!("203.0.113.2".parse(), Ok(Host::Address([203, 0, 113, 2].into())));
        assert_eq!("ftp.example.net".parse(), Ok(Host::Name("ftp.example.net".into())));
        assert_eq!("fwdrill_server".parse(), Ok(Host::Name("fwdrill_server".into())));
    }

    #[test]
    fn placeholders_and_mistyped_addresses_are_refused() {
        for text in ["192.x.x.x", "203.0.113.500", "203.0.113", "", "a b", "-a", "a..b"] {
            assert_eq!(text.parse::<Host>(), Err(NotAHost), "{text}");
        }
    }
}
