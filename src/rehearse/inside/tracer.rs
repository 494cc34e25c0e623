//! Asking the kernel which rules the client's packets meet: `nft monitor trace` on the firewall, and a table of our own that
//! marks the packets (nft(8), "meta nftrace set 1"). Only SYN and SYN-ACK of the two hosts are followed: a firewall decides
//! by these, and everything else stays as fast as it is. iptables' own tables tell in another way (`legacy`).

mod legacy;

use std::net::{IpAddr, UdpSocket};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::processes::fwdrill;
use crate::output;
use crate::rehearse::lab::{Process, Tables, Tracing};
use crate::rehearse::production::trace::{self, OWN_TABLE, Trace};

/// Hidden subcommand: follows packets until its stdin ends, then says what became of them as one JSON line.
#[derive(Debug, Args)]
pub(crate) struct TracerArgs {
    #[arg(long)]
    pub(super) client: IpAddr,
    #[arg(long)]
    pub(super) server: IpAddr,
    #[arg(long)]
    tables: Tables,
}

/// How long the kernel may take to tell of one packet.
const PATIENCE: Duration = Duration::from_secs(5);

/// A packet to this address is told of like all others, and everything that came before it has been told by then.
const MARKER: &str = "127.86.0.1";

/// More than this nobody reads; a drill makes some thousands.
const MOST_LINES: usize = 400_000;

/// The tracer, seen from the lab.
pub(super) struct Tracer {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Tracer {
    /// Starts it on the firewall; whatever the client sends from now on is followed.
    pub(super) async fn start(tracing: &Tracing) -> anyhow::Result<Tracer> {
        let process = Process {
            on: tracing.on.clone(),
            arguments: vec![
                "rehearse-trace".to_owned(),
                format!("--client={}", tracing.client),
                format!("--server={}", tracing.server),
                match tracing.tables {
                    Tables::Nftables => "--tables=nftables".to_owned(),
                    Tables::Legacy => "--tables=legacy".to_owned(),
                },
            ],
        };
        let mut command = fwdrill(&process)?;
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().context("failed to start the tracer")?;
        let stdin = child.stdin.take().context("the tracer has no stdin")?;
        let mut stdout = BufReader::new(child.stdout.take().context("the tracer has no stdout")?);
        let mut ready = String::new();
        // What went wrong is told at the end: a rehearsal without a trace is one all the same.
        let _ = stdout.read_line(&mut ready).await;
        Ok(Tracer { child, stdin, stdout })
    }

    /// What became of the packets.
    pub(super) async fn finish(mut self) -> anyhow::Result<Trace> {
        drop(self.stdin);
        let mut answer = String::new();
        let _ = tokio::time::timeout(3 * PATIENCE, self.stdout.read_to_string(&mut answer)).await;
        if let Ok(trace) = serde_json::from_str(&answer) {
            return Ok(trace);
        }
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = tokio::time::timeout(PATIENCE, stderr.read_to_string(&mut said)).await;
        }
        bail!("the kernel does not say which rules packets meet: {}", said.trim())
    }
}

/// The tracer itself.
pub(crate) async fn run(args: &TracerArgs) -> anyhow::Result<()> {
    let trace = match args.tables {
        Tables::Nftables => follow(args).await?,
        Tables::Legacy => legacy::follow(args).await?,
    };
    output::say(&serde_json::to_string(&trace).context("failed to write the trace")?);
    Ok(())
}

/// Ends when nobody holds the other end of stdin any more.
async fn told_to_end() {
    let _ = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())).await;
}

async fn follow(args: &TracerArgs) -> anyhow::Result<Trace> {
    nft(&["-f", "-"], &own_table(args)).await?;
    let mut monitor = Command::new("nft")
        .args(["-a", "monitor", "trace"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("failed to run nft monitor trace")?;
    let stdout = monitor.stdout.take().context("nft monitor has no stdout")?;
    let mut lines = BufReader::new(stdout).lines();
    let mut told = Vec::new();
    // It says nothing when it listens, but it tells of no packet before.
    let ready = async {
        loop {
            mark(1)?;
            let heard = tokio::time::timeout(Duration::from_millis(10), until_marked(&mut lines, &mut told, 1));
            if let Ok(heard) = heard.await {
                return heard;
            }
        }
    };
    tokio::time::timeout(PATIENCE, ready)
        .await
        .context("nft monitor trace tells of no packet")??;
    output::say("ready");
    let ended = told_to_end();
    tokio::pin!(ended);
    loop {
        tokio::select! {
            () = &mut ended => break,
            line = lines.next_line() => match line.context("failed to read from nft monitor")? {
                Some(line) if told.len() < MOST_LINES => told.push(line),
                Some(_) => {}
                None => bail!("nft monitor trace has ended"),
            },
        }
    }
    mark(2)?;
    tokio::time::timeout(PATIENCE, until_marked(&mut lines, &mut told, 2))
        .await
        .context("nft monitor trace does not come to an end")??;
    let listed = nft(&["-a", "-j", "list", "ruleset"], "").await?;
    let listed: Value = serde_json::from_str(&listed).context("failed to read nft's list")?;
    Ok(trace::read(&told, &listed, args.client, args.server))
}

/// Before all others: conntrack's own hooks come later (-400 at the earliest).
fn own_table(args: &TracerArgs) -> String {
    let of = |address: IpAddr| match address {
        IpAddr::V4(four) => format!("ip saddr {four}"),
        IpAddr::V6(six) => format!("ip6 saddr {six}"),
    };
    let rules: String = [args.client, args.server]
        .map(|address| format!("  {} tcp flags & (syn | rst) == syn meta nftrace set 1\n", of(address)))
        .concat();
    format!(
        "table inet {OWN_TABLE} {{\n chain prerouting {{\n  type filter hook prerouting priority -2147483648; policy accept;\n{rules} }}\n chain output {{\n  type filter hook output priority -2147483648; policy accept;\n  ip daddr {MARKER} meta nftrace set 1\n }}\n}}\n"
    )
}

fn mark(number: u16) -> anyhow::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").context("failed to open a socket for the marker")?;
    // A production ruleset may drop it; it was told of before.
    let _ = socket.send_to(b"", (MARKER, number));
    Ok(())
}

/// Lines up to the one that tells of the marker.
async fn until_marked(
    lines: &mut Lines<BufReader<ChildStdout>>,
    told: &mut Vec<String>,
    number: u16,
) -> anyhow::Result<()> {
    let (to, port) = (format!("ip daddr {MARKER} "), format!("udp dport {number} "));
    while let Some(line) = lines.next_line().await.context("failed to read from nft monitor")? {
        if line.contains(&to) && line.contains(&port) {
            return Ok(());
        }
        told.push(line);
    }
    bail!("nft monitor trace has ended")
}

async fn nft(arguments: &[&str], stdin: &str) -> anyhow::Result<String> {
    ran("nft", arguments, stdin).await
}

/// A program's stdout, if it ends well.
async fn ran(program: &str, arguments: &[&str], stdin: &str) -> anyhow::Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to run {program}"))?;
    if let Some(mut input) = child.stdin.take() {
        input
            .write_all(stdin.as_bytes())
            .await
            .with_context(|| format!("failed to write to {program}"))?;
    }
    let output = child.wait_with_output().await;
    let output = output.with_context(|| format!("failed to wait for {program}"))?;
    if !output.status.success() {
        bail!(
            "{program} {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
