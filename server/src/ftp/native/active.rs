//! PORT and EPRT (RFC 959, RFC 2428): the server connects to the client, if the estate lets it.
//!
//! RFC 2577 section 3: never to anybody else than who is at the other end of the control connection, and never to a
//! port where a service of that host may listen.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use fwdrill_protocol::report::Outcome;
use tokio::net::{TcpSocket, TcpStream};
use tracing::{debug, info};

use super::passive::{Data, Prepared};
use super::reply::Reply;
use super::session::Session;
use crate::ftp::witness::Witness;
use crate::stream::in_time;

/// Below are the ports of services.
const LEAST_PORT: u16 = 1024;

/// The argument of PORT: `h1,h2,h3,h4,p1,p2`.
pub(super) fn parse_port(argument: &str) -> Result<SocketAddr, Reply> {
    let numbers: Result<Vec<u8>, _> = argument.trim().split(',').map(|number| number.trim().parse()).collect();
    match numbers.as_deref() {
        Ok(&[a, b, c, d, high, low]) => Ok((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into()),
        _ => Err(Reply::new(501, "Six numbers are expected: h1,h2,h3,h4,p1,p2")),
    }
}

/// The argument of EPRT: `|1|192.0.2.9|6275|`, with any delimiter. 522 for a network protocol that is neither 1 nor 2.
pub(super) fn parse_eprt(argument: &str) -> Result<SocketAddr, Reply> {
    let malformed = || Reply::new(501, "Expected |protocol|address|port|");
    let argument = argument.trim();
    let delimiter = argument
        .chars()
        .next()
        .filter(char::is_ascii_graphic)
        .ok_or_else(malformed)?;
    let fields: Vec<&str> = argument.split(delimiter).collect();
    let ["", protocol, address, port, ""] = fields[..] else {
        return Err(malformed());
    };
    let address: IpAddr = match protocol {
        "1" => address.parse().map(IpAddr::V4).map_err(|_| malformed())?,
        "2" => address.parse().map(IpAddr::V6).map_err(|_| malformed())?,
        _ => return Err(Reply::new(522, "Network protocols are (1,2)")),
    };
    Ok((address, port.parse().map_err(|_| malformed())?).into())
}

impl Session {
    pub(super) async fn active(&mut self, to: SocketAddr) -> io::Result<()> {
        let reply = if !self.site.active {
            Reply::new(502, "Active mode is off, use EPSV or PASV")
        } else if self.settings.extended_only {
            Reply::new(501, "You have said EPSV ALL")
        } else if to.ip() != self.witness.peer().ip() {
            info!(%to, "PORT or EPRT names another host");
            self.witness.active_address_refused(to);
            Reply::new(
                504,
                format!("Only to {}, where you come from", self.witness.peer().ip()),
            )
        } else if to.port() < LEAST_PORT {
            Reply::new(504, format!("Only to ports from {LEAST_PORT} on"))
        } else {
            self.prepared = Prepared::Active(to);
            Reply::new(200, format!("The data connection will go to {to}"))
        };
        self.control.reply(&reply).await
    }
}

/// Connects from the address where the control connection arrived, which is the one that firewalls and NAT between expect.
pub(super) async fn connect(to: SocketAddr, limit: Duration, witness: &Witness) -> Prepared {
    let from = witness.local().ip();
    let mut note = Note {
        witness,
        to,
        outcome: Outcome::Timeout,
    };
    match in_time(limit, dial(from, to)).await {
        Ok(stream) => {
            note.outcome = Outcome::Open;
            let local = stream.local_addr().unwrap_or((from, 0).into());
            Prepared::Connected(Data {
                stream,
                local,
                peer: to,
            })
        }
        Err(error) => {
            debug!(%to, %error, "cannot connect to the client");
            note.outcome = outcome_of(&error);
            Prepared::None
        }
    }
}

/// Tells the journal what came of it, also where the client does not wait for that: nothing, until then.
struct Note<'a> {
    witness: &'a Witness,
    to: SocketAddr,
    outcome: Outcome,
}

impl Drop for Note<'_> {
    fn drop(&mut self) {
        self.witness.active_connection(self.to, self.outcome);
    }
}

async fn dial(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.bind((from, 0).into())?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn outcome_of(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Outcome::Refused,
        io::ErrorKind::TimedOut => Outcome::Timeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Outcome::Unreachable,
        _ => Outcome::CheckFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_an_address_and_a_port() {
        assert_eq!(parse_port("192,0,2,9,24,131"), Ok(([192, 0, 2, 9], 6275).into()));
        assert_eq!(parse_eprt("|1|192.0.2.9|6275|"), Ok(([192, 0, 2, 9], 6275).into()));
        let v6: IpAddr = "2001:db8::9".parse().unwrap();
        assert_eq!(parse_eprt("!2!2001:db8::9!6275!"), Ok((v6, 6275).into()));
    }

    #[test]
    fn what_is_neither_is_a_syntax_error_and_an_unknown_protocol_is_said_to_be_one() {
        for wrong in [
            "",
            "1,2,3,4,5",
            "1,2,3,4,5,6,7",
            "256,2,3,4,5,6",
            "1,2,3,4,,6",
            "-1,2,3,4,5,6",
        ] {
            assert_eq!(parse_port(wrong).unwrap_err().code(), 501, "{wrong}");
        }
        for wrong in [
            "",
            "|1|192.0.2.9|6275",
            "|1|2001:db8::9|6275|",
            "|2|192.0.2.9|6275|",
            "|1|192.0.2.9|65536|",
            "1",
        ] {
            assert_eq!(parse_eprt(wrong).unwrap_err().code(), 501, "{wrong}");
        }
        assert_eq!(parse_eprt("|3|x|1|").unwrap_err().code(), 522);
    }
}
