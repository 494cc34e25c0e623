//! The name of a client: of its directory in the drop box, and in what it tells the server of itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const LONGEST: usize = 64;

/// The name under which a client uploads and is known to the server.
///
/// Invariant: 1 to 64 ASCII letters, digits, `.`, `_` and `-`, not starting with a dot or dash, so that it is one harmless
/// file name everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientName(String);

/// A text that cannot be a client's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a client name: expected 1 to {LONGEST} letters, digits, \".\", \"_\" and \"-\"")]
pub struct NotAClientName(String);

impl ClientName {
    /// A host's name, made to fit.
    pub fn fitting(host: &str) -> Self {
        let fits = |c: char| if is_harmless(c) { c } else { '-' };
        let text: String = host.chars().map(fits).take(LONGEST).collect();
        let text = text.trim_start_matches(['.', '-']);
        ClientName(if text.is_empty() {
            "client".to_owned()
        } else {
            text.to_owned()
        })
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClientName {
    type Err = NotAClientName;

    fn from_str(text: &str) -> Result<Self, NotAClientName> {
        let harmless = text.chars().all(is_harmless) && !text.starts_with(['.', '-']);
        if harmless && (1..=LONGEST).contains(&text.len()) {
            Ok(ClientName(text.to_owned()))
        } else {
            Err(NotAClientName(text.chars().take(80).collect()))
        }
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ClientName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ClientName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

fn is_harmless(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_harmless_file_name() {
        for text in ["pc-17", "PC_17.example.net", "a"] {
            assert_eq!(text.parse::<ClientName>().unwrap().as_str(), text);
        }
        for text in [
            "",
            ".",
            "..",
            "-x",
            ".x",
            "a/b",
            "a b",
            "a\r\nDELE x",
            "é",
            &"x".repeat(65),
        ] {
            assert!(text.parse::<ClientName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_host_name_can_be_made_to_fit() {
        for (host, name) in [
            ("pc-17", "pc-17"),
            ("büro 3", "b-ro-3"),
            ("..", "client"),
            ("", "client"),
            ("-x", "x"),
        ] {
            let fitted = ClientName::fitting(host);
            assert_eq!(fitted.as_str(), name);
            assert!(fitted.as_str().parse::<ClientName>().is_ok());
        }
    }
}
