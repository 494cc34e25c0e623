//! The Range header: which bytes of a representation a client asks for (RFC 9110 section 14).

use std::ops::Range;

use http::HeaderMap;
use http::header::RANGE;

/// More ranges than this are answered with the whole: nobody needs them, and each costs a read.
const MOST_RANGES: usize = 16;

/// What is to be sent of a representation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selection {
    /// All of it (200).
    Whole,
    /// These parts, in the order asked for; never empty, none of them empty (206).
    Parts(Vec<Range<u64>>),
    /// Nothing that was asked for exists (416).
    Unsatisfiable,
}

/// Reads the Range header of a GET for a representation of `length` bytes.
///
/// A header that is malformed, in another unit, repeated, or asks for too much (more than 16 ranges, or more bytes than
/// there are) is as good as none (section 14.2 leaves that to the server).
pub(super) fn select(headers: &HeaderMap, length: u64) -> Selection {
    let mut fields = headers.get_all(RANGE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else {
        return Selection::Whole;
    };
    let Some(specs) = field.to_str().ok().and_then(parse) else {
        return Selection::Whole;
    };
    let parts: Vec<Range<u64>> = specs.iter().filter_map(|spec| spec.within(length)).collect();
    if parts.is_empty() {
        return Selection::Unsatisfiable;
    }
    let asked = parts
        .iter()
        .try_fold(0_u64, |sum, part| sum.checked_add(part.end - part.start));
    if asked.is_none_or(|asked| asked > length) {
        return Selection::Whole;
    }
    Selection::Parts(parts)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spec {
    /// `first-` and `first-last`
    From { first: u64, last: u64 },
    /// `-length`
    Suffix(u64),
}

impl Spec {
    fn within(self, length: u64) -> Option<Range<u64>> {
        let range = match self {
            Spec::From { first, last } => first..last.saturating_add(1).min(length),
            Spec::Suffix(suffix) => length.saturating_sub(suffix)..length,
        };
        (!range.is_empty()).then_some(range)
    }
}

fn parse(text: &str) -> Option<Vec<Spec>> {
    let (unit, set) = text.split_once('=')?;
    if !unit.trim_end().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let specs: Vec<&str> = set
        .split(',')
        .map(|spec| spec.trim_matches([' ', '\t']))
        .filter(|spec| !spec.is_empty())
        .take(MOST_RANGES + 1)
        .collect();
    if specs.is_empty() || specs.len() > MOST_RANGES {
        return None;
    }
    specs.into_iter().map(parse_spec).collect()
}

fn parse_spec(text: &str) -> Option<Spec> {
    let (first, last) = text.split_once('-')?;
    if first.is_empty() {
        return Some(Spec::Suffix(number(last)?));
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    (first <= last).then_some(Spec::From { first, last })
}

/// Digits only; what is beyond 64 bits is beyond every file.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::Selection::{Unsatisfiable, Whole};
    use super::*;
    use proptest::prelude::*;

    fn selected(range: &str, length: u64) -> Selection {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, range.parse().unwrap());
        select(&headers, length)
    }

    fn parts(ends: &[(u64, u64)]) -> Selection {
        Selection::Parts(ends.iter().map(|(start, end)| *start..*end).collect())
    }

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let cases: &[(&str, u64, Selection)] = &[
            ("bytes=0-0", 10, parts(&[(0, 1)])),
            ("bytes=0-9", 10, parts(&[(0, 10)])),
            ("bytes=0-99", 10, parts(&[(0, 10)])),
            ("bytes=5-", 10, parts(&[(5, 10)])),
            ("bytes=-3", 10, parts(&[(7, 10)])),
            ("bytes=-99", 10, parts(&[(0, 10)])),
            ("BYTES=0-1", 10, parts(&[(0, 2)])),
            ("bytes=0-1,4-5 ,\t-1", 10, parts(&[(0, 2), (4, 6), (9, 10)])),
            ("bytes=,0-1,,", 10, parts(&[(0, 2)])),
            ("bytes=0-1,10-", 10, parts(&[(0, 2)])),
            ("bytes=8-9,0-1", 10, parts(&[(8, 10), (0, 2)])),
            ("bytes=0-99999999999999999999999", 10, parts(&[(0, 10)])),
            ("bytes=-99999999999999999999999", 10, parts(&[(0, 10)])),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-1", 0, Unsatisfiable),
            ("bytes=2-1", 10, Whole),
            ("bytes=0-1,2-1", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=1--2", 10, Whole),
            ("bytes=0x1-2", 10, Whole),
            ("bytes", 10, Whole),
            ("lines=0-1", 10, Whole),
            ("bytes=0-9,0-9", 10, Whole),
            ("bytes=0-,0-,0-,0-", 10, Whole),
        ];
        for (range, length, expected) in cases {
            assert_eq!(&selected(range, *length), expected, "{range} of {length}");
        }
    }

    #[test]
    fn a_repeated_header_or_too_many_ranges_get_the_whole() {
        let mut headers = HeaderMap::new();
        headers.append(RANGE, "bytes=0-1".parse().unwrap());
        headers.append(RANGE, "bytes=2-3".parse().unwrap());
        assert_eq!(select(&headers, 10), Whole);
        let ranges = |count: u64| (0..count).map(|n| format!("{n}-{n}")).collect::<Vec<_>>().join(",");
        assert!(
            matches!(selected(&format!("bytes={}", ranges(16)), 100), Selection::Parts(parts) if parts.len() == 16)
        );
        assert_eq!(selected(&format!("bytes={}", ranges(17)), 100), Whole);
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_the_parts_lie_within_and_are_not_more_than_the_whole(
            range in "(bytes=)?[-,0-9 a]{0,40}", length in 0_u64..100
        ) {
            if let Selection::Parts(parts) = selected(&range, length) {
                prop_assert!(!parts.is_empty());
                prop_assert!(parts.iter().all(|part| !part.is_empty() && part.end <= length));
                prop_assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= length);
            }
        }
    }
}
