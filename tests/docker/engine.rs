//! The engine: commands that end in time and say what went wrong.
#![allow(clippy::print_stderr, reason = "a test of minutes tells how far it is")]

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longer than any single command here may take: the slowest is debootstrap over a slow line.
const LIMIT: &str = "600";

/// Fails with what is missing, unless everything that this test needs is there.
pub(crate) fn required() {
    let answer = Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .output();
    match answer {
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!("no Docker engine answers: {}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => panic!("the docker client does not run: {error}"),
    }
    for (program, package) in [("debootstrap", "debootstrap"), ("docker-compose", "docker-compose")] {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .stdout(Stdio::null())
            .status();
        assert!(
            found.unwrap().success(),
            "{program} is not installed (Debian package {package})"
        );
    }
    assert!(rustix::process::geteuid().is_root(), "debootstrap needs root");
}

/// Runs a command to its end, which must be a success; its stdout.
pub(crate) fn run(command: &mut Command) -> String {
    let (output, told) = (ended(command), format!("{command:?}"));
    assert!(
        output.status.success(),
        "{told}: {}\n{}",
        output.status,
        everything(&output)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Runs a command to its end, whatever that is.
pub(crate) fn ended(command: &mut Command) -> Output {
    let mut bounded = Command::new("timeout");
    bounded
        .arg("--kill-after=10")
        .arg(LIMIT)
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bounded.env(name, value),
            None => bounded.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        bounded.current_dir(directory);
    }
    bounded.stdin(Stdio::null()).output().unwrap()
}

/// `docker` with these arguments.
pub(crate) fn docker(arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    // The classic builder is in every engine; buildx may be missing.
    command.env("DOCKER_BUILDKIT", "0").args(arguments);
    command
}

/// Asks until the answer is the one that is waited for.
pub(crate) fn until<T>(limit: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < limit, "{what}: not within {limit:?}");
    }
}

/// Both streams, for a message.
pub(crate) fn everything(output: &Output) -> String {
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    format!("{out}{err}")
}

/// How far it is.
pub(crate) fn tell(text: &str) {
    eprintln!("{text}");
}

/// A container that is removed, with its anonymous volumes, when dropped.
pub(crate) struct Container(pub(crate) String);

impl Container {
    /// `docker run --detach` with these arguments.
    pub(crate) fn start(arguments: &[&str]) -> Container {
        let mut command = docker(&["run", "--detach"]);
        Container(run(command.args(arguments)))
    }

    pub(crate) fn inspect(&self, format: &str) -> String {
        run(&mut docker(&["inspect", "--format", format, &self.0]))
    }

    pub(crate) fn logs(&self) -> String {
        everything(&ended(&mut docker(&["logs", &self.0])))
    }

    /// `docker exec` with these arguments.
    pub(crate) fn exec(&self, arguments: &[&str]) -> Output {
        let mut command = docker(&["exec", &self.0]);
        ended(command.args(arguments))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        ended(&mut docker(&["rm", "--force", "--volumes", &self.0]));
    }
}
