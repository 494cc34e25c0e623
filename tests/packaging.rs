//! What packages carry besides the program: systemd units, shell completions, man pages.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{required, run, stderr, stdout};

/// Copies of the units that start the program under test, in a directory of their own.
fn units() -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/systemd");
    let dropins = directory.path().join("fwdrill-.service.d");
    std::fs::create_dir(&dropins).unwrap();
    std::fs::copy(
        source.join("fwdrill-.service.d/hardening.conf"),
        dropins.join("hardening.conf"),
    )
    .unwrap();
    let mut units = Vec::new();
    for entry in std::fs::read_dir(source).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "service") {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.contains("/usr/bin/fwdrill"), "{}", file.display());
            let copy = directory.path().join(file.file_name().unwrap());
            std::fs::write(&copy, text.replace("/usr/bin/fwdrill", env!("CARGO_BIN_EXE_fwdrill"))).unwrap();
            units.push(copy);
        }
    }
    assert!(units.len() >= 3, "{units:?}");
    (directory, units)
}

fn systemd_analyze(directory: &Path) -> Command {
    required("systemd-analyze");
    let mut command = Command::new("systemd-analyze");
    // These units first, then the system's own, to which they refer.
    command.env("SYSTEMD_UNIT_PATH", format!("{}:", directory.display()));
    command
}

#[test]
fn systemd_accepts_the_units() {
    let (directory, units) = units();
    // --man=no: the pages are not installed here.
    let output = systemd_analyze(directory.path())
        .args(["verify", "--man=no"])
        .args(&units)
        .output()
        .unwrap();
    let told = format!("{}{}", stdout(&output), stderr(&output));
    assert!(output.status.success(), "{told}");
    // It is content with keys that it does not know, too.
    assert!(!told.contains("hardening.conf") && !told.contains("fwdrill-"), "{told}");
}

#[test]
fn systemd_finds_a_mistake_in_a_unit() {
    let (directory, units) = units();
    let text = std::fs::read_to_string(&units[0]).unwrap();
    std::fs::write(&units[0], text.replace("ExecStart=", "ExecStart=/nowhere")).unwrap();
    let output = systemd_analyze(directory.path())
        .args(["verify", "--man=no"])
        .arg(&units[0])
        .output()
        .unwrap();
    assert!(!output.status.success());
}

#[test]
fn the_units_leave_little_exposed() {
    let (directory, units) = units();
    for unit in units {
        // Of 10.0; without the drop-in it is 9.6.
        let output = systemd_analyze(directory.path())
            .args(["security", "--offline=yes", "--threshold=20", "--no-pager"])
            .arg(&unit)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    }
}

#[test]
fn bash_completes_subcommands_and_flags() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("fwdrill.bash");
    let output = run(["completions", "bash"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    std::fs::write(&script, stdout(&output)).unwrap();
    for (words, at, completed) in [
        ("fwdrill pro", 1, "probe"),
        ("fwdrill probe --full-r", 2, "--full-range"),
    ] {
        let asked = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD={at}; _fwdrill fwdrill \"${{COMP_WORDS[{at}]}}\"; echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let output = Command::new("bash").args(["--norc", "-c", &asked]).output().unwrap();
        assert_eq!(stdout(&output).trim(), completed, "{}", stderr(&output));
    }
}

#[test]
fn every_shell_that_is_offered_gets_a_script() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = stdout(&run(["completions", shell]));
        assert!(script.contains("healthcheck"), "{shell}: {script}");
    }
    assert_eq!(run(["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn the_program_and_every_subcommand_have_a_man_page() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    let output = run(["man".as_ref(), "--into".as_ref(), pages.as_os_str()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let page = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let main = page("fwdrill.1");
    assert!(main.contains(".TH fwdrill 1") && main.contains("Exit codes"), "{main}");
    for command in ["serve", "probe", "sync", "agent", "healthcheck", "man"] {
        let text = page(&format!("fwdrill-{command}.1"));
        assert!(text.contains(&format!("fwdrill {command}")), "{text}");
        assert!(text.contains("Example"), "{text}");
    }
    assert!(
        !pages.join("fwdrill-middlebox.1").exists(),
        "hidden commands have no page"
    );
    // Without a directory: the program's own page.
    assert_eq!(stdout(&run(["man"])).trim(), main.trim());
}
