//! Programs that are not ours: run in a place of their own, to their good end.

use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::required;

/// No program takes longer, or it is killed.
const LONGEST: Duration = Duration::from_secs(25);

/// A program without anybody's proxies and settings, in English, that runs in `place` and is at home there.
pub fn program(name: &str, place: &Path) -> Command {
    let mut command = Command::new(required(name));
    command.env_clear().current_dir(place);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", place).env("LC_ALL", "C");
    command
}

/// How a program ended, and after how long; and all that it said, in one file `said` in `place` for both its outputs, as a
/// terminal would be: nothing waits for a reader.
pub fn run_to_end(command: &mut Command, place: &Path, typed: &str) -> (ExitStatus, Duration, String) {
    let said = place.join("said");
    let file = std::fs::File::create(&said).unwrap();
    let second = file.try_clone().unwrap();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(file)
        .stderr(second)
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let begun = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if begun.elapsed() > LONGEST => {
                child.kill().unwrap();
                break child.wait().unwrap();
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let text = String::from_utf8_lossy(&std::fs::read(&said).unwrap()).into_owned();
    (status, begun.elapsed(), text)
}
