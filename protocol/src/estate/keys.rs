//! Every key of the estate, each with what it expects: one line per key.

use std::path::PathBuf;
use std::time::Duration;

use super::value::{Misfit, Value};
use super::{Estate, HttpTls, Mode, Sha256, Tls};
use crate::flow::{Expected, Flow};

/// One key: its dotted path, what it expects in words, and how it is set.
pub(crate) struct Key {
    pub(crate) path: &'static str,
    pub(crate) expected: &'static str,
    pub(crate) set: fn(&mut Estate, &Value) -> Result<(), Misfit>,
}

const PORT: &str = "expected a port, 1-65535 (0: any free port)";
const BOOLEAN: &str = "expected true or false";
const COUNT: &str = "expected a number, 1 or more";
/// A limit is to be one.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);
const SECONDS: &str = "expected a number of seconds, more than 0 and a day at most";
/// tcp(7): TCP_KEEPIDLE is a number of seconds, 32767 at most.
const WHOLE_SECONDS: &str = "expected a whole number of seconds, 1 to 32767";
const ADVERTISED_FOR: &str =
    r#"expected a list such as [{ network = "10.20.0.0/24", address = "10.20.0.10" }] with IPv4 addresses"#;

/// Keys in the order of the file.
pub(crate) const KEYS: &[Key] = &[
    Key {
        path: "mode",
        expected: r#"expected "ftp" or "http""#,
        set: |e, v| put(&mut e.mode, mode(v)),
    },
    Key {
        path: "clients",
        expected: "expected a number of clients, 1 or more",
        set: |e, v| put(&mut e.clients, positive(v)),
    },
    Key {
        path: "server.host",
        expected: "expected a host name or an IP address",
        set: |e, v| {
            let host: super::Host = v.parsed()?;
            e.server.host = Some(host.to_string());
            Ok(())
        },
    },
    Key {
        path: "server.bind",
        expected: r#"expected an IP address of this host, "0.0.0.0" or "::""#,
        set: |e, v| put(&mut e.server.bind, v.parsed()),
    },
    Key {
        path: "ftp.enabled",
        expected: BOOLEAN,
        set: |e, v| put(&mut e.ftp.enabled, v.boolean()),
    },
    Key {
        path: "ftp.port",
        expected: PORT,
        set: |e, v| put(&mut e.ftp.port, v.integer()),
    },
    Key {
        path: "ftp.passive_ports",
        expected: r#"expected ranges such as "3023-3332,3334-4022""#,
        set: |e, v| put(&mut e.ftp.passive_ports, port_set(v)),
    },
    Key {
        path: "ftp.passive_listen",
        expected: r#"expected as many ports as ftp.passive_ports has, such as "30000-30009""#,
        set: |e, v| put(&mut e.ftp.passive_listen, port_set(v)),
    },
    Key {
        path: "ftp.advertised_address",
        expected: "expected the IPv4 address, or the host name, that clients reach the server by",
        set: |e, v| put(&mut e.ftp.advertised_address, advertised(v).map(Some)),
    },
    Key {
        path: "ftp.advertised_for",
        expected: ADVERTISED_FOR,
        set: |e, v| put(&mut e.ftp.advertised_for, v.structured()),
    },
    Key {
        path: "ftp.tls",
        expected: r#"expected "off", "optional" or "required""#,
        set: |e, v| put(&mut e.ftp.tls, tls(v)),
    },
    Key {
        path: "ftp.active",
        expected: BOOLEAN,
        set: |e, v| put(&mut e.ftp.active, v.boolean()),
    },
    Key {
        path: "ftp.anonymous",
        expected: BOOLEAN,
        set: |e, v| put(&mut e.ftp.anonymous, v.boolean()),
    },
    Key {
        path: USERS,
        expected: r#"expected a list such as [{ name = "scan", password = "..." }], without "anonymous" and "drill""#,
        set: |e, v| put(&mut e.ftp.users, users(v)),
    },
    Key {
        path: "ftp.limits.sessions",
        expected: COUNT,
        set: |e, v| put(&mut e.ftp.limits.sessions, positive(v)),
    },
    Key {
        path: "ftp.limits.sessions_per_address",
        expected: COUNT,
        set: |e, v| put(&mut e.ftp.limits.sessions_per_address, positive(v)),
    },
    Key {
        path: "ftp.limits.line_bytes",
        expected: "expected a number of bytes, 512 to 65536",
        set: |e, v| put(&mut e.ftp.limits.line_bytes, between(v, 512, 65_536)),
    },
    Key {
        path: "ftp.limits.idle_seconds",
        expected: SECONDS,
        set: |e, v| put(&mut e.ftp.limits.idle, seconds(v)),
    },
    Key {
        path: "ftp.limits.login_seconds",
        expected: SECONDS,
        set: |e, v| put(&mut e.ftp.limits.login, seconds(v)),
    },
    Key {
        path: "ftp.limits.data_connect_seconds",
        expected: SECONDS,
        set: |e, v| put(&mut e.ftp.limits.data_connect, seconds(v)),
    },
    Key {
        path: "ftp.limits.keepalive_seconds",
        expected: WHOLE_SECONDS,
        set: |e, v| put(&mut e.ftp.limits.keepalive, whole_seconds(v)),
    },
    Key {
        path: "ftp.limits.stall_seconds",
        expected: SECONDS,
        set: |e, v| put(&mut e.ftp.limits.stall, seconds(v)),
    },
    Key {
        path: "ftp.limits.handshake_seconds",
        expected: SECONDS,
        set: |e, v| put(&mut e.ftp.limits.handshake, seconds(v)),
    },
    Key {
        path: "ftp.limits.failure_delay_seconds",
        expected: SECONDS,
        set: |e, v| put(&mut e.ftp.limits.failure_delay, seconds(v)),
    },
    Key {
        path: "ftp.limits.login_failures",
        expected: COUNT,
        set: |e, v| put(&mut e.ftp.limits.login_failures, positive(v)),
    },
    Key {
        path: "ftp.limits.lockout_seconds",
        expected: SECONDS,
        set: |e, v| put(&mut e.ftp.limits.lockout, seconds(v)),
    },
    Key {
        path: "dropbox.file_bytes",
        expected: COUNT,
        set: |e, v| put(&mut e.dropbox.file_bytes, positive(v)),
    },
    Key {
        path: "dropbox.client_bytes",
        expected: COUNT,
        set: |e, v| put(&mut e.dropbox.client_bytes, positive(v)),
    },
    Key {
        path: "dropbox.client_files",
        expected: COUNT,
        set: |e, v| put(&mut e.dropbox.client_files, positive(v)),
    },
    Key {
        path: "dropbox.clients",
        expected: COUNT,
        set: |e, v| put(&mut e.dropbox.clients, positive(v)),
    },
    Key {
        path: "http.tls",
        expected: r#"expected "off" or "required""#,
        set: |e, v| put(&mut e.http.tls, http_tls(v)),
    },
    Key {
        path: "tls.certificate",
        expected: "expected a PEM file with the server's certificate, and tls.key beside it",
        set: |e, v| put(&mut e.tls.certificate, file(v).map(Some)),
    },
    Key {
        path: "tls.key",
        expected: "expected a PEM file with the private key of tls.certificate",
        set: |e, v| put(&mut e.tls.key, file(v).map(Some)),
    },
    Key {
        path: "tls.fingerprint",
        expected: "expected the SHA-256 of a certificate, 64 hexadecimal digits, with colons or without",
        set: |e, v| put(&mut e.tls.fingerprint, fingerprint(v).map(Some)),
    },
    Key {
        path: "ports.version",
        expected: PORT,
        set: |e, v| put(&mut e.ports.version, v.integer()),
    },
    Key {
        path: "ports.http",
        expected: PORT,
        set: |e, v| put(&mut e.ports.http, v.integer()),
    },
    Key {
        path: "ports.agent",
        expected: PORT,
        set: |e, v| put(&mut e.ports.agent, v.integer()),
    },
    Key {
        path: "ports.events",
        expected: PORT,
        set: |e, v| put(&mut e.ports.events, v.integer()),
    },
    Key {
        path: "ports.system",
        expected: PORT,
        set: |e, v| put(&mut e.ports.system, v.integer()),
    },
    Key {
        path: "ports.self_events",
        expected: PORT,
        set: |e, v| put(&mut e.ports.self_events, v.integer()),
    },
    Key {
        path: "ports.console",
        expected: PORT,
        set: |e, v| put(&mut e.ports.console, v.integer()),
    },
    Key {
        path: "update.public_key",
        expected: "expected a minisign public key in base64 (RW...)",
        set: |e, v| put(&mut e.update.public_key, public_key(v).map(Some)),
    },
    Key {
        path: TOKEN,
        expected: "expected the enrolment token, 16 to 256 letters, digits and ._~+/=-",
        set: |e, v| put(&mut e.agent.token, token(v).map(Some)),
    },
];

