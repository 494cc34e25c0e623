//! `fwdrill agent` of a server under test.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use fwdrill_protocol::announcement::Announcement;
use fwdrill_protocol::flow::Flow;
use fwdrill_server::TOKEN_FILE;
use rustix::process::Signal;

use super::{Server, exit_within, fwdrill, signal, started};

/// A free port, where the server finds it.
pub const ANYWHERE: &str = "127.0.0.1:0";

/// A running `fwdrill agent`; killed when dropped.
pub struct Agent {
    pub announcement: Announcement,
    pub directory: tempfile::TempDir,
    pub child: Child,
}

impl Agent {
    /// Of this server, whose token it has, on free ports of its own.
    pub fn start(server: &Server, more: &[&str]) -> Agent {
        Agent::listening(server, ANYWHERE, &token(server), more)
    }

    pub fn listening(server: &Server, listen: &str, token: &str, more: &[&str]) -> Agent {
        let directory = tempfile::tempdir().unwrap();
        let mut command = fwdrill();
        command
            .args([
                "agent",
                &server.at(Flow::Agent).ip().to_string(),
                "--announce",
                "--client=pc-1",
            ])
            .arg(format!("--into={}", directory.path().join("updates").display()))
            .arg(format!("--public-key={}", server.public_key()))
            .args(server.settings())
            .args(["--set=ports.self_events=0", "--listen", listen])
            .env("FWDRILL_AGENT_TOKEN", token);
        let (child, announcement) = started(command.args(more), &directory.path().join("agent.log"));
        Agent {
            announcement,
            directory,
            child,
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("agent.log")).unwrap()
    }

    /// SIGTERM, then its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        signal(&self.child, Signal::TERM);
        exit_within(&mut self.child, Duration::from_secs(10)).code()
    }

    pub fn current(&self) -> PathBuf {
        self.directory.path().join("updates/current")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn token(server: &Server) -> String {
    let token = std::fs::read_to_string(server.state().join(TOKEN_FILE)).unwrap();
    token.trim().to_owned()
}
