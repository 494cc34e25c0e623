//! How much and how long: what one client, or all of them together, may cost the server.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// The limits of the FTP service. Every wait has one. Durations are whole seconds in the file (`idle_seconds`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FtpLimits {
    /// Sessions in all; the next client is told 421. Fewer if the process may not open four files for each.
    pub sessions: usize,
    /// Sessions from one address; the next client there is told 421. Many clients may share an address behind NAT.
    pub sessions_per_address: usize,
    /// The longest command line, in bytes without its end (our own engine): `RETR` and the longest path that Linux takes
    /// fit into 4096.
    pub line_bytes: usize,
    /// Without a command and without a transfer: 5 minutes, the least that RFC 1123 section 4.1.3.2 allows.
    #[serde(rename = "idle_seconds", serialize_with = "seconds")]
    pub idle: Duration,
    /// From the greeting to a login (our own engine).
    #[serde(rename = "login_seconds", serialize_with = "seconds")]
    pub login: Duration,
    /// From a 227 or 229 to the data connection; then the port is somebody else's (our own engine).
    #[serde(rename = "data_connect_seconds", serialize_with = "seconds")]
    pub data_connect: Duration,
    /// After so long without a packet on the control connection, TCP keepalive sends one: shorter than what NAT gateways and
    /// firewalls grant an idle connection, so that a long transfer does not cost its control connection.
    #[serde(rename = "keepalive_seconds", serialize_with = "seconds")]
    pub keepalive: Duration,
    /// Without a byte on the data connection of a transfer.
    #[serde(rename = "stall_seconds", serialize_with = "seconds")]
    pub stall: Duration,
    /// A TLS handshake (our own engine).
    #[serde(rename = "handshake_seconds", serialize_with = "seconds")]
    pub handshake: Duration,
    /// What a wrong password costs.
    #[serde(rename = "failure_delay_seconds", serialize_with = "seconds")]
    pub failure_delay: Duration,
    /// Wrong passwords from one address, after which no password is right for the time of `lockout`.
    pub login_failures: u32,
    /// See `login_failures`.
    #[serde(rename = "lockout_seconds", serialize_with = "seconds")]
    pub lockout: Duration,
}

impl Default for FtpLimits {
    fn default() -> Self {
        FtpLimits {
            sessions: 10_000,
            sessions_per_address: 2_000,
            line_bytes: 4096,
            idle: Duration::from_secs(300),
            login: Duration::from_secs(60),
            data_connect: Duration::from_secs(30),
            keepalive: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            handshake: Duration::from_secs(15),
            failure_delay: Duration::from_millis(500),
            login_failures: 10,
            lockout: Duration::from_secs(60),
        }
    }
}

/// How much may be dropped. Anybody who may log in may upload, so everything has a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DropBoxLimits {
    /// The size of one file.
    pub file_bytes: u64,
    /// The size of all files of one client, those on their way among them.
    pub client_bytes: u64,
    /// How many files one client has.
    pub client_files: usize,
    /// How many clients there are.
    pub clients: usize,
}

impl Default for DropBoxLimits {
    fn default() -> Self {
        DropBoxLimits {
            file_bytes: 256 << 20,
            client_bytes: 1 << 30,
            client_files: 1_000,
            clients: 10_000,
        }
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
