//! A bump in the wire: every frame that arrives on one side goes through [`InWire::pass`], and usually on to the other.

use std::collections::VecDeque;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind, recvfrom, send, setsockopt, socket,
    sockopt,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::frame;

/// The two ends of the cable.
#[derive(Debug, Clone, Args)]
pub(super) struct Cable {
    /// The interface on one side, and, given again, on the other
    #[arg(long, value_name = "INTERFACE", required = true)]
    between: Vec<String>,
}

/// What a frame meets in the wire.
pub(super) trait InWire {
    /// What becomes of a frame: itself, others, nothing. Checksums are made right afterwards.
    fn pass(&mut self, frame: Vec<u8>) -> Vec<Passed>;
}

/// A frame that leaves.
pub(super) struct Passed {
    pub(super) frame: Vec<u8>,
    pub(super) way: Way,
    /// How long it is held; the same for all frames of one wire, so they stay in order.
    pub(super) after: Duration,
}

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    On,
    Back,
}

impl Passed {
    /// On to the other side, at once.
    pub(super) fn on(frame: Vec<u8>) -> Passed {
        Passed {
            frame,
            way: Way::On,
            after: Duration::ZERO,
        }
    }
}

/// A kernel's bundle of segments could be this long, if the cable's ends did not forbid them.
const LONGEST_FRAME: usize = 65_600;

/// Room for a burst on a busy machine.
const BUFFER: usize = 4 << 20;

/// `sll_pkttype` of what this side itself has sent (linux/if_packet.h).
const PACKET_OUTGOING: u8 = 4;

/// Passes frames until the process is killed. Reading blocks, in a thread for each side: no socket of the runtime's is made
/// of a file descriptor without unsafe code.
pub(super) async fn run(cable: &Cable, mut middlebox: impl InWire) -> anyhow::Result<()> {
    let [one, other] = cable.between.as_slice() else {
        bail!("a cable has two ends: give --between twice");
    };
    let sides = [Arc::new(open(one)?), Arc::new(open(other)?)];
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    for (from, side) in sides.iter().enumerate() {
        let (side, arrived) = (Arc::clone(side), arrived.clone());
        std::thread::spawn(move || {
            // An error is told as the end of everything.
            let ended = receive(&side, |frame| arrived.send(Ok((from, frame))).is_ok());
            let _ = arrived.send(Err(ended));
        });
    }
    super::ready();
    let mut held: VecDeque<(Instant, usize, Vec<u8>)> = VecDeque::new();
    loop {
        let due = held.front().map(|(due, _, _)| *due);
        let release = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let (from, frame) = tokio::select! {
            biased;
            () = release => {
                if let Some((_, to, frame)) = held.pop_front() {
                    transmit(&sides[to], &frame)?;
                }
                continue;
            }
            arrival = arrivals.recv() => match arrival {
                Some(Ok(arrival)) => arrival,
                Some(Err(error)) => return Err(error).context("failed to read frames"),
                None => return Ok(()),
            },
        };
        for mut passed in middlebox.pass(frame) {
            frame::seal(&mut passed.frame);
            let to = if passed.way == Way::On { 1 - from } else { from };
            if passed.after.is_zero() {
                transmit(&sides[to], &passed.frame)?;
            } else {
                held.push_back((Instant::now() + passed.after, to, passed.frame));
            }
        }
    }
}

/// A packet socket on an interface. The address to bind to is the one that getifaddrs(3) gives of it.
fn open(interface: &str) -> anyhow::Result<OwnedFd> {
    let context = || format!("failed to open a packet socket on {interface}");
    let protocol = SockProtocol::EthAll;
    let fd = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).with_context(context)?;
    let addresses = getifaddrs().context("failed to list interfaces")?;
    let address = addresses
        .filter(|address| address.interface_name == interface)
        .find_map(|address| address.address?.as_link_addr().copied())
        .with_context(|| format!("there is no interface {interface}"))?;
    bind(fd.as_raw_fd(), &address).with_context(context)?;
    // Beyond the machine's limit the kernel gives what it allows.
    let _ = setsockopt(&fd, sockopt::RcvBuf, &BUFFER);
    let _ = setsockopt(&fd, sockopt::SndBuf, &BUFFER);
    Ok(fd)
}

/// Hands over every frame until there is nobody to take it, or reading fails.
fn receive(side: &OwnedFd, take: impl Fn(Vec<u8>) -> bool) -> Errno {
    let mut buffer = vec![0; LONGEST_FRAME];
    loop {
        match recvfrom::<LinkAddr>(side.as_raw_fd(), &mut buffer) {
            Ok((_, Some(from))) if from.pkttype() == PACKET_OUTGOING => {}
            Ok((length, _)) => {
                if !take(buffer[..length].to_vec()) {
                    return Errno::EPIPE;
                }
            }
            Err(Errno::EINTR | Errno::ENETDOWN) => {}
            Err(error) => return error,
        }
    }
}

/// A full queue loses a frame, as in every other router.
fn transmit(side: &OwnedFd, frame: &[u8]) -> anyhow::Result<()> {
    match send(side.as_raw_fd(), frame, MsgFlags::empty()) {
        Ok(_) | Err(Errno::ENOBUFS | Errno::EMSGSIZE | Errno::ENETDOWN) => Ok(()),
        Err(error) => Err(error).context("failed to send a frame"),
    }
}
