//! vsftpd as Debian configures it (sendfile, a process for each session), for anonymous users who may upload.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use super::{Contender, await_listening, free_port, spawn};
use crate::corpus::Corpus;

/// Starts it on this corpus. It gives up root for `daemon` when somebody has logged in, so it has to be started by root.
pub(crate) fn start(corpus: &Corpus, scratch: &Path) -> anyhow::Result<Contender> {
    ensure!(rustix::process::geteuid().is_root(), "vsftpd must be started by root");
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let place = scratch.join("vsftpd");
    fs::create_dir_all(place.join("empty")).context("failed to make a directory for vsftpd")?;
    let upload = corpus.root().join("upload");
    fs::create_dir_all(&upload)?;
    fs::set_permissions(&upload, fs::Permissions::from_mode(0o777))?;
    // For that user to come by.
    fs::set_permissions(scratch, fs::Permissions::from_mode(0o755))?;
    let file = place.join("vsftpd.conf");
    fs::write(&file, configuration(&place, &corpus.root(), address)).context("failed to configure vsftpd")?;
    let log = place.join("vsftpd.log");
    let mut child = spawn(Command::new("/usr/sbin/vsftpd").arg(&file), &log)?;
    await_listening(&mut child, address, &log)?;
    Ok(Contender {
        name: name()?,
        child,
        address,
        uploads: Some(upload),
    })
}

fn name() -> anyhow::Result<String> {
    // It prints its version to stdin, of all places.
    let output = Command::new("sh").args(["-c", "/usr/sbin/vsftpd -v 0>&1"]).output()?;
    ensure!(output.status.success(), "vsftpd is not installed (Debian: vsftpd)");
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(format!("vsftpd/{}", said.trim().trim_start_matches("vsftpd: version ")))
}

fn configuration(place: &Path, root: &Path, address: SocketAddr) -> String {
    let (place, root) = (place.display(), root.display());
    format!(
        "listen=YES
listen_address={ip}
listen_port={port}
background=NO
anonymous_enable=YES
ftp_username=daemon
anon_root={root}
write_enable=YES
anon_upload_enable=YES
anon_other_write_enable=YES
secure_chroot_dir={place}/empty
pasv_min_port=20000
pasv_max_port=20999
max_clients=0
max_per_ip=0
xferlog_enable=NO
use_localtime=NO
seccomp_sandbox=NO
",
        ip = address.ip(),
        port = address.port(),
    )
}
