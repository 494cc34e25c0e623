//! Programs that people have, against the real server: what they fetch and bring is byte for byte the same.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "real_clients/errand.rs"]
mod errand;
#[path = "real_clients/loopback.rs"]
mod loopback;
#[path = "real_clients/raw.rs"]
mod raw;
mod support;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use errand::{Errand, Mode};
use fwdrill_protocol::flow::Flow;
use loopback::own_address;
use raw::Session;
use support::{Server, published, required, stdout, tree};

/// A server of a set with the largest main database, and the key that set is signed with.
fn large_server(settings: &[&str]) -> Server {
    Server::start_in(published(&["--size", "64MiB"]), settings, |_| {})
}

#[test]
fn curl_fetches_and_brings_over_pasv_and_epsv() {
    let server = large_server(&[]);
    for mode in [Mode::Pasv, Mode::Epsv] {
        let errand = Errand::new(&server, "curl", mode);
        let curl = |more: &[&str]| {
            let mut command = errand.command("curl");
            command.args([
                "--silent",
                "--show-error",
                "--verbose",
                "--max-time",
                "20",
                "--ftp-pasv",
            ]);
            // Like a client of old: the address in the 227 is dialled, whatever it is.
            command.arg("--no-ftp-skip-pasv-ip");
            if mode == Mode::Pasv {
                command.arg("--disable-epsv");
            }
            command.args(more);
            errand.run(command)
        };
        let url = errand.url();
        let download = format!("{url}/signatures/main.fwdb");
        let upload = format!("{url}/upload/curl/mwav.log");
        let mut trace = curl(&["--output", errand.target(), &download]);
        trace += &curl(&["--upload-file", errand.log(), &upload]);
        errand.fetched(&trace);
        errand.brought(&trace);
    }
}

/// Wget sends PASV over IPv4 and EPSV over IPv6, and cannot upload.
#[test]
fn wget_fetches_over_pasv_and_epsv() {
    for (mode, bind) in [(Mode::Pasv, "127.0.0.1"), (Mode::Epsv, "::1")] {
        let server = large_server(&[&format!("server.bind={bind}")]);
        let errand = Errand::new(&server, "wget", mode);
        let mut command = errand.command("wget");
        command.args([
            "--debug",
            "--no-config",
            "--tries=1",
            "--timeout=20",
            "--output-document",
            errand.target(),
        ]);
        command.arg(format!("{}/signatures/main.fwdb", errand.url()));
        let trace = errand.run(command);
        errand.fetched(&trace);
    }
}

#[test]
fn lftp_fetches_and_brings_over_pasv_and_epsv() {
    let server = large_server(&[]);
    for mode in [Mode::Pasv, Mode::Epsv] {
        let errand = Errand::new(&server, "lftp", mode);
        // The server's certificate is its own, which lftp rightly does not trust, so it is told to speak in clear.
        let script = format!(
            "set cmd:fail-exit yes; set net:max-retries 1; set net:timeout 20; set ftp:ssl-allow no; \
             set ftp:prefer-epsv {}; open -u anonymous,x {}; get /signatures/main.fwdb -o {}; \
             put {} -o /upload/lftp/mwav.log; bye",
            mode == Mode::Epsv,
            errand.url(),
            errand.target(),
            errand.log()
        );
        let mut command = errand.command("lftp");
        command.args(["-d", "--norc", "-c", &script]);
        let trace = errand.run(command);
        errand.fetched(&trace);
        errand.brought(&trace);
    }
}

/// The server offers TLS with a certificate of its own; a client that accepts it gets the same bytes over it.
#[test]
fn lftp_fetches_and_brings_over_tls() {
    let server = large_server(&["ftp.tls=required"]);
    let errand = Errand::new(&server, "lftp", Mode::Epsv);
    let fetch = format!("get /signatures/main.fwdb -o {}", errand.target());
    let bring = format!("put {} -o /upload/lftp/mwav.log", errand.log());
    let lftp = |what: &str| {
        let script = format!(
            "set cmd:fail-exit yes; set net:max-retries 1; set net:timeout 20; set ssl:verify-certificate no; \
             set ftp:ssl-force yes; set ftp:ssl-protect-data yes; set ftp:prefer-epsv yes; open -u anonymous,x {}; \
             {what}; bye",
            errand.url()
        );
        let mut command = errand.command("lftp");
        command.args(["-d", "--norc", "-c", &script]);
        let trace = errand.run(command);
        assert!(trace.contains("---> PROT P"), "{trace}");
        trace
    };
    errand.fetched(&lftp(&fetch));
    errand.brought(&lftp(&bring));
}

