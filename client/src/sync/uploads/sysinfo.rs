use std::path::Path;

use fwdrill_protocol::client_name::ClientName;
use fwdrill_protocol::update_set::Manifest;
use jiff::Timestamp;
use serde::Serialize;

/// `sysinfo.json`: facts about this host, as far as they can be had.
#[derive(Debug, Serialize)]
struct SystemInformation<'a> {
    schema: &'static str,
    taken: Timestamp,
    client: &'a str,
    host_name: String,
    operating_system: Option<String>,
    kernel: String,
    architecture: String,
    processors: Option<usize>,
    uptime_seconds: i64,
    memory: Space,
    /// Where the update sets are.
    disk: Option<Space>,
    fwdrill: &'static str,
    update_set: UpdateSet<'a>,
}

/// Bytes.
#[derive(Debug, Serialize)]
struct Space {
    total: u64,
    free: u64,
}

#[derive(Debug, Serialize)]
struct UpdateSet<'a> {
    version: &'a str,
    serial: u64,
    published: Timestamp,
    expires: Timestamp,
}

/// The text of `sysinfo.json` of a client that keeps its sets in `directory`.
pub(crate) fn render(client: &ClientName, directory: &Path, manifest: &Manifest) -> String {
    let name = rustix::system::uname();
    let system = rustix::system::sysinfo();
    let unit = u64::from(system.mem_unit);
    let information = SystemInformation {
        schema: "fwdrill.sysinfo/1",
        taken: Timestamp::now(),
        client: client.as_str(),
        host_name: name.nodename().to_string_lossy().into_owned(),
        operating_system: operating_system(),
        kernel: format!(
            "{} {}",
            name.sysname().to_string_lossy(),
            name.release().to_string_lossy()
        ),
        architecture: name.machine().to_string_lossy().into_owned(),
        processors: std::thread::available_parallelism().ok().map(Into::into),
        uptime_seconds: system.uptime,
        memory: Space {
            total: system.totalram.saturating_mul(unit),
            free: system.freeram.saturating_mul(unit),
        },
        disk: disk_of(directory),
        fwdrill: env!("CARGO_PKG_VERSION"),
        update_set: UpdateSet {
            version: manifest.version(),
            serial: manifest.serial(),
            published: manifest.published(),
            expires: manifest.expires(),
        },
    };
    // Nothing in it can fail to serialise: string keys, no foreign writers.
    let mut text = serde_json::to_string_pretty(&information).unwrap_or_default();
    text.push('\n');
    text
}

/// `PRETTY_NAME` of os-release(5).
fn operating_system() -> Option<String> {
    let text = ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok())?;
    pretty_name(&text)
}

fn pretty_name(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}

fn disk_of(directory: &Path) -> Option<Space> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    Some(Space {
        total: disk.f_blocks.saturating_mul(disk.f_frsize),
        free: disk.f_bavail.saturating_mul(disk.f_frsize),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pretty_name_is_found_among_the_others() {
        let text = "NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n";
        assert_eq!(pretty_name(text).unwrap(), "Debian GNU/Linux 12 (bookworm)");
        assert_eq!(pretty_name("ID=debian\n"), None);
    }

    #[test]
    fn a_directory_that_is_not_there_has_no_space() {
        assert!(disk_of(Path::new("/")).is_some_and(|disk| disk.total > 0));
        assert!(disk_of(Path::new("/nonexistent/fwdrill")).is_none());
    }
}
