//! Into namespaces of one's own: user, network, mounts and processes. No root is needed, and whatever happens inside ends
//! with the first process in there, for the kernel kills the rest (pid_namespaces(7)); files inside lie on a tmpfs of
//! its own, so nothing is ever left behind.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use rustix::process::{Signal, getegid, geteuid, set_parent_process_death_signal};

/// Hidden subcommand: the outer half of a lab. Has to run before the program has threads (unshare(2), CLONE_NEWUSER).
/// Starts the inner half as the first process of the new namespaces, and ends with it.
pub(crate) fn enter() -> anyhow::Result<ExitCode> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let network = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
    match unshare(network | CloneFlags::CLONE_NEWUSER) {
        Ok(()) => {
            std::fs::write("/proc/self/setgroups", "deny").context("failed to write /proc/self/setgroups")?;
            std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))
                .context("failed to write /proc/self/uid_map")?;
            std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))
                .context("failed to write /proc/self/gid_map")?;
        }
        // Where user namespaces are forbidden root can do without.
        Err(_) if user == 0 => {
            unshare(network).context("failed to make namespaces (is this a container without CAP_SYS_ADMIN?)")?
        }
        Err(error) => bail!(
            "failed to make a user namespace: {error}: this kernel forbids them to ordinary users (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces, or AppArmor): run it as root"
        ),
    }
    // Only now: the kernel forgets it when credentials change.
    die_with_parent()?;
    let own = std::env::current_exe().context("failed to find this program's own file")?;
    let status = Command::new(own)
        .args(["rehearse-lab", "--inside"])
        .env(PARENT, std::process::id().to_string())
        .status()
        .context("failed to start the lab")?;
    Ok(ExitCode::from(
        status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
    ))
}

/// The variable by which a process knows its parent, as the outside numbers it.
pub(super) const PARENT: &str = "REHEARSAL_PARENT";

/// Whatever ends the parent ends this process too.
pub(super) fn die_with_parent() -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("failed to ask for the parent's death signal")?;
    // A parent that has ended before that sends no signal. /proc is the outside's here, and so are its numbers.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let parent = status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))
        .map(str::trim);
    match (std::env::var(PARENT), parent) {
        (Ok(expected), Some(parent)) if expected != parent => bail!("whoever started this has ended already"),
        _ => Ok(()),
    }
}

/// What is mounted from here on concerns this lab alone, and `/run` (where `ip netns` keeps its names) is empty.
pub(super) fn own_run_directory() -> anyhow::Result<()> {
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).context("failed to make mounts private")?;
    mount(Some("none"), "/run", Some("tmpfs"), MsFlags::empty(), none).context("failed to mount a tmpfs on /run")
}

/// Puts `file` in the place of `over`, for this lab alone.
pub(super) fn bind(file: &Path, over: &str) -> anyhow::Result<()> {
    let none: Option<&str> = None;
    mount(Some(file), over, none, MsFlags::MS_BIND, none)
        .with_context(|| format!("failed to mount {} on {over}", file.display()))
}
