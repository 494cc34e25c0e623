//! What families of FTP clients do to get a data connection, as data. From their sources and manuals; curl, lftp, Python's
//! ftplib, tnftp and wget are compared with what they really do in tests/clients.rs.

/// Clients that behave alike.
pub(super) struct Family {
    /// As the report names it.
    pub(super) name: &'static str,
    /// What it tries over IPv4, one after the other. Over IPv6 there is EPSV only (RFC 2428).
    pub(super) steps: &'static [Step],
    /// Whether it can speak explicit TLS (RFC 4217).
    pub(super) tls: bool,
}

/// One thing to try.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) mode: Mode,
    /// When it is tried, unless it is the first.
    pub(super) after: After,
}

/// What has become of the step before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The server refused the command.
    Refusal,
    /// Whatever failed, the data connection too.
    Failure,
}

/// A way to a data connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Epsv,
    Pasv(Address),
    /// The same for a client that reads the numbers of a 227 between parentheses only.
    StrictPasv,
    /// PORT or EPRT.
    Active,
}

/// Which address a client dials after a 227.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Address {
    /// The one in the reply.
    Told,
    /// That of the control connection, always.
    Controls,
    /// That of the control connection where the reply's is private and the server's is not.
    ControlsIfPrivate,
}

const fn first(mode: Mode) -> Step {
    Step {
        mode,
        after: After::Failure,
    }
}

const fn after(after: After, mode: Mode) -> Step {
    Step { mode, after }
}

/// Every family, those first that hide most of a path's faults.
pub(super) const FAMILIES: &[Family] = &[
    // --ftp-skip-pasv-ip is the default since 7.74.0; a data connection that fails after EPSV is tried again with PASV.
    Family {
        name: "curl >= 7.74",
        steps: &[first(Mode::Epsv), after(After::Failure, Mode::Pasv(Address::Controls))],
        tls: true,
    },
    Family {
        name: "curl < 7.74 or --no-ftp-skip-pasv-ip",
        steps: &[first(Mode::Epsv), after(After::Failure, Mode::Pasv(Address::Told))],
        tls: true,
    },
    // bpo-43285: since 3.6.14, 3.8.9 and 3.9.3 it does not trust the address.
    Family {
        name: "Python ftplib",
        steps: &[first(Mode::Pasv(Address::Controls))],
        tls: true,
    },
    // ftp:fix-pasv-address and ftp:prefer-epsv, both as they are by default.
    Family {
        name: "lftp",
        steps: &[first(Mode::Pasv(Address::ControlsIfPrivate))],
        tls: true,
    },
    Family {
        name: "FileZilla",
        steps: &[first(Mode::Pasv(Address::ControlsIfPrivate))],
        tls: true,
    },
    // FTPClient.setIpAddressFromPasvResponse is false by default since 3.9.0; NatServerResolverImpl before.
    Family {
        name: "Java commons-net >= 3.9",
        steps: &[first(Mode::Pasv(Address::Controls))],
        tls: true,
    },
    Family {
        name: "Java commons-net 3.6 to 3.8",
        steps: &[first(Mode::Pasv(Address::ControlsIfPrivate))],
        tls: true,
    },
    // initconn() in ftp.c: `epsv4` is on; a data connection that fails is tried in active mode ("gate" and "auto" alike).
    Family {
        name: "tnftp",
        steps: &[
            first(Mode::Epsv),
            after(After::Refusal, Mode::Pasv(Address::Told)),
            after(After::Failure, Mode::Active),
        ],
        tls: false,
    },
    Family {
        name: "wget",
        steps: &[first(Mode::Pasv(Address::Told))],
        tls: true,
    },
    Family {
        name: "curl --disable-epsv --no-ftp-skip-pasv-ip",
        steps: &[first(Mode::Pasv(Address::Told))],
        tls: true,
    },
    Family {
        name: "WinINET and others that take the 227 literally",
        steps: &[first(Mode::StrictPasv)],
        tls: false,
    },
    Family {
        name: "EPSV only",
        steps: &[first(Mode::Epsv)],
        tls: true,
    },
];