/// Whether the value of a key is never shown.
pub(crate) fn is_secret(path: &str) -> bool {
    path == USERS || path == TOKEN
}

/// Users, with their passwords.
pub(crate) const USERS: &str = "ftp.users";
const TOKEN: &str = "agent.token";

/// The key at a dotted path.
pub(crate) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// `expect.<vantage>.<flow>`, the one family of keys that has a free part.
pub(crate) fn expectation(path: &str) -> Option<(&str, Flow)> {
    let (vantage, flow) = path.strip_prefix("expect.")?.rsplit_once('.')?;
    let flow = Flow::expectable().find(|known| known.key() == flow || known.name() == flow)?;
    let named = !vantage.is_empty()
        && vantage
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    named.then_some((vantage, flow))
}

/// What an `expect` key takes.
pub(crate) const EXPECTED: &str = r#"expected "open", "closed" or "any""#;

/// Reads the value of an `expect` key.
pub(crate) fn expected(value: &Value) -> Result<Expected, Misfit> {
    value.parsed()
}

fn put<T>(field: &mut T, value: Result<T, Misfit>) -> Result<(), Misfit> {
    *field = value?;
    Ok(())
}

fn mode(value: &Value) -> Result<Mode, Misfit> {
    match value.text()? {
        "ftp" => Ok(Mode::Ftp),
        "http" => Ok(Mode::Http),
        _ => Err(None),
    }
}

