//! What integration tests share: the real binary, a server of it on free ports, and directories that go away.
#![allow(dead_code, reason = "every test file uses another part")]
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, reason = "tests")]

pub mod agent;
pub mod program;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fwdrill_protocol::announcement::Announcement;
use fwdrill_protocol::flow::Flow;
use rustix::process::{Pid, Signal, kill_process};

/// Every port left to the kernel, on loopback.
pub const FREE_PORTS: &[&str] = &[
    "server.bind=127.0.0.1",
    "ftp.port=0",
    "ports.version=0",
    "ports.http=0",
    "ports.agent=0",
    "ports.events=0",
    "ports.system=0",
    "ports.self_events=0",
    "ports.console=0",
];

/// The program, with an environment that the machine's own cannot disturb.
pub fn fwdrill() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fwdrill"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Runs `fwdrill` with these arguments to its end.
pub fn run<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    fwdrill().args(arguments).stdin(Stdio::null()).output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A running `fwdrill serve` with directories of its own; killed when dropped.
pub struct Server {
    pub announcement: Announcement,
    pub directory: tempfile::TempDir,
    child: Child,
}

impl Server {
    /// On free ports, with these `--set` on top.
    pub fn start(settings: &[&str]) -> Server {
        Server::start_with(settings, |_| {})
    }

    /// The same, with more arguments.
    pub fn start_with(settings: &[&str], more: impl FnOnce(&mut Command)) -> Server {
        let directory = tempfile::tempdir().unwrap();
        Server::start_in(directory, settings, more)
    }

    /// The same, in a directory that may hold a depot already.
    pub fn start_in(directory: tempfile::TempDir, settings: &[&str], more: impl FnOnce(&mut Command)) -> Server {
        let mut command = fwdrill();
        command
            .args(["serve", "--announce", "--grace", "2", "--state"])
            .arg(directory.path().join("state"));
        command.arg("--depot").arg(directory.path().join("depot"));
        for setting in FREE_PORTS.iter().chain(settings) {
            command.args(["--set", setting]);
        }
        more(&mut command);
        let (child, announcement) = started(&mut command, &directory.path().join("server.log"));
        Server {
            announcement,
            directory,
            child,
        }
    }

    pub fn at(&self, flow: Flow) -> SocketAddr {
        self.announcement.addresses[&flow]
    }

    pub fn port(&self, flow: Flow) -> u16 {
        self.at(flow).port()
    }

    pub fn public_key(&self) -> &str {
        self.announcement.public_key.as_deref().unwrap()
    }

    pub fn depot(&self) -> PathBuf {
        self.directory.path().join("depot")
    }

    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub fn dropbox(&self) -> PathBuf {
        self.state().join("dropbox")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("server.log")).unwrap_or_default()
    }

    /// `--set` for a client that is to find every port of this server.
    pub fn settings(&self) -> Vec<String> {
        let port = |flow, key: &str| format!("--set={key}={}", self.port(flow));
        vec![
            port(Flow::FtpControl, "ftp.port"),
            port(Flow::Version, "ports.version"),
            port(Flow::Http, "ports.http"),
            port(Flow::Agent, "ports.agent"),
            port(Flow::Events, "ports.events"),
            port(Flow::System, "ports.system"),
            port(Flow::SelfEvents, "ports.self_events"),
            port(Flow::Console, "ports.console"),
            format!("--set=ftp.passive_ports={}", self.announcement.passive_ports),
        ]
    }

    /// The directory of the set in force.
    pub fn current_set(&self) -> PathBuf {
        std::fs::canonicalize(self.depot().join("current")).unwrap()
    }

    /// Publishes into this server's depot.
    pub fn publish(&self, arguments: &[&str]) {
        let mut command = fwdrill();
        command
            .arg("publish")
            .arg(self.depot())
            .arg("--state")
            .arg(self.state())
            .args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }

    /// What the console's API says; to a POST where there is a body.
    pub fn api(&self, path: &str, body: Option<&serde_json::Value>) -> serde_json::Value {
        let token = std::fs::read_to_string(self.state().join("console/token")).unwrap();
        let mut command = Command::new(required("curl"));
        command
            .args(["--silent", "--show-error", "--fail", "--insecure", "--header"])
            .arg(format!("Authorization: Bearer {}", token.trim()));
        if let Some(body) = body {
            command.args([
                "--header",
                "Content-Type: application/json",
                "--data",
                &body.to_string(),
            ]);
        }
        let output = command
            .arg(format!("https://{}{path}", self.at(Flow::Console)))
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{path}: {error}: {}", stderr(&output)))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL; its directory stays.
    pub fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.directory, tempfile::tempdir().unwrap())
    }

    /// SIGTERM, then its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        signal(&self.child, Signal::TERM);
        exit_within(&mut self.child, Duration::from_secs(20)).code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program that announces itself, with its log in a file.
