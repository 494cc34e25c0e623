//! A set of TCP ports with holes, as written in `passive_ports = "3023-3332,3334-4022"`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A set of TCP ports, kept as sorted ranges that neither overlap nor touch.
///
/// Port 0 is never a member. The text form is a comma-separated list of ports and `low-high`
/// ranges; the empty text is the empty set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PortSet {
    ranges: Vec<RangeInclusive<u16>>,
}

/// Why a text is not a [`PortSet`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortSetError {
    /// A piece is neither a port nor `low-high`.
    #[error("`{0}` is neither a port (1-65535) nor a range such as 3023-4022")]
    NotARange(String),
    /// `low-high` with `low` above `high`.
    #[error("the range {0}-{1} is reversed, write {1}-{0}")]
    Reversed(u16, u16),
    /// Two pieces share a port.
    #[error("the ranges {0} and {1} overlap")]
    Overlapping(String, String),
}

impl PortSet {
    /// The set of all ports from `low` to `high`; empty when `low > high`. Port 0 is left out.
    pub fn range(low: u16, high: u16) -> Self {
        [low..=high].into_iter().flatten().collect()
    }

    /// How many ports there are.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(ExactSizeIterator::len).sum()
    }

    /// Whether there is no port at all.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether `port` is a member.
    pub fn contains(&self, port: u16) -> bool {
        let following = self.ranges.partition_point(|range| *range.end() < port);
        self.ranges.get(following).is_some_and(|range| range.contains(&port))
    }

    /// Every port in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + Clone + '_ {
        self.ranges.iter().cloned().flatten()
    }

    /// The lowest port.
    pub fn first(&self) -> Option<u16> {
        self.ranges.first().map(|range| *range.start())
    }

    /// The highest port.
    pub fn last(&self) -> Option<u16> {
        self.ranges.last().map(|range| *range.end())
    }

    /// The contiguous ranges, ascending.
    pub fn ranges(&self) -> &[RangeInclusive<u16>] {
        &self.ranges
    }

    /// What is in `self` and not in `other`.
    pub fn without(&self, other: &PortSet) -> PortSet {
        self.iter().filter(|port| !other.contains(*port)).collect()
    }
}

impl FromIterator<u16> for PortSet {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        let mut sorted: Vec<u16> = ports.into_iter().filter(|port| *port != 0).collect();
        sorted.sort_unstable();
        sorted.dedup();
        let ranges = sorted
            .chunk_by(|a, b| a + 1 == *b)
            .map(|run| run[0]..=run[run.len() - 1])
            .collect();
        PortSet { ranges }
    }
}

impl FromStr for PortSet {
    type Err = PortSetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() {
            return Ok(PortSet::default());
        }
        let mut ranges = text
            .split(',')
            .map(|piece| parse_range(piece.trim()))
            .collect::<Result<Vec<_>, _>>()?;
        ranges.sort_by_key(|range| *range.start());
        if let Some([a, b]) = ranges.array_windows().find(|[a, b]| a.end() >= b.start()) {
            return Err(PortSetError::Overlapping(show(a), show(b)));
        }
        // Ranges that touch ("1-2,3-4") are one range.
        Ok(ranges.into_iter().flatten().collect())
    }
}

fn parse_range(piece: &str) -> Result<RangeInclusive<u16>, PortSetError> {
    let port = |text: &str| match text.trim().parse() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(PortSetError::NotARange(piece.to_owned())),
    };
    let (low, high) = match piece.split_once('-') {
        Some((low, high)) => (port(low)?, port(high)?),
        None => (port(piece)?, port(piece)?),
    };
    if low > high {
        return Err(PortSetError::Reversed(low, high));
    }
    Ok(low..=high)
}

fn show(range: &RangeInclusive<u16>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{}-{}", range.start(), range.end())
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pieces: Vec<String> = self.ranges.iter().map(show).collect();
        f.write_str(&pieces.join(","))
    }
}

impl Serialize for PortSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn holes_survive_parsing_and_printing() {
        let ports: PortSet = "3334-4022, 3023-3332".parse().unwrap();
        assert_eq!(ports.to_string(), "3023-3332,3334-4022");
        assert_eq!(ports.len(), 999);
        assert!(!ports.contains(3333));
        assert!(ports.contains(3332) && ports.contains(3334));
        assert!(!ports.contains(3022) && !ports.contains(4023));
    }

    #[test]
    fn a_reversed_range_is_refused_with_the_cure() {
        let error = "4022-3023".parse::<PortSet>().unwrap_err();
        assert_eq!(error.to_string(), "the range 4022-3023 is reversed, write 3023-4022");
    }

    #[test]
    fn overlapping_ranges_are_refused_and_both_named() {
        let error = "3000-3100,3050-3200".parse::<PortSet>().unwrap_err();
        assert_eq!(error.to_string(), "the ranges 3000-3100 and 3050-3200 overlap");
        assert!("5,5".parse::<PortSet>().is_err());
    }

    #[test]
    fn touching_ranges_are_one() {
        assert_eq!("1-2,3-4".parse::<PortSet>().unwrap().to_string(), "1-4");
    }

    #[test]
    fn texts_that_are_no_ports_are_refused() {
        for text in ["0", "65536", "a", "1-", "-1", "1-2-3", ",", "1,,2", "10:20"] {
            assert!(text.parse::<PortSet>().is_err(), "{text}");
        }
    }

    #[test]
    fn taking_a_service_port_out_leaves_a_hole() {
        let range = PortSet::range(3023, 4022);
        let owned = PortSet::from_iter([3333]);
        assert_eq!(range.without(&owned).to_string(), "3023-3332,3334-4022");
    }

    proptest! {
        #[test]
        fn any_set_of_ports_survives_rendering_and_parsing(ports in proptest::collection::vec(any::<u16>(), 0..200)) {
            let set: PortSet = ports.into_iter().collect();
            prop_assert_eq!(set.to_string().parse::<PortSet>().unwrap(), set);
        }

        #[test]
        fn parsing_never_panics(text in "\\PC*") {
            let _ = text.parse::<PortSet>();
        }
    }
}
