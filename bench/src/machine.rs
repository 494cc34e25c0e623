//! What the figures were measured on.

use std::fs;

use anyhow::Context;

/// A Markdown list: processor, memory, kernel, distribution, and how busy the machine was.
pub(crate) fn describe() -> anyhow::Result<String> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("failed to read {path}"));
    let cpu = value(&read("/proc/cpuinfo")?, "model name", ':').unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().context("failed to count processors")?;
    let memory = value(&read("/proc/meminfo")?, "MemTotal", ':').unwrap_or_default();
    let system = value(&read("/etc/os-release")?, "PRETTY_NAME", '=').unwrap_or_default();
    let kernel = rustix::system::uname();
    let load = read("/proc/loadavg")?;
    let load: Vec<&str> = load.split(' ').take(3).collect();
    Ok(format!(
        "Measured {} on loopback, {cores} x {cpu}, {memory}; {}, {} {}; load average at the end {}.\n",
        jiff::Timestamp::now().strftime("%Y-%m-%d"),
        system.trim_matches('"'),
        kernel.sysname().to_string_lossy(),
        kernel.release().to_string_lossy(),
        load.join(" "),
    ))
}

/// What follows `key` and the separator, in the first line that has them.
fn value(text: &str, key: &str, separator: char) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(separator)?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_processor_speaks_for_all() {
        let text = "processor\t: 0\nmodel name\t: Some CPU\nmodel name\t: Other\n";
        assert_eq!(value(text, "model name", ':').as_deref(), Some("Some CPU"));
        assert_eq!(value(text, "model", ':'), None);
    }
}
