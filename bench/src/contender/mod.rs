//! A server under test, as a child process.

pub(crate) mod fwdrill;
pub(crate) mod nginx;
pub(crate) mod vsftpd;

use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Contender {
    name: String,
    child: Child,
    address: SocketAddr,
    /// Where uploads end up on the disk, where there are any.
    uploads: Option<PathBuf>,
}

impl Contender {
    /// Its name with its version, as tables show it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The process that all its others descend from.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where an upload goes: `/upload/<client>/<file>` for us, a plain directory elsewhere.
    pub(crate) fn upload_path(&self, number: u64) -> String {
        match self.name.starts_with("fwdrill") {
            true => format!("/upload/bench/{number}"),
            false => format!("/upload/{number}"),
        }
    }

    /// Removes what [`Contender::upload_path`] has been uploaded to: a server that replaces a file keeps the old one until the
    /// new one is whole, another empties it first, and neither is to be measured.
    pub(crate) fn forget_upload(&self, number: u64) -> anyhow::Result<()> {
        let Some(uploads) = &self.uploads else {
            return Ok(());
        };
        let file = uploads.join(number.to_string());
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("failed to remove {}", file.display()))
            }
            _ => Ok(()),
        }
    }

    /// Where the service in question listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program with its stderr in `log`.
fn spawn(command: &mut Command, log: &Path) -> anyhow::Result<Child> {
    let errors = File::create(log).with_context(|| format!("failed to create {}", log.display()))?;
    command.stdin(Stdio::null()).stderr(errors);
    let program = PathBuf::from(command.get_program());
    command
        .spawn()
        .with_context(|| format!("failed to start {}", program.display()))
}

/// A port that nobody has at the moment, for servers which cannot choose one themselves.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("failed to find a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Waits until a server accepts connections.
fn await_listening(child: &mut Child, address: SocketAddr, log: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        let ended = child.try_wait()?;
        if ended.is_some() || begun.elapsed() > PATIENCE {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            bail!("the server does not listen on {address}: {ended:?}\n{said}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The first line in which a program says its version, on stdout or stderr.
fn version(program: &str, argument: &str) -> anyhow::Result<String> {
    let output = Command::new(program)
        .arg(argument)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{program} is not installed (Debian: nginx-light, vsftpd)"))?;
    let said = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&said)
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned())
}
