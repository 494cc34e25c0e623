//! The errands, and how it is proved that they were done: by the files at both ends, and by what the server heard.

use std::fs;
use std::path::Path;

use fwdrill_protocol::flow::Flow;

use crate::support::program::{program, run_to_end};
use crate::support::{Server, tree};

/// The file that is fetched, and what of it is there already when a download is resumed: whole pieces of 16 KiB, for aria2 rounds
/// down to them.
const MAIN: &str = "signatures/main.fwdb";
const HALF: usize = 6 * 16 * 1024;

/// Whether a conversation is in clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    Clear,
    /// Explicit FTPS (RFC 4217), which the server insists on, for data too.
    Tls,
}

/// What a program is sent to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errand {
    /// The names in `/policies`, on stdout or stderr.
    List,
    /// `/signatures/main.fwdb` into `main.fwdb`.
    Get,
    /// The same where half of it is there already.
    Resume,
    /// `mwav.log` to `/upload/<client>/mwav.log`.
    Put,
    /// All of `/policies` into the directory `into`.
    Mget,
}

impl Errand {
    pub(crate) const ALL: [Errand; 5] = [Errand::List, Errand::Get, Errand::Resume, Errand::Put, Errand::Mget];
}

/// A program, and how it is told to do an errand.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub(crate) name: &'static str,
    /// How it is told to use TLS, or why it cannot.
    pub(crate) tls: Result<(), &'static str>,
    /// How it does an errand, or why it cannot.
    pub(crate) how: fn(Errand) -> Result<How, &'static str>,
}

/// How an errand is done.
pub(crate) type How = fn(&Job) -> Told;

/// A command line, and what is typed.
pub(crate) struct Told {
    pub(crate) program: &'static str,
    pub(crate) arguments: Vec<String>,
    pub(crate) typed: String,
}

impl Told {
    pub(crate) fn new(program: &'static str, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Told {
            program,
            arguments: arguments.into_iter().map(Into::into).collect(),
            typed: String::new(),
        }
    }

    pub(crate) fn typing(self, typed: String) -> Self {
        Told { typed, ..self }
    }
}

/// One errand of one program. It runs in a directory of its own, where `mwav.log` lies, and the directory `into`.
pub(crate) struct Job {
    pub(crate) port: u16,
    pub(crate) wire: Wire,
    pub(crate) errand: Errand,
    pub(crate) policies: Vec<String>,
}

impl Job {
    /// `ftp://127.0.0.1:2021`
    pub(crate) fn url(&self) -> String {
        format!("ftp://127.0.0.1:{}", self.port)
    }
}

pub(crate) fn server(wire: Wire) -> Server {
    let tls = match wire {
        Wire::Clear => "ftp.tls=off",
        Wire::Tls => "ftp.tls=required",
    };
    // It logs every line that it hears.
    Server::start_with(&[tls], |command| {
        command.arg("-vv");
    })
}

pub(crate) fn carry_out(server: &Server, client: &Client, errand: Errand, wire: Wire, how: How) {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let log: Vec<u8> = (0..=255).chain(*b"\r\n\n\r").collect::<Vec<u8>>().repeat(1_000);
    fs::write(at("mwav.log"), &log).unwrap();
    fs::create_dir(at("into")).unwrap();
    let set = tree(&server.current_set());
    let main = &set[MAIN];
    if errand == Errand::Resume {
        fs::write(at("main.fwdb"), &main[..HALF]).unwrap();
    }
    let policies: Vec<String> = set
        .keys()
        .filter_map(|path| path.strip_prefix("policies/"))
        .map(ToOwned::to_owned)
        .collect();
    assert!(policies.len() >= 3, "{policies:?}");
    let job = Job {
        port: server.port(Flow::FtpControl),
        wire,
        errand,
        policies,
    };
    let heard_before = server.log().len();
    let said = run(how(&job), place.path(), client.name);
    let heard = server.log().split_off(heard_before);
    let what = format!("{} {errand:?} {wire:?}:\n{said}\n{heard}", client.name);
    match errand {
        Errand::List => assert!(job.policies.iter().all(|name| said.contains(name)), "{what}"),
        Errand::Get => assert!(fs::read(at("main.fwdb")).is_ok_and(|bytes| bytes == *main), "{what}"),
        Errand::Resume => {
            assert!(fs::read(at("main.fwdb")).is_ok_and(|bytes| bytes == *main), "{what}");
            assert!(heard.contains(&format!("REST {HALF}")), "{what}");
        }
        Errand::Put => {
            let dropped = server.dropbox().join(client.name).join("mwav.log");
            assert!(fs::read(dropped).is_ok_and(|bytes| bytes == log), "{what}");
        }
        Errand::Mget => {
            for name in &job.policies {
                let got = fs::read(at("into").join(name));
                assert!(
                    got.is_ok_and(|bytes| bytes == set[&format!("policies/{name}")]),
                    "{name}: {what}"
                );
            }
        }
    }
    if wire == Wire::Tls {
        assert!(heard.contains("PROT P"), "{what}");
    }
}

/// Runs a program to its good end; all that it said.
fn run(told: Told, place: &Path, client: &str) -> String {
    let mut command = program(told.program, place);
    let (status, took, said) = run_to_end(command.args(&told.arguments), place, &told.typed);
    assert!(status.success(), "{client}: {status} after {took:?}\n{said}");
    said
}
