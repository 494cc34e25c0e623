//! Asking iptables' own tables: the TRACE target has the kernel log every rule that a packet meets, and the log is read over
//! netlink (nfnetlink_log), packet and all. It belongs to the network namespace: nothing of it gets into the machine's own log.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, bail, ensure};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::nflog::{ConfigCmd, ConfigMode, ConfigNla, PacketNla, ULogMessage, config_request};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, sockopt};

use super::{MOST_LINES, TracerArgs, ran};
use crate::output;
use crate::rehearse::production::legacy_trace::{self, Logged};
use crate::rehearse::production::trace::Trace;

/// The group that the TRACE target logs to.
const GROUP: u16 = 0;

/// As much of a packet as its headers need.
const HEADERS: u32 = 128;

/// What may wait to be read; the kernel gives what it has.
const BUFFER: usize = 16 * 1024 * 1024;

/// Follows packets until stdin ends.
pub(super) async fn follow(args: &TracerArgs) -> anyhow::Result<Trace> {
    let (family, program) = match args.client {
        IpAddr::V4(_) => (NetfilterProtoFamily::IPv4, "iptables-legacy"),
        IpAddr::V6(_) => (NetfilterProtoFamily::IPv6, "ip6tables-legacy"),
    };
    let log = Log::of(family).context("the kernel does not log what packets meet (nfnetlink_log)")?;
    for address in [args.client, args.server] {
        let rule = format!("-t raw -I PREROUTING -s {address} -p tcp --tcp-flags SYN,RST SYN -j TRACE");
        let words: Vec<&str> = rule.split_whitespace().collect();
        ran(program, &words, "").await?;
    }
    output::say("ready");
    let followed = tokio::task::spawn_blocking(move || log.until_stdin_ends());
    let logged = followed.await.context("failed to read the kernel's log")??;
    let saved = ran(&format!("{program}-save"), &[], "").await?;
    Ok(legacy_trace::read(&logged, &saved, args.client, args.server))
}

struct Log(OwnedFd);

impl Log {
    /// Has the log of a family told to us.
    fn of(family: NetfilterProtoFamily) -> anyhow::Result<Log> {
        let socket = socket::socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )
        .context("failed to open a netlink socket")?;
        socket::bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).context("failed to bind a netlink socket")?;
        let _ = socket::setsockopt(&socket, sockopt::RcvBuf, &BUFFER);
        configure(&socket, family, GROUP, vec![ConfigCmd::PfUnbind.into()])?;
        configure(&socket, family, GROUP, vec![ConfigCmd::PfBind.into()])?;
        let bind = vec![
            ConfigCmd::Bind.into(),
            ConfigMode::new_packet(HEADERS).into(),
            // Each line at once.
            ConfigNla::QThresh(1),
        ];
        configure(&socket, family, GROUP, bind)?;
        Ok(Log(socket))
    }

    fn until_stdin_ends(&self) -> anyhow::Result<Vec<Logged>> {
        let stdin = io::stdin();
        let mut logged = Vec::new();
        loop {
            let mut watched = [&stdin.as_fd(), &self.0.as_fd()].map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
            match poll(&mut watched, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("failed to wait for the kernel's log"),
            }
            // The kernel hands over each line before the packet goes on: at the end, whatever there is to come has come.
            let ended = watched[0].any().unwrap_or(true);
            logged.extend(self.read()?);
            logged.truncate(MOST_LINES);
            if ended {
                return Ok(logged);
            }
        }
    }

    /// What is there.
    fn read(&self) -> anyhow::Result<Vec<Logged>> {
        let mut logged = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match socket::recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => logged.extend(messages(&buffer[..length]).filter_map(of_packet)),
                Err(Errno::EAGAIN) => return Ok(logged),
                Err(Errno::EINTR) => {}
                Err(Errno::ENOBUFS) => bail!("the kernel tells of more packets than can be read"),
                Err(error) => return Err(error).context("failed to read the kernel's log"),
            }
        }
    }
}

/// Sends one request, and waits for what the kernel says to it.
fn configure(
    socket: &OwnedFd,
    family: NetfilterProtoFamily,
    group: u16,
    attributes: Vec<ConfigNla>,
) -> anyhow::Result<()> {
    let request = config_request(family, group, attributes);
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    let sent = socket::send(socket.as_raw_fd(), &bytes, MsgFlags::empty()).context("failed to write to netlink")?;
    ensure!(sent == bytes.len(), "netlink took {sent} bytes of {}", bytes.len());
    let mut buffer = vec![0; 4096];
    let length = socket::recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).context("failed to read netlink")?;
    for message in messages(&buffer[..length]) {
        if let NetlinkPayload::Error(error) = message.payload
            && error.code.is_some()
        {
            return Err(io::Error::from(error)).context("netlink refuses");
        }
    }
    Ok(())
}

/// All messages of a datagram.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = NetlinkMessage<NetfilterMessage>> {
    std::iter::from_fn(move || {
        let message = NetlinkMessage::<NetfilterMessage>::deserialize(bytes).ok()?;
        // Each begins at a multiple of four (netlink(7), NLMSG_ALIGN).
        let length = usize::try_from(message.header.length).ok()?.next_multiple_of(4).max(4);
        bytes = bytes.get(length..).unwrap_or_default();
        Some(message)
    })
}

fn of_packet(message: NetlinkMessage<NetfilterMessage>) -> Option<Logged> {
    let NetlinkPayload::InnerMessage(NetfilterMessage {
        inner: NetfilterMessageInner::ULog(ULogMessage::Packet(attributes)),
        ..
    }) = message.payload
    else {
        return None;
    };
    let (mut prefix, mut packet) = (None, None);
    for attribute in attributes {
        match attribute {
            PacketNla::Prefix(text) => prefix = text.into_string().ok(),
            PacketNla::Payload(bytes) => packet = Some(bytes),
            _ => {}
        }
    }
    Some(Logged {
        prefix: prefix?,
        packet: packet?,
    })
}
