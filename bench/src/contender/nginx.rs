//! nginx as Debian configures it (sendfile, tcp_nopush), less its access log.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::{Contender, await_listening, free_port, spawn, version};
use crate::corpus::Corpus;

/// Starts it on this corpus; HTTP.
pub(crate) fn start(corpus: &Corpus, scratch: &Path) -> anyhow::Result<Contender> {
    let said = version("/usr/sbin/nginx", "-v")?;
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let place = scratch.join("nginx");
    fs::create_dir_all(&place).context("failed to make a directory for nginx")?;
    let file = place.join("nginx.conf");
    fs::write(&file, configuration(&place, &corpus.root(), address)).context("failed to configure nginx")?;
    let log = place.join("nginx.log");
    let mut command = Command::new("/usr/sbin/nginx");
    command
        .arg("-p")
        .arg(&place)
        .arg("-e")
        .arg("stderr")
        .arg("-c")
        .arg(&file);
    let mut child = spawn(&mut command, &log)?;
    await_listening(&mut child, address, &log)?;
    Ok(Contender {
        name: said.replace("nginx version: ", ""),
        child,
        address,
        uploads: None,
    })
}

fn configuration(place: &Path, root: &Path, address: SocketAddr) -> String {
    let (place, root) = (place.display(), root.display());
    // Workers as who started it, because the files are theirs alone.
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    format!(
        "{user}
daemon off;
worker_processes auto;
pid {place}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
    sendfile on;
    tcp_nopush on;
    access_log off;
    keepalive_requests 1000000;
    default_type application/octet-stream;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    server {{ listen {address}; root {root}; }}
}}
"
    )
}
