//! Ethernet frames with TCP in them: reading, changing, answering with a reset.

use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, TcpSeqNumber, UdpPacket,
};

/// Both ends of a connection, as one segment names them.
pub(super) type Connection = (IpAddress, u16, IpAddress, u16);

/// The TCP segment in a frame, to read and to change; `None` for everything else and for fragments.
pub(super) fn tcp<R>(frame: &mut [u8], look: impl FnOnce(Connection, &mut TcpPacket<&mut [u8]>) -> R) -> Option<R> {
    transport(frame, |source, destination, protocol, payload| {
        if protocol != IpProtocol::Tcp {
            return None;
        }
        let mut segment = TcpPacket::new_checked(payload).ok()?;
        let connection = (source, segment.src_port(), destination, segment.dst_port());
        Some(look(connection, &mut segment))
    })?
}

/// Makes checksums right. What a host sends over a virtual cable has none yet: the kernel leaves them to the hardware.
pub(super) fn seal(frame: &mut [u8]) {
    transport(frame, |source, destination, protocol, payload| match protocol {
        IpProtocol::Tcp => {
            if let Ok(mut segment) = TcpPacket::new_checked(payload) {
                segment.fill_checksum(&source, &destination);
            }
        }
        IpProtocol::Udp => {
            if let Ok(mut datagram) = UdpPacket::new_checked(payload) {
                datagram.fill_checksum(&source, &destination);
            }
        }
        _ => {}
    });
}

/// A copy of a frame with only these bytes of its TCP payload.
pub(super) fn with_payload(frame: &[u8], part: std::ops::Range<usize>) -> Option<Vec<u8>> {
    let mut copy = frame.to_vec();
    let (offset, length) = tcp(&mut copy, |_, segment| {
        let sequence = segment.seq_number() + part.start;
        segment.set_seq_number(sequence);
        (segment.header_len() as usize, segment.payload_mut().len())
    })?;
    let header = frame.len().checked_sub(length)?;
    debug_assert!(header >= offset);
    let payload = frame.get(header..)?.get(part)?;
    copy.truncate(header);
    copy.extend_from_slice(payload);
    set_length(&mut copy);
    Some(copy)
}

/// Whose connection a reset is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Towards {
    Sender,
    Receiver,
}

/// A reset in the place of a segment, or in answer to it, as if it came from the other end of the connection.
pub(super) fn reset(frame: &[u8], towards: Towards) -> Option<Vec<u8>> {
    let mut copy = with_payload(frame, 0..0)?;
    let payload = frame.len() - copy.len();
    if towards == Towards::Sender {
        let mut ethernet = EthernetFrame::new_checked(&mut copy[..]).ok()?;
        let (from, to) = (ethernet.src_addr(), ethernet.dst_addr());
        ethernet.set_src_addr(to);
        ethernet.set_dst_addr(from);
        swap_addresses(&mut ethernet);
    }
    tcp(&mut copy, |(_, from, _, to), segment| {
        let (sequence, acknowledged) = (segment.seq_number(), segment.ack_number());
        if towards == Towards::Sender {
            segment.set_src_port(to);
            segment.set_dst_port(from);
            segment.set_seq_number(acknowledged);
            segment.set_ack_number(sequence + payload);
        }
        segment.clear_flags();
        segment.set_rst(true);
        segment.set_ack(true);
        segment.set_window_len(0);
    })?;
    Some(copy)
}

/// How far a segment's payload lies behind the first byte of its direction.
pub(super) fn offset(first: TcpSeqNumber, segment: &TcpPacket<&mut [u8]>) -> Option<usize> {
    usize::try_from(segment.seq_number().0.wrapping_sub(first.0)).ok()
}

fn transport<R>(frame: &mut [u8], look: impl FnOnce(IpAddress, IpAddress, IpProtocol, &mut [u8]) -> R) -> Option<R> {
    let mut ethernet = EthernetFrame::new_checked(frame).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let mut packet = Ipv4Packet::new_checked(ethernet.payload_mut()).ok()?;
            if packet.more_frags() || packet.frag_offset() != 0 {
                return None;
            }
            let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
            let protocol = packet.next_header();
            Some(look(source, destination, protocol, packet.payload_mut()))
        }
        EthernetProtocol::Ipv6 => {
            let mut packet = Ipv6Packet::new_checked(ethernet.payload_mut()).ok()?;
            let (source, destination) = (packet.src_addr().into(), packet.dst_addr().into());
            let protocol = packet.next_header();
            Some(look(source, destination, protocol, packet.payload_mut()))
        }
        _ => None,
    }
}

