//! Precompressed variants: `main.fwdb.gz` next to `main.fwdb` is sent in its place to who accepts gzip.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// Content codings and the endings of files in them, best first.
pub(super) const CODINGS: [(&str, &str); 3] = [("br", ".br"), ("zstd", ".zst"), ("gzip", ".gz")];

/// Whether the client said that it accepts this coding (RFC 9110 section 12.5.3). Who says nothing gets the file itself,
/// although the RFC would allow anything: a client that verifies what it downloads wants what it asked for.
pub(super) fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let mut by_star = false;
    for value in headers.get_all(ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let wanted = !is_zero(parameters);
            match name.trim() {
                name if name.eq_ignore_ascii_case(coding) => return wanted,
                "*" => by_star = wanted,
                _ => {}
            }
        }
    }
    by_star
}

fn is_zero(parameters: &str) -> bool {
    let weight = parameters.trim().strip_prefix(['q', 'Q']).map(|rest| rest.trim_start());
    let weight = weight.and_then(|rest| rest.strip_prefix('='));
    weight.is_some_and(|weight| weight.trim().parse() == Ok(0.0_f32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_client_names_is_accepted() {
        for (field, expected) in [
            ("gzip", true),
            ("GZIP", true),
            ("br, gzip", true),
            ("br,gzip;q=0.5", true),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0", false),
            ("gzip; q=0.000", false),
            ("gzip;q=0, *", false),
            ("*, gzip;q=0", false),
            ("identity", false),
            ("br", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, field.parse().unwrap());
            assert_eq!(accepts(&headers, "gzip"), expected, "{field:?}");
        }
        assert!(!accepts(&HeaderMap::new(), "gzip"));
    }
}
