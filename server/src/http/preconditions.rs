//! Conditional requests: RFC 9110 section 13, in the order of section 13.2.2.

use std::time::SystemTime;

use http::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderValue};

/// What a representation is compared by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validators {
    /// A strong entity tag, quotes included.
    pub(super) etag: String,
    /// When it was made, whole seconds.
    pub(super) last_modified: Option<SystemTime>,
    /// Whether its name never stands for anything else. Only then is a date as good as a strong entity tag: two sets may
    /// well be published in the same second (section 8.8.2.2).
    pub(super) immutable: bool,
}

/// What the conditions of a GET or HEAD come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer, and heed the Range header.
    Proceed,
    /// Answer with the whole: If-Range says that the client's part is of something else.
    ProceedWhole,
    /// 304
    NotModified,
    /// 412
    Failed,
}

/// Evaluates the conditions of a GET or HEAD.
pub(super) fn evaluate(headers: &HeaderMap, validators: &Validators) -> Verdict {
    let etag = validators.etag.as_str();
    if headers.contains_key(IF_MATCH) {
        if !any_matches(headers, &IF_MATCH, |tag| tag == etag) {
            return Verdict::Failed;
        }
    } else if let (Some(since), Some(modified)) = (date(headers, &IF_UNMODIFIED_SINCE), validators.last_modified)
        && modified > since
    {
        return Verdict::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if any_matches(headers, &IF_NONE_MATCH, |tag| {
            tag.strip_prefix("W/").unwrap_or(tag) == etag
        }) {
            return Verdict::NotModified;
        }
    } else if let (Some(since), Some(modified)) = (date(headers, &IF_MODIFIED_SINCE), validators.last_modified)
        && modified <= since
    {
        return Verdict::NotModified;
    }
    if headers.contains_key(IF_RANGE) && !is_same(headers, validators) {
        return Verdict::ProceedWhole;
    }
    Verdict::Proceed
}

/// If-Range (section 13.1.5): the very tag, or the very date where a date is strong enough.
fn is_same(headers: &HeaderMap, validators: &Validators) -> bool {
    let Some(text) = only(headers, &IF_RANGE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    if text.starts_with('"') || text.starts_with("W/") {
        return text == validators.etag;
    }
    match (httpdate::parse_http_date(text), validators.last_modified) {
        (Ok(date), Some(modified)) => validators.immutable && date == modified,
        _ => false,
    }
}

/// Whether the list of entity tags in all fields of this name is `*` or has one that matches. A list that is malformed
/// matches as far as it can be read.
fn any_matches(headers: &HeaderMap, name: &HeaderName, matches: impl Fn(&str) -> bool) -> bool {
    headers.get_all(name).iter().any(|value| {
        let text = value.to_str().unwrap_or_default().trim();
        text == "*" || EntityTags(text).any(&matches)
    })
}

/// The entity tags of a list, `W/` and quotes included. Commas may be part of a tag.
struct EntityTags<'a>(&'a str);

impl<'a> Iterator for EntityTags<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start_matches([' ', '\t', ',']);
        let opening = if rest.starts_with("W/\"") { 3 } else { 1 };
        if !rest.get(..opening)?.ends_with('"') {
            return None;
        }
        let closing = opening + rest.get(opening..)?.find('"')?;
        let (tag, rest) = rest.split_at_checked(closing + 1)?;
        self.0 = rest;
        Some(tag)
    }
}