pub fn started(command: &mut Command, log: &Path) -> (Child, Announcement) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(log).unwrap())
        .spawn()
        .unwrap();
    let announcement = announced(&mut child).unwrap_or_else(|error| {
        let log = std::fs::read_to_string(log).unwrap_or_default();
        panic!("no announcement: {error}\n{log}")
    });
    (child, announcement)
}

/// What `serve --announce` says first.
pub fn announced(server: &mut Child) -> serde_json::Result<Announcement> {
    let mut line = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    serde_json::from_str(&line)
}

/// Makes a depot with a set before a server is started in the directory.
pub fn published(arguments: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut command = fwdrill();
    command.arg("publish").arg(directory.path().join("depot"));
    command
        .arg("--state")
        .arg(directory.path().join("state"))
        .args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    directory
}

pub fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits for a child, but not for ever.
pub fn exit_within(child: &mut Child, limit: Duration) -> std::process::ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < limit, "the program did not end within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Every file below a directory by its relative path, with its bytes.
pub fn tree(directory: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap().to_string_lossy().into_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// A program that a test cannot do without; says how to get it.
pub fn required(program: &str) -> &str {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).is_file()));
    assert!(found, "{program} is not installed: run scripts/install-test-packages");
    program
}

/// A port of loopback on which nobody listens.
pub fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Interrupts and kills the program in the middle of a rehearsal: everything that it started ends too.
pub fn nothing_is_left_of(arguments: &[&str]) {
    let files = tempfile::tempdir().unwrap();
    let named_namespaces = || {
        let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    };
    let before = named_namespaces();
    for (sent, code) in [(Signal::INT, Some(3)), (Signal::KILL, None)] {
        let mut rehearsal = fwdrill()
            .args(arguments)
            .env("TMPDIR", files.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The network stands, the server serves, and the client asks: it is in the middle of it.
        let running = loop {
            let running = descendants_of(rehearsal.id());
            if running.iter().any(|pid| is_probing(*pid)) {
                break running;
            }
            assert!(rehearsal.try_wait().unwrap().is_none(), "it ended too early");
            std::thread::yield_now();
        };
        signal(&rehearsal, sent);
        assert_eq!(exit_within(&mut rehearsal, Duration::from_secs(10)).code(), code);
        let begun = std::time::Instant::now();
        while running.iter().any(|pid| is_alive(*pid)) {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "processes are left after {sent:?}"
            );
            std::thread::yield_now();
        }
        assert_eq!(named_namespaces(), before, "namespaces are left after {sent:?}");
        let left: Vec<_> = std::fs::read_dir(files.path()).unwrap().flatten().collect();
        assert!(left.is_empty(), "files are left after {sent:?}: {left:?}");
    }
}

fn is_probing(pid: u32) -> bool {
    let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    words.split(|byte| *byte == 0).any(|word| word == b"probe")
}

/// Its children, whichever thread started them.
fn children_of(pid: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    let of_threads = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let all: String = of_threads.chain([children]).collect::<Vec<_>>().join(" ");
    let mut all: Vec<u32> = all.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn descendants_of(pid: u32) -> Vec<u32> {
    let children = children_of(pid);
    children
        .iter()
        .flat_map(|child| [vec![*child], descendants_of(*child)].concat())
        .collect()
}

fn is_alive(pid: u32) -> bool {
    // The state follows the name in parentheses (proc_pid_stat(5)); a zombie has left everything behind.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Lets every user read what is in a directory of this test.
pub fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
}