#[test]
fn tnftp_fetches_and_brings_over_pasv_and_epsv() {
    let server = large_server(&[]);
    for mode in [Mode::Pasv, Mode::Epsv] {
        let errand = Errand::new(&server, "tnftp", mode);
        let epsv = if mode == Mode::Epsv { "on" } else { "off" };
        let script = format!(
            "user anonymous x\nepsv4 {epsv}\nbinary\nget /signatures/main.fwdb {}\nput {} /upload/tnftp/mwav.log\nbye\n",
            errand.target(),
            errand.log()
        );
        let mut command = errand.command("tnftp");
        // -p: passive. It would fall back to active mode, which the trace and the journal would show.
        command.args(["-n", "-v", "-d", "-p", "127.0.0.1"]);
        command.arg(server.port(Flow::FtpControl).to_string());
        let trace = errand.run_with_input(command, &script);
        errand.fetched(&trace);
        errand.brought(&trace);
    }
}

#[test]
fn python_ftplib_fetches_and_brings_over_pasv_and_epsv() {
    let server = large_server(&[]);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_clients/ftplib_client.py");
    for (mode, name) in [(Mode::Pasv, "pasv"), (Mode::Epsv, "epsv")] {
        let errand = Errand::new(&server, "ftplib", mode);
        let mut command = errand.command("python3");
        command.arg(&program).arg("127.0.0.1");
        command.arg(server.port(Flow::FtpControl).to_string());
        command.args([name, errand.target(), errand.log(), "ftplib"]);
        let trace = errand.run(command);
        errand.fetched(&trace);
        errand.brought(&trace);
    }
}

#[test]
fn the_stock_minisign_accepts_the_manifest_that_curl_fetched_and_no_other() {
    let server = Server::start(&[]);
    let errand = Errand::new(&server, "curl", Mode::Epsv);
    let manifest = errand.place().join("manifest.json");
    for name in ["manifest.json", "manifest.json.minisig"] {
        let mut command = errand.command("curl");
        command.args(["--silent", "--show-error", "--max-time", "20", "--output"]);
        command
            .arg(errand.place().join(name))
            .arg(format!("{}/{name}", errand.url()));
        errand.run(command);
    }
    let verify = || {
        let mut command = Command::new(required("minisign"));
        command
            .args(["-V", "-P", server.public_key(), "-m"])
            .arg(&manifest)
            .output()
            .unwrap()
    };
    let accepted = verify();
    assert!(accepted.status.success(), "{accepted:?}");
    assert!(
        stdout(&accepted).contains("Signature and comment signature verified"),
        "{accepted:?}"
    );

    let mut bytes = std::fs::read(&manifest).unwrap();
    bytes[0] ^= 1;
    std::fs::write(&manifest, bytes).unwrap();
    assert!(!verify().status.success());
}

/// What the guide tells people to enter, as a Windows editor saves it.
const GUIDE_INI: &str = "\u{feff}[General]\r\nAddPassivePort=1\r\nStartingPassivePort=3023\r\nNoofPassivePorts=1000 \r\n\r\n\
     Ser_Pasv_IPAddr=192.0.2.7    ; (eScan server public ip)\r\n";

/// On the guide's own ports, at a loopback address where no other test listens.
fn guide_server(address: Ipv4Addr) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let ini = directory.path().join("eserv.ini");
    std::fs::write(&ini, GUIDE_INI).unwrap();
    let settings = [&format!("server.bind={address}"), "ports.version=3333"];
    Server::start_in(directory, &settings, |command| {
        command.arg("--eserv-ini").arg(ini);
    })
}

#[test]
fn the_227_says_what_eserv_ini_says() {
    let server = guide_server(own_address(251));
    let mut session = Session::anonymous(server.at(Flow::FtpControl));
    let reply = session.say_raw("PASV");
    let port = reply
        .strip_prefix("227 Entering Passive Mode (192,0,2,7,")
        .and_then(|rest| rest.strip_suffix(")\r\n"))
        .and_then(|port| port.split_once(','))
        .map(|(high, low)| high.parse::<u16>().unwrap() * 256 + low.parse::<u16>().unwrap());
    let allowed = server.announcement.passive_ports.clone();
    assert!(port.is_some_and(|port| allowed.contains(port)), "{reply:?}");
}

