//! FTP programs that people have, each with every errand that it knows: list, get, resume, put, mget; in clear and under TLS;
//! byte for byte. What a program cannot do is said in its file, with the reason.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "ftp_clients/aioftp.rs"]
mod aioftp;
#[path = "ftp_clients/aria2.rs"]
mod aria2;
#[path = "ftp_clients/curl.rs"]
mod curl;
#[path = "ftp_clients/errand.rs"]
mod errand;
#[path = "ftp_clients/ftplib.rs"]
mod ftplib;
#[path = "ftp_clients/inetutils.rs"]
mod inetutils;
#[path = "ftp_clients/lftp.rs"]
mod lftp;
#[path = "ftp_clients/ncftp.rs"]
mod ncftp;
#[path = "ftp_clients/rclone.rs"]
mod rclone;
mod support;
#[path = "ftp_clients/tnftp.rs"]
mod tnftp;
#[path = "ftp_clients/wget.rs"]
mod wget;

use errand::{Client, Errand, Wire};

/// One line for each program: a test in clear and one under TLS.
macro_rules! clients {
    ($($name:ident),+ $(,)?) => {
        $(
            mod $name {
                #[test]
                fn does_its_errands_in_clear() {
                    super::run(super::super::$name::CLIENT, super::Wire::Clear);
                }

                #[test]
                fn does_its_errands_under_tls_or_knows_none() {
                    super::run(super::super::$name::CLIENT, super::Wire::Tls);
                }
            }
        )+
    };
}

mod errands {
    use super::{Wire, run};

    clients!(aioftp, aria2, curl, ftplib, inetutils, lftp, ncftp, rclone, tnftp, wget);
}

fn run(client: Client, wire: Wire) {
    if wire == Wire::Tls && client.tls.is_err() {
        return;
    }
    let server = errand::server(wire);
    let mut done = 0;
    for errand in Errand::ALL {
        if let Ok(arguments) = (client.how)(errand) {
            errand::carry_out(&server, &client, errand, wire, arguments);
            done += 1;
        }
    }
    assert!(done >= 3, "{} does next to nothing", client.name);
}
