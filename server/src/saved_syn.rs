//! What the SYN of an accepted connection looked like when it arrived (tcp(7), TCP_SAVE_SYN): how far its packets had come,
//! and which segment size its sender (or somebody on the way) asked for.

use std::os::fd::AsFd;

use fwdrill_protocol::sighting::Syn;
use nix::libc;
use nix::sys::socket::{getsockopt, setsockopt};
use nix::{getsockopt_impl, setsockopt_impl, sockopt_impl};
use tracing::debug;

sockopt_impl!(
    /// Has the kernel keep the network and TCP headers of every SYN that this listener's connections begin with.
    SaveSyn,
    SetOnly,
    libc::IPPROTO_TCP,
    libc::TCP_SAVE_SYN,
    i32
);

/// To be called for a listener before it listens. A system without the option gives connections without their SYN.
pub(crate) fn keep(listener: &impl AsFd) {
    if let Err(error) = setsockopt(listener, SaveSyn, &1) {
        debug!(%error, "the system keeps no SYNs");
    }
}

/// The SYN of a connection that such a listener accepted; it can be read once.
pub(crate) fn of(connection: &impl AsFd) -> Option<Syn> {
    let headers = headers(connection)?;
    match headers.first()? >> 4 {
        4 => {
            let length = usize::from(headers.first()? & 0x0f) * 4;
            parse(*headers.get(8)?, headers.get(length..)?)
        }
        // Extension headers before TCP are not looked through.
        6 if *headers.get(6)? == 6 => parse(*headers.get(7)?, headers.get(40..)?),
        _ => None,
    }
}

/// RFC 9293 section 3.1: the data offset is in the upper half of octet 12, options begin at octet 20.
fn parse(ttl: u8, tcp: &[u8]) -> Option<Syn> {
    let end = usize::from(tcp.get(12)? >> 4) * 4;
    let mut options = tcp.get(20..end)?;
    let mut mss = None;
    loop {
        match options {
            [1, rest @ ..] => options = rest,
            [2, 4, high, low, ..] => {
                mss = Some(u16::from_be_bytes([*high, *low]));
                break;
            }
            [0, ..] | [] => break,
            [_, length, ..] => options = options.get(usize::from(*length).max(2)..).unwrap_or_default(),
            [_] => break,
        }
    }
    Some(Syn { ttl, mss })
}

/// TCP_SAVED_SYN says EINVAL to a buffer that is too small, and keeps the headers then (do_tcp_getsockopt in net/ipv4/tcp.c).
/// So the size is found by trying: 40 octets are IPv4 and TCP without options, 120 both with all they can have. Where none
/// were kept, or not any more, it says that there are 0 of them: that is asked first, no other size would be an answer.
fn headers(connection: &impl AsFd) -> Option<Vec<u8>> {
    macro_rules! first_that_fits {
        ($($name:ident $size:literal)*) => {
            $(
                sockopt_impl!($name, GetOnly, libc::IPPROTO_TCP, libc::TCP_SAVED_SYN, [u8; $size]);
                match getsockopt(connection, $name) {
                    Ok(headers) => return Some(headers.to_vec()),
                    Err(nix::errno::Errno::EINVAL) => {}
                    Err(_) => return None,
                }
            )*
        };
    }
    sockopt_impl!(Nothing, GetOnly, libc::IPPROTO_TCP, libc::TCP_SAVED_SYN, [u8; 0]);
    if getsockopt(connection, Nothing) != Err(nix::errno::Errno::EINVAL) {
        return None;
    }
    first_that_fits! {
        S40 40 S44 44 S48 48 S52 52 S56 56 S60 60 S64 64 S68 68 S72 72 S76 76 S80 80
        S84 84 S88 88 S92 92 S96 96 S100 100 S104 104 S108 108 S112 112 S116 116 S120 120
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::listen;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn the_syn_of_a_neighbour_has_the_ttl_it_was_sent_with_and_a_segment_size() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let listener = listen(host.parse().unwrap()).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap());
            let (_client, accepted) = tokio::join!(client, listener.accept());
            let (stream, _) = accepted.unwrap();
            let syn = of(&stream).unwrap();
            assert_eq!(
                (syn.ttl, syn.mss.is_some_and(|mss| mss > 1000)),
                (64, true),
                "{host}: {syn:?}"
            );
            assert_eq!(of(&stream), None, "read once");
        }
    }

    #[test]
    fn options_are_passed_over_up_to_the_segment_size() {
        let mut tcp = vec![0; 20];
        tcp[12] = 8 << 4;
        tcp.extend([1, 3, 3, 7, 2, 4, 5, 180, 0, 0, 0, 0]);
        assert_eq!(
            parse(62, &tcp),
            Some(Syn {
                ttl: 62,
                mss: Some(1460)
            })
        );
        tcp[20..].fill(0);
        assert_eq!(parse(62, &tcp), Some(Syn { ttl: 62, mss: None }));
        assert_eq!(parse(62, &tcp[..19]), None);
        // A length of nothing must not go on for ever.
        tcp[20..].fill(8);
        tcp[21] = 0;
        assert!(parse(62, &tcp).is_some());
    }
}