/// Every PASV is followed by a small transfer, as with real clients: an engine may keep the port of a PASV that nobody
/// uses, and a thousand of those would only show an exhausted range.
#[test]
fn in_five_thousand_pasvs_3333_is_never_handed_out() {
    const SESSIONS: usize = 10;
    let server = guide_server(own_address(252));
    assert_eq!(server.announcement.passive_ports.to_string(), "3023-3332,3334-4022");
    assert_eq!(server.port(Flow::Version), 3333);
    let address = server.at(Flow::FtpControl);
    let signature = std::fs::read(server.current_set().join("manifest.json.minisig")).unwrap();
    let signature = &signature;
    let handed_out: Vec<u16> = std::thread::scope(|scope| {
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|_| {
                scope.spawn(move || {
                    let mut session = Session::anonymous(address);
                    let one = |_| {
                        let (bytes, reply, port) = session.fetch_from_port("RETR /manifest.json.minisig");
                        assert!(
                            reply.code == 226 && bytes == *signature,
                            "{} bytes, {reply:?}",
                            bytes.len()
                        );
                        port
                    };
                    (0..5_000 / SESSIONS).map(one).collect::<Vec<u16>>()
                })
            })
            .collect();
        sessions
            .into_iter()
            .flat_map(|session| session.join().unwrap())
            .collect()
    });
    assert_eq!(handed_out.len(), 5_000);
    let distinct: BTreeSet<u16> = handed_out.into_iter().collect();
    assert!(!distinct.contains(&3333));
    let allowed: BTreeSet<u16> = (3023..=4022).filter(|port| *port != 3333).collect();
    assert_eq!(distinct, allowed, "every port takes its turn");
}

#[test]
fn what_is_uploaded_can_be_neither_read_nor_listed_nor_replaced_outside_its_place() {
    let server = Server::start(&[]);
    let before = tree(&server.current_set());
    let mut session = Session::anonymous(server.at(Flow::FtpControl));
    assert_eq!(session.store("/upload/pc-017/mwav.log", b"secret").code, 226);
    for command in ["RETR /upload/pc-017/mwav.log", "RETR /upload/pc-017/other"] {
        let (bytes, reply) = session.fetch(command);
        assert_eq!((bytes.len(), reply.code), (0, 550), "{command}: {reply:?}");
    }
    for command in ["NLST /upload/pc-017", "LIST /upload/pc-017", "MLSD /upload/pc-017"] {
        let (bytes, _) = session.fetch(command);
        assert!(!String::from_utf8_lossy(&bytes).contains("mwav"), "{command}");
    }
    for path in [
        "/signatures/main.fwdb",
        "/policies/firewall.json",
        "/manifest.json",
        "/mwav.log",
        "/upload/mwav.log",
        "/upload/../manifest.json",
        "/upload/pc-017/../../../escaped",
    ] {
        let reply = session.store(path, b"mine now");
        assert!(matches!(reply.code, 550 | 553), "{path}: {reply:?}");
    }
    for command in ["DELE /manifest.json", "DELE /upload/pc-017/mwav.log", "RMD /signatures"] {
        assert_eq!(session.say(command).code, 550, "{command}");
    }
    assert_eq!(tree(&server.current_set()), before);
    let dropped = tree(&server.dropbox());
    assert_eq!(dropped.keys().collect::<Vec<_>>(), ["pc-017/mwav.log"]);
    assert_eq!(dropped["pc-017/mwav.log"], b"secret");
}

#[test]
fn a_wrong_password_is_refused_and_no_password_is_logged() {
    let users = r#"ftp.users=[{ name = "scan", password = "right-one" }]"#;
    let server = Server::start_with(&["ftp.anonymous=false", users], |command| {
        command.arg("-vv");
    });
    let address = server.at(Flow::FtpControl);
    for (user, password) in [
        ("scan", "wrong-one"),
        ("nobody", "right-one"),
        ("anonymous", "x"),
        ("drill", "short"),
    ] {
        let mut session = Session::connect(address);
        assert_eq!(session.login(user, password).code, 530, "{user}");
        assert_eq!(session.say("PASV").code, 530, "{user}");
    }
    assert_eq!(Session::connect(address).login("scan", "right-one").code, 230);
    // A program says it in its own way: curl's exit code 67 is "the server refused the login".
    let errand = Errand::new(&server, "curl", Mode::Epsv);
    let mut command = errand.command("curl");
    command.args(["--silent", "--max-time", "20", "--user", "scan:wrong-one"]);
    let output = command.arg(format!("{}/manifest.json", errand.url())).output().unwrap();
    assert_eq!(output.status.code(), Some(67));
    let log = server.log();
    assert!(log.contains("scan"), "{log}");
    assert!(!log.contains("wrong-one") && !log.contains("right-one"), "{log}");
}
