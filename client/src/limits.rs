use std::time::Duration;

/// How long each step of a conversation may take. Every wait of this crate has one of these limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The TCP handshake of a control or HTTP connection.
    pub connect: Duration,
    /// The greeting and every reply of an FTP server; the head of an HTTP response.
    pub reply: Duration,
    /// The reply to an FTP password. Servers hold a refusal back on purpose, pyftpdlib 3 s.
    pub login: Duration,
    /// The TCP handshake of an FTP data connection.
    pub data_connect: Duration,
    /// The time in which at least one byte of a transfer has to move.
    pub stall: Duration,
}

/// How long a server may hold back the refusal of a login, against guessing, and not count as silent.
const REFUSAL_HELD_BACK: Duration = Duration::from_secs(4);

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connect: Duration::from_secs(10),
            reply: Duration::from_secs(30),
            login: Duration::from_secs(30),
            data_connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// The same limit for every step, as a prober wants it; only a refused login may take 4 s longer.
    pub fn all(limit: Duration) -> Self {
        Limits {
            connect: limit,
            reply: limit,
            login: limit + REFUSAL_HELD_BACK,
            data_connect: limit,
            stall: limit,
        }
    }
}
