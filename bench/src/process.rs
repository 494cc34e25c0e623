//! What a process and its children have cost so far, out of /proc.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// CPU time, user and system, that a process, its living descendants, and all the children they have waited for, have used
/// (proc_pid_stat(5): utime, stime, cutime, cstime). In steps of the kernel's clock tick, mostly 10 ms.
pub(crate) fn cpu(root: u32) -> io::Result<Duration> {
    let ticks: u64 = tree(root)?.iter().map(|stat| stat.ticks).sum();
    Ok(of_ticks(ticks))
}

/// How many processes there are: the root and its living descendants.
pub(crate) fn count(root: u32) -> io::Result<usize> {
    Ok(tree(root)?.len())
}

/// Lets this process be the parent of those whose own has ended without waiting for them, so that [`adopted_cpu`] sees
/// what they have cost. vsftpd ends a session like that.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?)
}

/// What the children cost that this process has adopted, all but `own`. It waits for their end and forgets them.
pub(crate) fn adopted_cpu(own: &[u32]) -> io::Result<Duration> {
    let mut ticks = 0;
    for orphan in tree(std::process::id())? {
        if orphan.parent != std::process::id() || own.contains(&orphan.pid) {
            continue;
        }
        let Some(pid) = i32::try_from(orphan.pid).ok().and_then(Pid::from_raw) else {
            continue;
        };
        // Whoever has ended is kept in /proc until somebody asks for his status.
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
        ticks += stat(orphan.pid)?.ticks;
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED)?;
    }
    Ok(of_ticks(ticks))
}

fn of_ticks(ticks: u64) -> Duration {
    Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100)
}

/// The memory of a process and its descendants, bytes: what is shared among them is counted once ("Pss" in
/// /proc/pid/smaps_rollup).
pub(crate) fn memory(root: u32) -> io::Result<u64> {
    let mut bytes = 0;
    for stat in tree(root)? {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", stat.pid))?;
        let kilobytes = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kilobytes = kilobytes.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        bytes += 1024 * kilobytes.ok_or_else(|| io::Error::other("no Pss in smaps_rollup"))?;
    }
    Ok(bytes)
}

struct Stat {
    pid: u32,
    parent: u32,
    ticks: u64,
}

/// The process itself and its descendants.
fn tree(root: u32) -> io::Result<Vec<Stat>> {
    let mut found = vec![stat(root)?];
    let mut children: HashMap<u32, Vec<Stat>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        // One that has ended meanwhile is in its parent's sum.
        if let Some(stat) = pid.and_then(|pid| stat(pid).ok()) {
            children.entry(stat.parent).or_default().push(stat);
        }
    }
    let mut at = 0;
    while let Some(parent) = found.get(at) {
        found.extend(children.remove(&parent.pid).unwrap_or_default());
        at += 1;
    }
    Ok(found)
}

fn stat(pid: u32) -> io::Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    parse(pid, &text).ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat reads {text:?}")))
}

fn parse(pid: u32, text: &str) -> Option<Stat> {
    // The name, in parentheses, may hold anything.
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        pid,
        parent: u32::try_from(number(4)?).ok()?,
        ticks: number(14)? + number(15)? + number(16)? + number(17)?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn the_fields_are_those_of_the_manual_page_whatever_the_process_is_called() {
        let stat = parse(7, "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0").unwrap();
        assert_eq!((stat.pid, stat.parent, stat.ticks), (7, 3, 100));
    }

    #[test]
    fn a_child_of_a_child_belongs_to_the_tree() {
        let mut shell = Command::new("sh")
            .args(["-c", "sleep 60 & echo; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut told = io::BufReader::new(shell.stdout.take().unwrap());
        io::BufRead::read_line(&mut told, &mut line).unwrap();
        let found = tree(shell.id()).unwrap();
        let sleeper = found.iter().find(|stat| stat.parent == shell.id()).unwrap().pid;
        let sleeper = rustix::process::Pid::from_raw(i32::try_from(sleeper).unwrap()).unwrap();
        assert!(memory(shell.id()).unwrap() > 0);
        rustix::process::kill_process(sleeper, rustix::process::Signal::KILL).unwrap();
        shell.wait().unwrap();
    }
}
