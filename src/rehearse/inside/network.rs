//! The path itself: namespaces, cables, addresses, routes, sysctls, rulesets, by the programs that people use for it.

use std::fmt::Write;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::rehearse::lab::{Lab, LabHost, WIRES, Wire};

/// How long interfaces may take to come up; they usually do at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// Builds it all. What fails says which host and what the program said.
pub(super) async fn build(lab: &Lab) -> anyhow::Result<()> {
    let mut namespaces = format!("netns add {WIRES}\n");
    for host in &lab.hosts {
        let _ = writeln!(namespaces, "netns add {}", host.name);
    }
    ip(&[], &namespaces)
        .await
        .context("failed to make network namespaces")?;
    let six = |host: &&LabHost| host.addresses.iter().any(|(_, address)| address.contains(':'));
    for host in lab.hosts.iter().filter(six) {
        // Link-local addresses are looked for, too, and neighbours are not told of before.
        script(&host.name, "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad\n").await?;
    }
    let mut cables = String::new();
    for (at, wire) in lab.wires.iter().enumerate() {
        cables.push_str(&cable(at, wire));
    }
    ip(&["-n", WIRES], &cables).await.context("failed to lay cables")?;
    // Bridged frames are nobody's packets, and the cables' own namespace speaks no IP.
    script(
        WIRES,
        "for f in /proc/sys/net/bridge/bridge-nf-call-*; do if [ -e $f ]; then echo 0 > $f; fi; done\n",
    )
    .await?;
    for host in &lab.hosts {
        let context = || format!("failed to set up {}", host.name);
        ip(&["-n", &host.name], &settings(host, lab))
            .await
            .with_context(context)?;
        configure(host).await.with_context(context)?;
    }
    wait_for_links(lab).await
}

/// The names of a cable's two sides where a middlebox stands in it, within the namespace of cables.
pub(super) fn sides(wire: usize) -> [String; 2] {
    [format!("w{wire}a"), format!("w{wire}b")]
}

fn cable(at: usize, wire: &Wire) -> String {
    let mut text = String::new();
    match (wire.ends.as_slice(), &wire.through) {
        ([one, other], None) => {
            let _ = writeln!(
                text,
                "link add name {} netns {} type veth peer name {} netns {}",
                one.interface, one.host, other.interface, other.host
            );
        }
        (ends, Some(_)) => {
            for (end, side) in ends.iter().zip(sides(at)) {
                let _ = writeln!(
                    text,
                    "link add name {side} type veth peer name {} netns {}",
                    end.interface, end.host
                );
                let mtu = wire.mtu.map(|mtu| format!(" mtu {mtu}")).unwrap_or_default();
                let _ = writeln!(text, "link set dev {side}{mtu} up");
            }
        }
        (ends, None) => {
            let _ = writeln!(
                text,
                "link add name s{at} type bridge mcast_snooping 0\nlink set dev s{at} up"
            );
            for (port, end) in ends.iter().enumerate() {
                let side = format!("s{at}p{port}");
                let _ = writeln!(
                    text,
                    "link add name {side} type veth peer name {} netns {}",
                    end.interface, end.host
                );
                let _ = writeln!(text, "link set dev {side} master s{at} up");
            }
        }
    }
    text
}

/// A host's interfaces, addresses and routes.
fn settings(host: &LabHost, lab: &Lab) -> String {
    let mut text = "link set dev lo up\n".to_owned();
    for (interface, address) in &host.addresses {
        // Duplicate address detection takes a second, and there are no duplicates.
        let nodad = if address.contains(':') { " nodad" } else { "" };
        let _ = writeln!(text, "address add {address} dev {interface}{nodad}");
    }
    for wire in &lab.wires {
        for end in wire.ends.iter().filter(|end| end.host == host.name) {
            let mtu = wire.mtu.map(|mtu| format!(" mtu {mtu}")).unwrap_or_default();
            // A middlebox in a cable wants packets as a real cable carries them, not the kernel's bundles of them.
            let single = if wire.through.is_some() { " gso_max_segs 1" } else { "" };
            let _ = writeln!(text, "link set dev {}{mtu}{single} up", end.interface);
        }
    }
    for route in &host.routes {
        let _ = writeln!(text, "route add {route}");
    }
    text
}

/// Sysctls, the rulesets, and the scenario's own commands, in this order.
async fn configure(host: &LabHost) -> anyhow::Result<()> {
    let forwarding = if host.router { "1" } else { "0" };
    let mut text = String::new();
    let standard = [
        ("net.ipv4.ip_forward", forwarding),
        ("net.ipv6.conf.all.forwarding", forwarding),
    ];
    for (key, value) in standard {
        let _ = writeln!(text, "echo {value} > {}", proc_file(key));
    }
    // A new namespace takes this from the machine, where Docker and Debian set it one way or another.
    text.push_str("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done\n");
    for command in &host.prepare {
        let _ = writeln!(text, "{command}");
    }
    for (at, ruleset) in host.rulesets.iter().enumerate() {
        let file = format!("{}/{}-{at}.rules", super::DIRECTORY, host.name);
        std::fs::write(&file, &ruleset.text).with_context(|| format!("failed to write {file}"))?;
        let _ = writeln!(text, "{} {file}", ruleset.by.command().join(" "));
    }
    for (key, value) in &host.sysctl {
        let _ = writeln!(text, "echo '{value}' > {}", proc_file(key));
    }
    for command in &host.run {
        let _ = writeln!(text, "{command}");
    }
    script(&host.name, &text).await
}

fn proc_file(key: &str) -> String {
    format!("/proc/sys/{}", key.replace('.', "/"))
}

/// A packet sent before its interface is up is lost, and the next try comes a second later.
async fn wait_for_links(lab: &Lab) -> anyhow::Result<()> {
    let started = tokio::time::Instant::now();
    for host in lab.hosts.iter().map(|host| host.name.as_str()).chain([WIRES]) {
        loop {
            let links = output(Command::new("ip").args(["-n", host, "-br", "link", "show", "up"]), "").await?;
            if links
                .lines()
                .all(|line| line.starts_with("lo ") || line.split_whitespace().nth(1) == Some("UP"))
            {
                break;
            }
            if started.elapsed() > PATIENCE {
                bail!("the interfaces of {host} do not come up:\n{links}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(())
}

async fn ip(arguments: &[&str], batch: &str) -> anyhow::Result<()> {
    let mut command = Command::new("ip");
    command.args(arguments).args(["-batch", "-"]);
    output(&mut command, batch).await.map(drop)
}

async fn script(host: &str, text: &str) -> anyhow::Result<()> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", host, "sh", "-e"]);
    // For scenarios that prepare something with it: an update set, say.
    command.env("FWDRILL", std::env::current_exe().unwrap_or_default());
    output(&mut command, text)
        .await
        .map(drop)
        .with_context(|| format!("on {host}"))
}

/// Runs a program to its end with this on its stdin; its stdout.
async fn output(command: &mut Command, stdin: &str) -> anyhow::Result<String> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("failed to run {program}: is it installed (Debian: iproute2, nftables)?"))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(stdin.as_bytes()).await.ok();
    }
    let output = child
        .wait_with_output()
        .await
        .with_context(|| format!("failed to wait for {program}"))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
