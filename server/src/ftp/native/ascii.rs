//! TYPE A (RFC 959 section 3.1.1.1): CRLF on the wire, LF here.

/// Text of this end as it goes over the wire. A line that ends with CRLF already is left alone.
#[derive(Debug, Default)]
pub(super) struct ToWire {
    after_cr: bool,
}

/// Text from the wire as it is kept here. A CR without LF stays.
#[derive(Debug, Default)]
pub(super) struct FromWire {
    held_cr: bool,
}

impl ToWire {
    pub(super) fn convert(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes.len() + bytes.len() / 16);
        for &byte in bytes {
            if byte == b'\n' && !self.after_cr {
                text.push(b'\r');
            }
            text.push(byte);
            self.after_cr = byte == b'\r';
        }
        text
    }
}

impl FromWire {
    pub(super) fn convert(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes.len() + 1);
        for &byte in bytes {
            if std::mem::take(&mut self.held_cr) && byte != b'\n' {
                text.push(b'\r');
            }
            match byte {
                b'\r' => self.held_cr = true,
                _ => text.push(byte),
            }
        }
        text
    }

    /// What is left at the end.
    pub(super) fn end(self) -> &'static [u8] {
        if self.held_cr { b"\r" } else { b"" }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to_wire(pieces: &[&[u8]]) -> Vec<u8> {
        let mut ascii = ToWire::default();
        pieces.iter().flat_map(|piece| ascii.convert(piece)).collect()
    }

    fn from_wire(pieces: &[&[u8]]) -> Vec<u8> {
        let mut ascii = FromWire::default();
        let mut text: Vec<u8> = pieces.iter().flat_map(|piece| ascii.convert(piece)).collect();
        text.extend(ascii.end());
        text
    }

    #[test]
    fn lines_end_as_they_must_wherever_a_piece_ends() {
        assert_eq!(to_wire(&[b"a\nb\r", b"\nc\n"]), b"a\r\nb\r\nc\r\n");
        assert_eq!(from_wire(&[b"a\r\nb\r", b"\nc\rd\r\r", b"\n\r"]), b"a\nb\nc\rd\r\n\r");
    }

    proptest! {
        #[test]
        fn a_text_survives_the_way_there_and_back(text in "[a-c\n]{0,60}", at in 0_usize..60) {
            let text = text.as_bytes();
            let (first, second) = text.split_at(at.min(text.len()));
            let wire = to_wire(&[first, second]);
            let (first, second) = wire.split_at(at.min(wire.len()));
            prop_assert_eq!(from_wire(&[first, second]), text);
        }
    }
}
