//! Signature records: text in the style of ClamAV's `.ndb` (name, target, offset, hex) and `.hdb` (digest, size, name).

use std::io::{self, Write};
use std::sync::LazyLock;

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sha2::Digest;

static FAMILIES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    include_str!("../../../fixtures/update-set/families.txt")
        .lines()
        .collect()
});

/// What is left of a block is either nothing or enough for another record: the longest prefix and some hex.
const ROOM_FOR_ONE: usize = 128;
const MAX_PATTERN: usize = 96;
/// The longest pattern is that plus half the room, when the last record takes all that is left.
const PATTERN_BUFFER: usize = MAX_PATTERN + ROOM_FOR_ONE;
const CHUNK: usize = 64 * 1024;

/// A stream of random numbers that depends on nothing but `purpose`.
pub(super) fn random_for(purpose: &str) -> ChaCha8Rng {
    let seed: [u8; 32] = sha2::Sha256::digest(format!("fwdrill update set 1: {purpose}")).into();
    ChaCha8Rng::from_seed(seed)
}

/// What a block of records is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// The families it names begin with `Phishing.`, or else none of them does.
    pub(super) phishing: bool,
    /// One record in so many is a file hash.
    pub(super) hashes_one_in: u32,
}

/// Writes `first_line` and then records until there are exactly `length` bytes (at least the line and
/// [`ROOM_FOR_ONE`] more).
pub(super) fn write_block(
    sink: &mut impl Write,
    mut random: ChaCha8Rng,
    style: Style,
    first_line: &str,
    length: u64,
) -> io::Result<()> {
    let families: Vec<&str> = FAMILIES
        .iter()
        .copied()
        .filter(|family| family.starts_with("Phishing.") == style.phishing)
        .collect();
    let mut chunk = Vec::with_capacity(CHUNK + 1024);
    chunk.extend_from_slice(first_line.as_bytes());
    let mut left = length.saturating_sub(chunk.len() as u64);
    while left > 0 {
        let before = chunk.len();
        // A block is at most 64 MiB, but a usize need not hold that much in principle.
        push_record(
            &mut chunk,
            &mut random,
            style,
            &families,
            usize::try_from(left).unwrap_or(usize::MAX),
        );
        left = left.saturating_sub((chunk.len() - before) as u64);
        if chunk.len() >= CHUNK {
            sink.write_all(&chunk)?;
            chunk.clear();
        }
    }
    sink.write_all(&chunk)
}

/// Appends one record of at most `left` bytes, leaving nothing or [`ROOM_FOR_ONE`].
fn push_record(chunk: &mut Vec<u8>, random: &mut ChaCha8Rng, style: Style, families: &[&str], left: usize) {
    let start = chunk.len();
    let choice = random.next_u64();
    let family = families[(choice as u32 as usize) % families.len()];
    let number = (choice >> 32) as u32 % 100_000;
    if random.random_ratio(1, style.hashes_one_in) {
        push_hex(chunk, random, 16);
        let size = 1000 + number * 7;
        push(chunk, format_args!(":{size}:{family}-{number}\n"));
        if left >= chunk.len() - start + ROOM_FOR_ONE {
            return;
        }
        chunk.truncate(start);
    }
    let target = choice >> 49 & 7;
    push(chunk, format_args!("{family}-{number}:{target}:*:"));
    let room = left.saturating_sub(chunk.len() - start + 1);
    let mut pattern = random.random_range(24..=MAX_PATTERN);
    if room < 2 * pattern + ROOM_FOR_ONE {
        // The last record takes all that is left; hex digits come in pairs, so it may have to give one to the name.
        if !room.is_multiple_of(2) {
            chunk.truncate(start);
            push(chunk, format_args!("{family}-{number}a:{target}:*:"));
        }
        pattern = (room / 2).min(PATTERN_BUFFER);
    }
    push_hex(chunk, random, pattern);
    chunk.push(b'\n');
}

fn push(chunk: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into memory does not fail.
    let _ = chunk.write_fmt(text);
}

fn push_hex(chunk: &mut Vec<u8>, random: &mut ChaCha8Rng, count: usize) {
    let mut bytes = [0; PATTERN_BUFFER];
    let mut digits = [0; 2 * PATTERN_BUFFER];
    let (bytes, digits) = (&mut bytes[..count], &mut digits[..2 * count]);
    random.fill_bytes(bytes);
    for (byte, pair) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
        pair.copy_from_slice(&HEX[usize::from(*byte)]);
    }
    chunk.extend_from_slice(digits);
}

const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STYLE: Style = Style {
        phishing: false,
        hashes_one_in: 3,
    };

    fn block(purpose: &str, style: Style, length: u64) -> String {
        let mut bytes = Vec::new();
        write_block(&mut bytes, random_for(purpose), style, "#first line\n", length).expect("written to memory");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn every_line_is_a_signature_of_one_of_the_two_forms() {
        let text = block("lines", STYLE, 100_000);
        let (mut patterns, mut hashes) = (0, 0);
        for line in text.lines().skip(1) {
            match line.split(':').collect::<Vec<_>>().as_slice() {
                [name, target, "*", pattern] => {
                    assert!(
                        name.contains('.') && target.len() == 1 && hex::decode(pattern).is_ok(),
                        "{line}"
                    );
                    patterns += 1;
                }
                [digest, size, name] => {
                    assert!(
                        digest.len() == 32 && size.parse::<u64>().is_ok() && name.contains('.'),
                        "{line}"
                    );
                    hashes += 1;
                }
                _ => panic!("neither form: {line}"),
            }
        }
        assert!(patterns > 100 && hashes > 50, "{patterns} patterns, {hashes} hashes");
    }

    #[test]
    fn phishing_has_its_own_names() {
        let text = block(
            "names",
            Style {
                phishing: true,
                ..STYLE
            },
            20_000,
        );
        assert!(text.lines().skip(1).all(|line| line.contains("Phishing.")));
        assert!(!block("names", STYLE, 20_000).contains("Phishing."));
    }

    proptest! {
        #[test]
        fn a_block_is_exactly_as_long_as_asked(length in 200u64..3000, purpose in "[a-z]{4}", phishing: bool) {
            let text = block(&purpose, Style { phishing, ..STYLE }, length);
            prop_assert_eq!(text.len() as u64, length);
            prop_assert!(text.ends_with('\n'));
            prop_assert!(text.lines().skip(1).all(|line| line.matches(':').count() >= 2), "{}", text);
        }
    }
}