/// A field that is no date, or that is there twice, is as good as none (section 13.1.3).
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(only(headers, name)?.to_str().ok()?).ok()
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut fields = headers.get_all(name).iter();
    let first = fields.next()?;
    fields.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Failed, NotModified, Proceed, ProceedWhole};
    use super::*;

    const EARLIER: &str = "Mon, 23 Nov 2026 00:00:00 GMT";
    const MODIFIED: &str = "Tue, 24 Nov 2026 00:00:00 GMT";
    const LATER: &str = "Wed, 25 Nov 2026 00:00:00 GMT";

    fn verdict(fields: &[(&str, &str)], immutable: bool) -> Verdict {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let validators = Validators {
            etag: "\"a,b\"".to_owned(),
            last_modified: Some(httpdate::parse_http_date(MODIFIED).unwrap()),
            immutable,
        };
        evaluate(&headers, &validators)
    }

    #[test]
    fn conditions_come_to_what_the_rfc_says() {
        let cases: &[(&[(&str, &str)], Verdict)] = &[
            (&[], Proceed),
            // 1. If-Match, strong comparison
            (&[("if-match", "\"a,b\"")], Proceed),
            (&[("if-match", "*")], Proceed),
            (&[("if-match", "\"x\", \"a,b\"")], Proceed),
            (&[("if-match", "\"x\""), ("if-match", "\"a,b\"")], Proceed),
            (&[("if-match", "\"x\"")], Failed),
            (&[("if-match", "W/\"a,b\"")], Failed),
            (&[("if-match", "a,b")], Failed),
            (&[("if-match", "\"a")], Failed),
            (&[("if-match", "")], Failed),
            // ... which outweighs If-Unmodified-Since
            (&[("if-match", "\"a,b\""), ("if-unmodified-since", EARLIER)], Proceed),
            // 2. If-Unmodified-Since
            (&[("if-unmodified-since", EARLIER)], Failed),
            (&[("if-unmodified-since", MODIFIED)], Proceed),
            (&[("if-unmodified-since", LATER)], Proceed),
            (&[("if-unmodified-since", "yesterday")], Proceed),
            // 3. If-None-Match, weak comparison
            (&[("if-none-match", "\"a,b\"")], NotModified),
            (&[("if-none-match", "W/\"a,b\"")], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"x\" , W/\"y\",\"a,b\"")], NotModified),
            (&[("if-none-match", "\"a\"")], Proceed),
            (&[("if-none-match", "\"b\"")], Proceed),
            // ... which outweighs If-Modified-Since
            (&[("if-none-match", "\"x\""), ("if-modified-since", LATER)], Proceed),
            // 4. If-Modified-Since
            (&[("if-modified-since", EARLIER)], Proceed),
            (&[("if-modified-since", MODIFIED)], NotModified),
            (&[("if-modified-since", LATER)], NotModified),
            (&[("if-modified-since", "24.11.2026")], Proceed),
            (&[("if-modified-since", LATER), ("if-modified-since", LATER)], Proceed),
            // 1 and 2 come before 3 and 4
            (&[("if-match", "\"x\""), ("if-none-match", "\"a,b\"")], Failed),
            (&[("if-unmodified-since", EARLIER), ("if-none-match", "*")], Failed),
            (&[("if-match", "*"), ("if-none-match", "\"a,b\"")], NotModified),
            // 5. If-Range, strong comparison
            (&[("if-range", "\"a,b\"")], Proceed),
            (&[("if-range", "\"x\"")], ProceedWhole),
            (&[("if-range", "W/\"a,b\"")], ProceedWhole),
            (&[("if-range", EARLIER)], ProceedWhole),
            (&[("if-range", LATER)], ProceedWhole),
            (&[("if-range", "nonsense")], ProceedWhole),
            (&[("if-range", "\"a,b\""), ("if-range", "\"a,b\"")], ProceedWhole),
            (&[("if-range", "\"x\""), ("if-none-match", "\"a,b\"")], NotModified),
        ];
        for (fields, expected) in cases {
            for immutable in [false, true] {
                assert_eq!(verdict(fields, immutable), *expected, "{fields:?}");
            }
        }
    }

    #[test]
    fn a_part_is_resumed_by_date_only_where_the_name_never_stands_for_anything_else() {
        assert_eq!(verdict(&[("if-range", MODIFIED)], true), Proceed);
        assert_eq!(verdict(&[("if-range", MODIFIED)], false), ProceedWhole);
    }

    #[test]
    fn dates_of_the_two_obsolete_forms_are_read() {
        for date in ["Tuesday, 24-Nov-26 00:00:00 GMT", "Tue Nov 24 00:00:00 2026"] {
            assert_eq!(verdict(&[("if-modified-since", date)], false), NotModified, "{date}");
        }
    }
}