/// The length in the IP header becomes that of the frame.
fn set_length(frame: &mut [u8]) {
    let Ok(mut ethernet) = EthernetFrame::new_checked(frame) else {
        return;
    };
    let protocol = ethernet.ethertype();
    let payload = ethernet.payload_mut();
    let length = payload.len();
    match protocol {
        EthernetProtocol::Ipv4 => {
            let mut packet = Ipv4Packet::new_unchecked(payload);
            packet.set_total_len(u16::try_from(length).unwrap_or(u16::MAX));
            packet.fill_checksum();
        }
        EthernetProtocol::Ipv6 => {
            let mut packet = Ipv6Packet::new_unchecked(payload);
            let header = packet.header_len();
            packet.set_payload_len(u16::try_from(length - header).unwrap_or(u16::MAX));
        }
        _ => {}
    }
}

fn swap_addresses(ethernet: &mut EthernetFrame<&mut [u8]>) {
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let mut packet = Ipv4Packet::new_unchecked(ethernet.payload_mut());
            let (from, to) = (packet.src_addr(), packet.dst_addr());
            packet.set_src_addr(to);
            packet.set_dst_addr(from);
            packet.fill_checksum();
        }
        EthernetProtocol::Ipv6 => {
            let mut packet = Ipv6Packet::new_unchecked(ethernet.payload_mut());
            let (from, to) = (packet.src_addr(), packet.dst_addr());
            packet.set_src_addr(to);
            packet.set_dst_addr(from);
        }
        _ => {}
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A frame from 10.0.0.1:2021 to 10.0.0.2:40000, sequence number 1000.
    pub(crate) fn segment(payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 14 + 20 + 20];
        frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        frame[14] = 0x45;
        frame[14 + 8] = 64;
        frame[14 + 9] = 6;
        frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        frame[34..38].copy_from_slice(&[7, 229, 156, 64]);
        frame[38..42].copy_from_slice(&1000u32.to_be_bytes());
        frame[42..46].copy_from_slice(&77u32.to_be_bytes());
        frame[46] = 0x50;
        frame[47] = 0x18;
        frame.extend_from_slice(payload);
        set_length(&mut frame);
        seal(&mut frame);
        frame
    }

    pub(crate) fn payload(frame: &[u8]) -> Vec<u8> {
        tcp(&mut frame.to_vec(), |_, segment| segment.payload_mut().to_vec()).unwrap()
    }

    fn is_sealed(frame: &[u8]) -> bool {
        let mut copy = frame.to_vec();
        tcp(&mut copy, |(source, _, destination, _), segment| {
            segment.verify_checksum(&source, &destination)
        })
        .unwrap()
    }

    #[test]
    fn a_part_of_a_segment_keeps_its_place_in_the_stream() {
        let whole = segment(b"227 Entering");
        let mut rest = with_payload(&whole, 2..12).unwrap();
        assert_eq!(payload(&rest), b"7 Entering");
        let sequence = tcp(&mut rest, |_, segment| segment.seq_number().0).unwrap();
        assert_eq!(sequence, 1002);
        assert!(!is_sealed(&rest));
        seal(&mut rest);
        assert!(is_sealed(&rest));
    }

    #[test]
    fn a_reset_towards_the_sender_acknowledges_what_it_sent() {
        let mut reset = reset(&segment(b"220 hello"), Towards::Sender).unwrap();
        let told = tcp(&mut reset, |connection, segment| {
            (
                connection.1,
                connection.3,
                segment.rst(),
                segment.seq_number().0,
                segment.ack_number().0,
            )
        });
        assert_eq!(told, Some((40000, 2021, true, 77, 1009)));
    }

    #[test]
    fn a_reset_towards_the_receiver_stands_where_the_segment_stood() {
        let mut reset = reset(&segment(b"220 hello"), Towards::Receiver).unwrap();
        let told = tcp(&mut reset, |connection, segment| {
            (connection.1, segment.rst(), segment.seq_number().0)
        });
        assert_eq!(told, Some((2021, true, 1000)));
    }

    #[test]
    fn what_is_no_tcp_is_left_alone() {
        for mut frame in [Vec::new(), vec![0; 13], vec![0xff; 60]] {
            let before = frame.clone();
            seal(&mut frame);
            assert_eq!(frame, before);
            assert!(tcp(&mut frame, |_, _| ()).is_none());
        }
    }
}
