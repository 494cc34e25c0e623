//! Requests, for the fuzzer.

use http::HeaderMap;
use http::header::RANGE;

use super::range::{Selection, select};

/// A Range header of any bytes, for a file of any length.
///
/// # Panics
/// If a part of what is to be sent is empty, or not in the file, or the parts are more than the file.
pub fn range_header(field: &[u8], length: u64) {
    let Ok(value) = http::HeaderValue::from_bytes(field) else {
        return;
    };
    let headers = HeaderMap::from_iter([(RANGE, value)]);
    if let Selection::Parts(parts) = select(&headers, length) {
        assert!(!parts.is_empty(), "206 without a part");
        assert!(parts.iter().all(|part| part.start < part.end && part.end <= length));
        let bytes: u64 = parts.iter().map(|part| part.end - part.start).sum();
        assert!(bytes <= length, "{bytes} bytes of {length}");
    }
}
