//! What a client can say: a command line, parsed.

use std::net::SocketAddr;
use std::str::FromStr;

use fwdrill_protocol::drill::DrillId;

use super::active;
use super::reply::Reply;

/// A command that makes sense. Paths are as the client wrote them.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Command {
    User(String),
    Pass(String),
    Rein,
    Quit,
    Auth(String),
    Pbsz,
    Prot(char),
    Ccc,
    Pwd,
    Cwd(String),
    Cdup,
    Type(Type),
    Mode(char),
    Stru(char),
    Syst,
    Feat,
    OptsUtf8,
    OptsMlst(String),
    Noop,
    Help,
    Allo,
    Stat(Option<String>),
    Size(String),
    Mdtm(String),
    Rest(u64),
    Pasv,
    Epsv(Epsv),
    /// PORT and EPRT: where the client listens.
    Active(SocketAddr),
    List(String),
    Nlst(String),
    Mlsd(String),
    Mlst(String),
    Retr(String),
    Stor(String),
    Appe(String),
    Abor,
    Mkd(String),
    Dele(String),
    Rmd(String),
    Rnfr(String),
    Rnto(String),
    SiteDrill(DrillId),
    SiteSightings,
}

/// The argument of TYPE (RFC 959 section 3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// Lines end with CRLF on the wire and with LF here.
    Ascii,
    /// Byte for byte.
    Image,
}

/// The argument of EPSV (RFC 2428 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Epsv {
    /// None: the protocol of the control connection.
    Any,
    /// 1 is IPv4, 2 is IPv6.
    Protocol(u32),
    /// From here on nothing but EPSV.
    All,
}

impl FromStr for Command {
    type Err = Reply;

    /// Reads a line without its end; the error is what to answer.
    fn from_str(line: &str) -> Result<Self, Reply> {
        let (verb, argument) = line.split_once(' ').unwrap_or((line, ""));
        let verb = verb.to_ascii_uppercase();
        let given = || match argument.trim().is_empty() {
            true => Err(Reply::new(501, format!("{verb} needs an argument"))),
            false => Ok(argument.to_owned()),
        };
        let letter = || one_letter(&given()?);
        Ok(match verb.as_str() {
            "USER" => Command::User(given()?),
            "PASS" => Command::Pass(argument.to_owned()),
            "REIN" => Command::Rein,
            "QUIT" => Command::Quit,
            "AUTH" => Command::Auth(given()?.trim().to_ascii_uppercase()),
            "PBSZ" => given()?
                .trim()
                .parse::<u32>()
                .map(|_| Command::Pbsz)
                .map_err(not_a_number)?,
            "PROT" => Command::Prot(letter()?),
            "CCC" => Command::Ccc,
            "PWD" | "XPWD" => Command::Pwd,
            "CWD" | "XCWD" => Command::Cwd(given()?),
            "CDUP" | "XCUP" => Command::Cdup,
            "TYPE" => Command::Type(given()?.parse()?),
            "MODE" => Command::Mode(letter()?),
            "STRU" => Command::Stru(letter()?),
            "SYST" => Command::Syst,
            "FEAT" => Command::Feat,
            "OPTS" => options(&given()?)?,
            "NOOP" => Command::Noop,
            "HELP" => Command::Help,
            "ALLO" => Command::Allo,
            "STAT" => Command::Stat(given().ok()),
            "SIZE" => Command::Size(given()?),
            "MDTM" => Command::Mdtm(given()?),
            "REST" => given()?.trim().parse().map(Command::Rest).map_err(not_a_number)?,
            "PASV" => Command::Pasv,
            "EPSV" => Command::Epsv(argument.parse()?),
            "PORT" => Command::Active(active::parse_port(argument)?),
            "EPRT" => Command::Active(active::parse_eprt(argument)?),
            "LIST" => Command::List(without_switches(argument)),
            "NLST" => Command::Nlst(without_switches(argument)),
            "MLSD" => Command::Mlsd(argument.to_owned()),
            "MLST" => Command::Mlst(argument.to_owned()),
            "RETR" => Command::Retr(given()?),
            "STOR" => Command::Stor(given()?),
            "APPE" => Command::Appe(given()?),
            "ABOR" => Command::Abor,
            "MKD" | "XMKD" => Command::Mkd(given()?),
            "DELE" => Command::Dele(given()?),
            "RMD" | "XRMD" => Command::Rmd(given()?),
            "RNFR" => Command::Rnfr(given()?),
            "RNTO" => Command::Rnto(given()?),
            "SITE" => site(&given()?)?,
            "ACCT" | "SMNT" | "STOU" | "LPRT" | "LPSV" | "HOST" | "LANG" | "ADAT" | "MIC" | "CONF" | "ENC" => {
                return Err(Reply::new(502, format!("{verb} is not implemented here")));
            }
            _ => return Err(Reply::new(500, "Unknown command")),
        })
    }
}