fn tls(value: &Value) -> Result<Tls, Misfit> {
    match value.text()? {
        "off" => Ok(Tls::Off),
        "optional" => Ok(Tls::Optional),
        "required" => Ok(Tls::Required),
        _ => Err(None),
    }
}

fn positive<T: TryFrom<i64> + PartialEq + Default>(value: &Value) -> Result<T, Misfit> {
    (value.integer()).and_then(|n: T| if n == T::default() { Err(None) } else { Ok(n) })
}

fn between(value: &Value, least: usize, most: usize) -> Result<usize, Misfit> {
    (value.integer()).and_then(|n| if (least..=most).contains(&n) { Ok(n) } else { Err(None) })
}

fn seconds(value: &Value) -> Result<Duration, Misfit> {
    let seconds = value.number()?;
    if seconds > 0.0 && seconds <= LONGEST_WAIT.as_secs_f64() {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(None)
}

fn whole_seconds(value: &Value) -> Result<Duration, Misfit> {
    let seconds = value.number()?;
    if (1.0..=32_767.0).contains(&seconds) && seconds.fract() == 0.0 {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(None)
}

fn http_tls(value: &Value) -> Result<HttpTls, Misfit> {
    match value.text()? {
        "off" => Ok(HttpTls::Off),
        "required" => Ok(HttpTls::Required),
        _ => Err(None),
    }
}

fn file(value: &Value) -> Result<PathBuf, Misfit> {
    match value.text()? {
        "" => Err(None),
        path => Ok(path.into()),
    }
}

/// As `openssl x509 -fingerprint -sha256` prints it, or plain.
fn fingerprint(value: &Value) -> Result<Sha256, Misfit> {
    let digits = value.text()?.replace(':', "").to_ascii_lowercase();
    digits.parse().map_err(|_| None)
}

fn port_set(value: &Value) -> Result<super::PortSet, Misfit> {
    value
        .text()?
        .parse()
        .map_err(|error: super::port_set::PortSetError| Some(error.to_string()))
}

/// A 227 reply has room for an IPv4 address only (RFC 959); EPSV carries none.
fn advertised(value: &Value) -> Result<super::Host, Misfit> {
    match value.parsed()? {
        super::Host::Address(address) if address.is_ipv6() => Err(Some("a 227 reply carries IPv4 only".to_owned())),
        super::Host::Address(address) if address.is_unspecified() || address.is_multicast() => Err(None),
        host => Ok(host),
    }
}

fn users(value: &Value) -> Result<Vec<super::User>, Misfit> {
    // What TOML says of a wrong value quotes it; of a wrong field it does not.
    let safe = |detail: &String| detail.contains("field `");
    let users: Vec<super::User> = value.structured().map_err(|misfit| misfit.filter(safe))?;
    let reserved = |user: &super::User| {
        matches!(
            user.name.to_ascii_lowercase().as_str(),
            "" | "anonymous" | "ftp" | "drill"
        )
    };
    if users.iter().any(reserved) {
        return Err(Some(
            "anonymous, ftp and drill are names the server keeps for itself".to_owned(),
        ));
    }
    Ok(users)
}

/// What a Bearer token is made of (RFC 6750 section 2.1), and too long to be guessed.
fn token(value: &Value) -> Result<String, Misfit> {
    let text = value.text()?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if (16..=256).contains(&text.len()) && text.bytes().all(is_token) {
        return Ok(text.to_owned());
    }
    Err(None)
}

fn public_key(value: &Value) -> Result<String, Misfit> {
    let text = value.text()?;
    crate::update_set::PublicKey::parse(text).map_err(|_| None)?;
    Ok(text.to_owned())
}
