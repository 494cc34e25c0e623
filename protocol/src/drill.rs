//! The drill id: 128 random bits that tie together what both ends of one measurement saw.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The HTTP header that carries the drill id on version, download and events requests.
pub const DRILL_HEADER: &str = "x-fwdrill-drill";

/// The FTP user whose password is a drill id.
pub const DRILL_USER: &str = "drill";

/// The path under which the version and HTTP services give a drill its own evidence
/// ([`Evidence`](crate::evidence::Evidence), JSON).
pub const EVIDENCE_PATH: &str = "/evidence";

/// A random 128-bit id; 32 lower-case hexadecimal digits in text.
///
/// Who knows it can read the sightings of its drill, so it is made from the operating system's
/// random source and never logged by the server above debug level.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DrillId([u8; 16]);

/// A text that is not 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a drill id is 32 hexadecimal digits")]
pub struct NotADrillId;

impl DrillId {
    /// A new random id.
    pub fn random() -> Self {
        DrillId(rand::random())
    }

    /// The bytes of the id.
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The line that a client without a protocol of its own sends first, CRLF included.
    pub fn first_line(self) -> String {
        format!("FWDRILL {self}\r\n")
    }

    /// Finds the id in a first line (with or without its line end) made by [`DrillId::first_line`].
    pub fn from_first_line(line: &str) -> Option<Self> {
        line.trim_end().strip_prefix("FWDRILL ")?.parse().ok()
    }
}

impl FromStr for DrillId {
    type Err = NotADrillId;

    fn from_str(text: &str) -> Result<Self, NotADrillId> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotADrillId)?;
        Ok(DrillId(bytes))
    }
}

impl fmt::Display for DrillId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for DrillId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DrillId({self})")
    }
}

impl Serialize for DrillId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DrillId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text_and_its_first_line() {
        let id = DrillId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(DrillId::from_first_line(&id.first_line()), Some(id));
        assert_eq!(DrillId::from_first_line("GET / HTTP/1.1"), None);
        assert!("12".parse::<DrillId>().is_err());
    }
}