impl FromStr for Type {
    type Err = Reply;

    fn from_str(text: &str) -> Result<Self, Reply> {
        let text = text.to_ascii_uppercase();
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        match words[..] {
            ["A"] | ["A", "N"] => Ok(Type::Ascii),
            ["I"] | ["L", "8"] => Ok(Type::Image),
            ["A", "T" | "C"] | ["E", ..] | ["L", ..] => Err(Reply::new(504, "Types are A and I")),
            _ => Err(Reply::new(501, "Types are A and I")),
        }
    }
}

impl FromStr for Epsv {
    type Err = Reply;

    fn from_str(text: &str) -> Result<Self, Reply> {
        match text.trim() {
            "" => Ok(Epsv::Any),
            all if all.eq_ignore_ascii_case("ALL") => Ok(Epsv::All),
            number => number.parse().map(Epsv::Protocol).map_err(not_a_number),
        }
    }
}

impl Command {
    /// Whether it may be said before a login.
    pub(super) fn is_for_anybody(&self) -> bool {
        use Command::*;
        matches!(
            self,
            User(_)
                | Pass(_)
                | Rein
                | Quit
                | Auth(_)
                | Pbsz
                | Prot(_)
                | Ccc
                | Syst
                | Feat
                | OptsUtf8
                | Noop
                | Help
                | Abor
        )
    }
}

/// A command line as it may be logged. (A [`Command`] has no `Debug`: there are passwords in it.)
pub(super) fn loggable(line: &str) -> String {
    let verb = line.split(' ').next().unwrap_or_default();
    if verb.eq_ignore_ascii_case("PASS") {
        return "PASS ****".to_owned();
    }
    line.escape_debug().take(200).collect()
}

fn one_letter(text: &str) -> Result<char, Reply> {
    let mut letters = text.trim().chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => Ok(letter.to_ascii_uppercase()),
        _ => Err(Reply::new(501, "One letter is expected")),
    }
}

fn options(text: &str) -> Result<Command, Reply> {
    let (name, options) = text.split_once(' ').unwrap_or((text, ""));
    match (name.to_ascii_uppercase().as_str(), options.trim()) {
        ("UTF8" | "UTF-8", "") => Ok(Command::OptsUtf8),
        ("UTF8" | "UTF-8", on) if on.eq_ignore_ascii_case("ON") || on.eq_ignore_ascii_case("NLST") => {
            Ok(Command::OptsUtf8)
        }
        ("MLST", facts) => Ok(Command::OptsMlst(facts.to_owned())),
        _ => Err(Reply::new(501, "Options are UTF8 ON and MLST")),
    }
}

fn site(text: &str) -> Result<Command, Reply> {
    let (name, argument) = text.split_once(' ').unwrap_or((text, ""));
    match name.to_ascii_uppercase().as_str() {
        "DRILL" => {
            let refused = |_| Reply::new(501, "A drill id is 32 hexadecimal digits");
            argument.trim().parse().map(Command::SiteDrill).map_err(refused)
        }
        "SIGHTINGS" => Ok(Command::SiteSightings),
        _ => Err(Reply::new(504, "SITE knows DRILL and SIGHTINGS")),
    }
}

/// ls(1) switches, which many clients send with LIST, change nothing here.
fn without_switches(argument: &str) -> String {
    let mut rest = argument.trim_start();
    while rest.starts_with('-') {
        rest = rest.split_once(' ').map_or("", |(_, rest)| rest.trim_start());
    }
    rest.to_owned()
}

fn not_a_number(_: std::num::ParseIntError) -> Reply {
    Reply::new(501, "A number is expected")
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
