//! What every client program is sent to do, and how it is proved that it did: by its own trace and the server's journal.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use fwdrill_protocol::flow::Flow;
use fwdrill_protocol::ftp_reply::Reply;
use fwdrill_protocol::sighting::{Event, Sighting};

use crate::support::Server;
use crate::support::program::{program, run_to_end};

/// The size of the main database of a set published with `--size 64MiB`.
pub(crate) const MAIN_SIZE: u64 = 64 << 20;

/// How the client is to ask for its data connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Pasv,
    Epsv,
}

/// One client's errand: fetch the main database, bring `mwav.log`.
pub(crate) struct Errand<'a> {
    server: &'a Server,
    client: &'static str,
    mode: Mode,
    place: tempfile::TempDir,
    target: String,
    log: String,
}

impl<'a> Errand<'a> {
    pub(crate) fn new(server: &'a Server, client: &'static str, mode: Mode) -> Self {
        let place = tempfile::tempdir().unwrap();
        let path = |name| place.path().join(name).to_str().unwrap().to_owned();
        let (target, log) = (path("main.fwdb"), path("mwav.log"));
        // Every byte and every line end there is, so that a transfer in text mode would show; another for each mode.
        let line: Vec<u8> = (0..=255)
            .chain(*b"\r\n\n\r")
            .chain(format!("{mode:?}").bytes())
            .collect();
        std::fs::write(&log, line.repeat(1_000)).unwrap();
        Errand {
            server,
            client,
            mode,
            place,
            target,
            log,
        }
    }

    /// Where the errand's files are.
    pub(crate) fn place(&self) -> &Path {
        self.place.path()
    }

    /// Where the main database is to be put.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// The file to bring.
    pub(crate) fn log(&self) -> &str {
        &self.log
    }

    /// `ftp://127.0.0.1:2021`
    pub(crate) fn url(&self) -> String {
        format!("ftp://{}", self.server.at(Flow::FtpControl))
    }

    /// A program that runs where the errand's files are.
    pub(crate) fn command(&self, name: &str) -> Command {
        program(name, self.place())
    }

    /// Runs a program to its good end; all that it said.
    pub(crate) fn run(&self, command: Command) -> String {
        self.run_with_input(command, "")
    }

    /// The same, with these lines on its standard input.
    pub(crate) fn run_with_input(&self, mut command: Command, input: &str) -> String {
        let (status, took, trace) = run_to_end(&mut command, self.place(), input);
        let (client, mode) = (self.client, self.mode);
        let log = || self.server.log();
        assert!(
            status.success(),
            "{client} {mode:?}: {status} after {took:?}\n{trace}\n{}",
            log()
        );
        trace
    }

    /// The main database has come, byte for byte, over a data connection of the mode that was asked for.
    pub(crate) fn fetched(&self, trace: &str) {
        let published = std::fs::read(self.server.current_set().join("signatures/main.fwdb")).unwrap();
        assert_eq!(published.len() as u64, MAIN_SIZE);
        let fetched = std::fs::read(&self.target).unwrap();
        // Not assert_eq!: nobody wants to read it.
        assert!(fetched == published, "{} bytes came", fetched.len());
        self.moved(trace, "/signatures/main.fwdb", MAIN_SIZE);
    }

    /// `mwav.log` is in the drop box, byte for byte, and came over a data connection of the mode that was asked for.
    pub(crate) fn brought(&self, trace: &str) {
        let log = std::fs::read(&self.log).unwrap();
        let dropped: PathBuf = self.server.dropbox().join(self.client).join("mwav.log");
        assert!(std::fs::read(dropped).unwrap() == log);
        let path = format!("/upload/{}/mwav.log", self.client);
        self.moved(trace, &path, log.len() as u64);
    }

    /// The client says that it was told ports by 227 (or 229) and nothing else; the server, that the file moved over one
    /// of these ports.
    fn moved(&self, trace: &str, path: &str, size: u64) {
        let code = match self.mode {
            Mode::Pasv => 227,
            Mode::Epsv => 229,
        };
        let host = self.server.at(Flow::FtpControl).ip();
        let replies: Vec<Reply> = trace.lines().filter_map(passive_reply).collect();
        assert!(!replies.is_empty(), "no passive reply in\n{trace}");
        assert!(
            replies.iter().all(|reply| reply.code == code),
            "not {:?} alone:\n{trace}",
            self.mode
        );
        let told: Vec<SocketAddr> = replies.iter().map(|reply| address(reply, host)).collect();
        let moved = |sighting: &Sighting| {
            let whole = Event::Transferred {
                path: path.to_owned(),
                bytes: size,
                complete: true,
            };
            told.contains(&sighting.local) && sighting.event == whole
        };
        let begun = Instant::now();
        while !sightings(self.server).iter().any(moved) {
            // The journal is written behind the transfer's back.
            assert!(
                begun.elapsed() < Duration::from_secs(5),
                "{path} did not move over {told:?}:\n{trace}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The 227 or 229 in a line of a trace; every program has its own way to mark a reply.
fn passive_reply(line: &str) -> Option<Reply> {
    let line = ["< ", "<--- ", "*resp* '"]
        .iter()
        .find_map(|mark| line.strip_prefix(mark))
        .unwrap_or(line);
    let line = line.trim_end_matches(['\'', '\r']);
    let (reply, _) = Reply::parse(format!("{line}\r\n").as_bytes()).ok()??;
    matches!(reply.code, 227 | 229).then_some(reply)
}

fn address(reply: &Reply, host: IpAddr) -> SocketAddr {
    match (reply.passive_address(), reply.extended_passive_port()) {
        (Some(told), _) => told.into(),
        (None, Some(port)) => (host, port).into(),
        (None, None) => panic!("no address in {reply:?}"),
    }
}

/// Whole lines only: the last one may be half written.
fn sightings(server: &Server) -> Vec<Sighting> {
    let journal = std::fs::read_to_string(server.state().join("journal.jsonl")).unwrap();
    let whole = journal.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
