//! The Host header, which a server must check before it believes anything else of a request (RFC 9112 section 3.2).

use std::net::Ipv6Addr;

use http::header::HOST;
use http::{HeaderMap, Uri, Version};

/// Says what is wrong with the Host of a request; such a request gets a 400.
///
/// HTTP/1.1 has exactly one Host field, HTTP/1.0 at most one, and its value is `uri-host [ ":" port ]`. Which host it
/// names makes no difference: a drill calls the server by whatever address it is told to.
pub(super) fn check(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), &'static str> {
    let mut fields = headers.get_all(HOST).iter();
    match (fields.next(), fields.next()) {
        (None, _) if version >= Version::HTTP_11 => return Err("the Host header is missing"),
        (None, _) => {}
        (Some(_), Some(_)) => return Err("there is more than one Host header"),
        (Some(host), None) if is_host_and_port(host.as_bytes()) => {}
        (Some(_), None) => return Err("the Host header is malformed"),
    }
    // RFC 9110 section 4.2.4: user information in a request target is an error.
    match uri.authority() {
        Some(authority) if !is_host_and_port(authority.as_str().as_bytes()) => {
            Err("the authority of the request target is malformed")
        }
        _ => Ok(()),
    }
}

/// `uri-host [ ":" port ]` of RFC 3986. An empty host is one: clients send it for targets without an authority.
fn is_host_and_port(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    if let Some(literal) = text.strip_prefix('[') {
        return literal.split_once(']').is_some_and(|(address, rest)| {
            address.parse::<Ipv6Addr>().is_ok() && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port))
        });
    }
    match text.split_once(':') {
        None => is_name(text),
        Some((name, port)) => is_name(name) && is_port(port),
    }
}

fn is_port(text: &str) -> bool {
    text.is_empty() || (text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok())
}

/// `reg-name`: unreserved characters, percent-encoded bytes, sub-delims. An IPv4 address is one too.
fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let holds = match byte {
            b'%' => [bytes.next(), bytes.next()]
                .iter()
                .all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte),
        };
        if !holds {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_as_clients_write_them_are_taken_and_everything_else_is_not() {
        for host in [
            "",
            "a",
            "a:",
            "203.0.113.2",
            "203.0.113.2:2221",
            "update.example.net:80",
            "[::1]",
            "[::1]:2221",
            "a_b",
            "%41",
        ] {
            assert!(is_host_and_port(host.as_bytes()), "{host:?}");
        }
        for host in [
            "a b",
            "a/b",
            "a@b",
            "a:b",
            "a:1:2",
            "::1",
            "[::1",
            "[::1]x",
            "[]",
            "[1.2.3.4]",
            "a:65536",
            "%4",
            "%zz",
            "é",
            "a\tb",
            "http://a",
            "a?b",
            "a#b",
            "a,b c",
            "a:-1",
            "a:+1",
        ] {
            assert!(!is_host_and_port(host.as_bytes()), "{host:?}");
        }
    }
}
