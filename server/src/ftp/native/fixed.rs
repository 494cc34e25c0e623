//! Commands that are always answered the same.

use fwdrill_protocol::estate::Tls;

use super::command::Command;
use super::listing::FACTS;
use super::reply::Reply;

pub(super) fn reply(command: &Command, tls: Tls, active: bool) -> Reply {
    match command {
        Command::Syst => Reply::new(215, "UNIX Type: L8"),
        Command::Feat => features(tls, active),
        Command::Help => help(active),
        Command::OptsUtf8 => Reply::new(200, "It is UTF-8 in any case"),
        Command::Allo => Reply::new(202, "Nothing needs to be reserved"),
        Command::Noop => Reply::new(200, "Still here"),
        Command::Mode('S') => Reply::new(200, "The mode is Stream"),
        Command::Mode('B' | 'C') => Reply::new(504, "The mode is S"),
        Command::Stru('F') => Reply::new(200, "The structure is File"),
        Command::Stru('R' | 'P') => Reply::new(504, "The structure is F"),
        Command::Mode(_) | Command::Stru(_) => Reply::new(501, "There is no such letter"),
        _ => Reply::new(502, "Not implemented"),
    }
}

/// FEAT (RFC 2389).
fn features(tls: Tls, active: bool) -> Reply {
    let facts: String = FACTS.iter().map(|fact| format!("{fact}*;")).collect();
    let mut features = vec!["EPSV".to_owned(), "MDTM".to_owned(), format!("MLST {facts}")];
    features.extend(["REST STREAM", "SIZE", "TVFS", "UTF8"].map(str::to_owned));
    if tls != Tls::Off {
        features.extend(["AUTH TLS", "PBSZ", "PROT"].map(str::to_owned));
    }
    if active {
        features.push("EPRT".to_owned());
    }
    features.sort();
    Reply::list(211, "Features:", features, "End")
}

fn help(active: bool) -> Reply {
    let commands = [
        "USER PASS REIN QUIT AUTH PBSZ PROT",
        "PWD CWD CDUP LIST NLST MLSD MLST SIZE MDTM STAT",
        "TYPE MODE STRU REST ALLO OPTS FEAT SYST NOOP HELP SITE",
        match active {
            true => "PASV EPSV PORT EPRT RETR STOR APPE MKD DELE RMD RNFR RNTO ABOR",
            false => "PASV EPSV RETR STOR APPE MKD DELE RMD RNFR RNTO ABOR",
        },
    ];
    Reply::list(214, "Commands:", commands, "Uploads go to /upload/<client>/")
}
